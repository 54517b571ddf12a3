"""What the cluster's objects tell: definitions, Leases, conditions, endpoints. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from homing.app.doctor.cluster.rights import OF_NAMESPACES, Part, Right
from homing.app.doctor.finding import Finding, Level, many
from homing.kube.crd import Definition, manifest
from homing.kube.objects import Condition, EndpointSlice, Lease, ObjectMeta

OLDEST = (1, 31)
"""The version of Kubernetes that our kinds need (selectable fields)."""

SKEW = 30.0
"""Seconds that this machine's clock and a holder's may differ."""

NEW = 30.0
"""Seconds in which an object gets its first status; a Site's takes a round of detection."""


def version(told: str) -> Finding:
    """By the server's ``gitVersion``."""
    found = re.match(r"v?(\d+)\.(\d+)", told)
    if found is None:
        return Finding("API server", Level.NOTE, f"answers, and calls its version {told!r}")
    if (int(found[1]), int(found[2])) < OLDEST:
        need = ".".join(map(str, OLDEST))
        return Finding("API server", Level.WARNING, f"is Kubernetes {told}: too old", f"Homing's kinds need {need}")
    return Finding("API server", Level.OK, f"answers: Kubernetes {told}")


_APPLY = "homing crds | kubectl apply -f -"


def definitions(wanted: Sequence[Definition], found: Mapping[str, Mapping[str, Any]]) -> Finding:
    """``found`` are the specs of the CustomResourceDefinitions that there are, by name."""
    missing = [item.name for item in wanted if item.name not in found]
    if len(missing) == len(wanted):
        return Finding("kinds", Level.ERROR, "none of Homing's kinds is installed", _APPLY)
    if missing:
        return Finding("kinds", Level.ERROR, f"not installed: {many(missing)}", _APPLY)
    other = [item.name for item in wanted if not _same(item, found[item.name])]
    if other:
        return Finding("kinds", Level.WARNING, f"of another version than this Homing: {many(other)}", _APPLY)
    return Finding("kinds", Level.OK, f"all {len(wanted)} are installed, of this version")


def _same(item: Definition, spec: Mapping[str, Any]) -> bool:
    (ours,) = manifest(item)["spec"]["versions"]
    theirs = next((each for each in spec.get("versions", ()) if each.get("name") == ours["name"]), None)
    return theirs is not None and theirs.get("served") is True and _covers(ours["schema"], theirs.get("schema", {}))


def _covers(ours: object, theirs: object) -> bool:
    """Whether all that we say is there, alike; the API server may add defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        mine, other = cast("dict[str, Any]", ours), cast("dict[str, Any]", theirs)
        return all(key in other and _covers(value, other[key]) for key, value in mine.items())
    if isinstance(ours, list | tuple) and isinstance(theirs, list):
        items, others = cast("Sequence[Any]", ours), cast("Sequence[Any]", theirs)
        return len(items) == len(others) and all(map(_covers, items, others))
    return bool(ours == theirs)


def rights(part: Part, denied: Sequence[Right], allowed_at_home: Iterable[Right]) -> Finding:
    """``denied`` cluster-wide, and which of these are allowed in Homing's own namespace."""
    check = f"rights of {part.account}"
    home = set(allowed_at_home)
    missing = [str(right) for right in denied if right not in home]
    if missing:
        text = f"may not {many(missing, 4)}"
        return Finding(check, Level.ERROR, text, f"kubectl apply -f {part.file} (with your namespace in it)")
    if home:
        return Finding(check, Level.NOTE, f"all {len(part.rights)}, limited to some namespaces for {_plurals(home)}")
    return Finding(check, Level.OK, f"all {len(part.rights)} that it needs")


def _plurals(found: Iterable[Right]) -> str:
    return ", ".join(sorted({right.plural for right in found} & OF_NAMESPACES))


