"""Conditions by the Kubernetes API conventions: the time changes with the status only. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from homing.kube.objects import Condition

MAX_MESSAGE = 32_768
"""Characters of a condition's message."""

LATEST = 253_402_300_799.0
"""The last second of the year 9999, beyond which no time can be written."""


def moment(seconds: float) -> str | None:
    """Unix seconds as Kubernetes writes times (RFC 3339, whole seconds); None for never."""
    if not seconds:
        return None
    return datetime.fromtimestamp(min(max(seconds, 1.0), LATEST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str | None) -> float:
    """A time as Kubernetes writes it in Unix seconds; 0 for none, one before 1970, or one that cannot be read."""
    if not text:
        return 0.0
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return min(max((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp(), 0.0), LATEST)


def condition(
    before: Iterable[Condition],
    kind: str,
    status: bool | None,
    reason: str,
    message: str,
    *,
    at: float,
    generation: int,
) -> Condition:
    """A condition as it is now; the time of its last transition is kept while its status is. None is Unknown."""
    word = "Unknown" if status is None else str(status)
    known = next((item for item in before if item.type == kind), None)
    kept = known.last_transition_time if known is not None and known.status == word else None
    since = kept or moment(at) or ""
    return Condition(
        type=kind,
        status=word,
        reason=reason,
        message=message[:MAX_MESSAGE],
        last_transition_time=since,
        observed_generation=generation,
    )


def condition_data(item: Condition) -> dict[str, Any]:
    """A condition as JSON; nothing is left out, so that a merge replaces all of it."""
    return {
        "type": item.type,
        "status": item.status,
        "reason": item.reason,
        "message": item.message,
        "lastTransitionTime": item.last_transition_time,
        "observedGeneration": item.observed_generation,
    }


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether a condition is there and true."""
    return any(item.type == kind and item.status == "True" for item in conditions)