def lease(name: str, found: Lease | None, now: float, runs: str) -> Finding:
    """Whether somebody holds a Lease and renews it; ``now`` is Unix time, ``runs`` what would hold it."""
    check = f"Lease {name}"
    start = f"see whether {runs} runs: kubectl get pods -A | grep homing, and its log"
    if found is None:
        return Finding(check, Level.WARNING, f"is not there: {runs} has never led", start)
    holder, renewed = found.spec.holder_identity or "", _moment(found.spec.renew_time)
    if not holder:
        return Finding(check, Level.WARNING, f"nobody holds it: {runs} stopped", start)
    if renewed is None:
        return Finding(check, Level.NOTE, f"held by {holder}, which does not say when it renewed it")
    age, lasts = now - renewed, float(found.spec.lease_duration_seconds or 15)
    if age > lasts + SKEW:
        text = f"{holder} holds it and has not renewed it for {age:.0f} s, of {lasts:.0f} allowed"
        return Finding(check, Level.ERROR, text, start)
    return Finding(check, Level.OK, f"held by {holder}, renewed {max(age, 0):.0f} s ago")


def _moment(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Seen:
    """One object of our kinds: its name with namespace, its conditions, and whether it was made just now."""

    name: str
    conditions: Sequence[Condition]
    is_new: bool = False


def is_new(metadata: ObjectMeta, now: float) -> bool:
    """Whether an object was made so short a time ago that it need not have a status yet; ``now`` is Unix time."""
    made = _moment(metadata.creation_timestamp)
    return made is not None and now - made < NEW


def ready(kind: str, objects: Sequence[Seen], main: str = "Ready") -> Finding | None:
    """How many are ready, and what the first few that are not say. None when there are none."""
    if not objects:
        return None
    bad = [item for item in objects if _is(item, main, "False") or _is(item, "Disputed", "True")]
    unknown = [item for item in objects if item not in bad and not _is(item, main, "True")]
    plural = kind if len(objects) == 1 else f"{kind}s"
    if bad:
        told = [f"{item.name}: {_says(item, main)}" for item in bad]
        text = f"{len(bad)} of {len(objects)} not ready: {many(told)}"
        return Finding(plural, Level.ERROR, text, f"kubectl describe {kind.lower()} tells more and what happened")
    if unknown:
        text = f"{len(unknown)} of {len(objects)} have no status yet: {many([item.name for item in unknown])}"
        if all(item.is_new for item in unknown):
            return Finding(plural, Level.NOTE, text, "made just now: look again in half a minute")
        return Finding(
            plural, Level.WARNING, text, "nobody cares for them: see whether the operator and homing dns run"
        )
    return Finding(plural, Level.OK, f"{len(objects)} ready")


def _is(item: Seen, kind: str, status: str) -> bool:
    return any(each.type == kind and each.status == status for each in item.conditions)


def _says(item: Seen, main: str) -> str:
    for kind, status in ((main, "False"), ("Disputed", "True")):
        for each in item.conditions:
            if (each.type, each.status) == (kind, status):
                return f"{each.reason}: {each.message}" if each.message else each.reason
    return "no reason given"


def endpoints(found: Mapping[str, Sequence[EndpointSlice] | None]) -> Iterator[Finding]:
    """By the names of Services that names follow; None for a Service that is not there."""
    gone = [name for name, slices in found.items() if slices is None]
    empty = [name for name, slices in found.items() if slices is not None and not any(map(_has_ready, slices))]
    if gone:
        text = f"Domains follow Services that are not there: {many(gone)}"
        yield Finding("Services", Level.ERROR, text, "create them, or correct spec.addresses.service")
    if empty:
        text = f"no ready endpoint behind {many(empty)}: their names have no address, or keep their last one"
        yield Finding("Services", Level.WARNING, text, "kubectl get endpointslices; check the selector and the pods")
    if found and not gone and not empty:
        yield Finding("Services", Level.OK, f"{len(found)} that names follow have ready endpoints")


def _has_ready(one: EndpointSlice) -> bool:
    return any(each.conditions.ready is not False for each in one.endpoints or ())
