"""What is told of a Domain after its turn: the report, the status that is written, the events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import KubeError, NotFound
from homing.kube.client import KubeClient
from homing.kube.recorder import Recorder
from homing.kube.resource import Resource
from homing.model.name import Name
from homing.model.rrset import FAMILIES, RRset
from homing.operator.entry import Entry, Report, Told, Unready, Which
from homing.operator.providers import Found
from homing.turn.memory import Memory
from homing.turn.reconcile import Reconciler, Turn

log = get_logger("domains")

STATUS_AGAIN = 15.0
"""Seconds after which a status that could not be written is written again."""

LATER = 0.1
"""The share of its interval by which a turn may come later."""

WAITS_FOR = 60.0
"""Seconds until a Domain that cannot be published is looked at again, should the change that mends it go unseen."""


class Adapter(Protocol):
    """What one kind of Domain says, and how it wants to be told."""

    @property
    def resource(self) -> Resource[Any]:
        """The kind."""
        ...

    def entry(self, found: Any) -> Entry:
        """A Domain as the operator sees it."""
        ...

    def status(self, entry: Entry, report: Report) -> dict[str, Any]:
        """The status that tells the report."""
        ...

    def reason(self, word: str) -> str:
        """The reason of an event."""
        ...


class Telling:
    """The reports of all Domains, and the statuses that were written of them."""

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        *,
        client: KubeClient,
        recorder: Recorder,
        memory: Memory,
        looked: Callable[[Entry], bool],
        clock: Clock,
        chance: random.Random,
    ) -> None:
        self.reports: dict[Which, Report] = {}
        self._adapters = adapters
        self._client = client
        self._recorder = recorder
        self._memory = memory
        self._looked = looked
        self._clock = clock
        self._chance = chance
        self._written: dict[Which, tuple[str, dict[str, Any]]] = {}

    def last(self, entry: Entry) -> Report:
        """The last report; at first what the status tells of the time before this process."""
        known, now = entry.known, self._clock.time()
        return self.reports.get(entry.which) or Report(
            0.0, False, "", "", known.addresses, known.ttl, known.provider, False, None,
            last_sync=min(known.last_sync, now), last_attempt=min(known.last_attempt, now), retries=known.retries,
        )  # fmt: skip

    def unready(self, entry: Entry, problem: Unready) -> Report:
        """Why nothing can be done."""
        known, now = self.last(entry), self._clock.time()
        disabled, conflict = problem.reason == "Disabled", problem.reason == "Conflict"
        told = Told("disabled" if disabled else "conflict" if conflict else problem.reason, str(problem), not disabled)
        return replace(
            known,
            at=now,
            ready=False,
            reason=problem.reason,
            message=str(problem),
            synced=False,
            ok=None if disabled else False,
            locked="",
            conflict=str(problem) if conflict else "",
            next_at=0.0 if disabled else now + WAITS_FOR,
            told=(told,),
        )

    def judged(self, entry: Entry, found: Found, reconciler: Reconciler, turn: Turn, error: str) -> Report:
        """What came of a turn."""
        now, state, last = self._clock.time(), reconciler.states[entry.name], self.last(entry)
        word, sentence = reconciler.status(reconciler.names[0])
        if word == "in-sync" and state.missing:
            word, sentence = "pending", state.missing  # it keeps what it holds, and nobody knows whether that is right
        told = [Told("updated" if one.ok else "failed", one.detail, not one.ok) for one in turn.outcomes]
        if not told and state.error and state.error != error:
            told.append(Told("failed", state.error, warning=True))
        if word == "locked":
            told.append(Told("locked", sentence, warning=True))
        elif word == "pending" and state.missing and self._looked(entry):
            told.append(Told("unknown", state.missing, warning=True))
        elif word == "held":
            told.append(Told("held", f"{sentence} (plan {turn.plan.hash})", warning=True))
        elif word == "in-sync" and not told:
            told.append(Told("skipped", "nothing to do: the record holds what it should"))
        published = _addresses(self._published(reconciler.provider.name, entry.name))
        tried = bool(turn.outcomes) or bool(state.error and state.error != error)
        next_at = turn.next_at if entry.interval or state.not_before > now or word != "in-sync" else 0.0
        if word == "in-sync" and next_at:
            next_at += LATER * entry.interval * self._chance.random()  # a thousand made at once spread in time
        return Report(
            at=now,
            ready=word == "in-sync",
            reason=_REASONS[word],
            message=sentence or _of(published, found),
            addresses=published or last.addresses,
            ttl=reconciler.names[0].ttl,
            published_at=found.id if published else last.published_at,
            synced=word == "in-sync",
            ok=None if word in ("held", "locked") and not tried else word == "in-sync",
            locked=sentence if word == "locked" else "",
            last_sync=min(state.last_sync or last.last_sync, now),
            last_attempt=self._memory.requests.get((reconciler.provider.name, entry.name), min(last.last_attempt, now)),
            next_at=next_at,
            retries=state.retry.failures,
            told=tuple(told),
        )

    async def report(self, entry: Entry, report: Report) -> float | None:
        """Tell it four times: here the event and the status; log, metric and history came with the turn."""
        self.reports[entry.which] = report
        adapter = self._adapters[entry.which.kind]
        for told in report.told:
            self.tell(entry, told)
        status, (uid, written) = adapter.status(entry, report), self._written.get(entry.which, ("", {}))
        wait = report.next_at - self._clock.time() if report.next_at else None
        if uid != entry.ref.uid or status != written:
            try:
                await self._client.patch(
                    adapter.resource,
                    entry.which.name,
                    {"metadata": {"uid": entry.ref.uid}, "status": status},
                    entry.which.namespace,
                    sub="status",
                )
                self._written[entry.which] = (entry.ref.uid, status)
            except NotFound:
                return wait
            except KubeError as error:
                log.warning("status not written, trying again", domain=str(entry.which), reason=str(error))
                return STATUS_AGAIN if wait is None else min(wait, STATUS_AGAIN)
        return None if wait is None else max(wait, 0.05)

    def tell(self, entry: Entry, told: Told | None) -> None:
        """Tell an event, where the kind has a reason for it."""
        reason = self._adapters[entry.which.kind].reason(told.word) if told is not None else ""
        if told is not None and reason:
            kind = "Warning" if told.warning else "Normal"
            self._recorder.event(entry.ref, kind, reason, told.message, "Reconcile")

    def forget(self, which: Which) -> None:
        """A Domain is gone, or another has its name now."""
        self.reports.pop(which, None)
        self._written.pop(which, None)

    def _published(self, provider: str, name: Name) -> list[RRset]:
        keys = ((provider, name, rtype) for rtype in FAMILIES)
        return [self._memory.published[key] for key in keys if key in self._memory.published]


_REASONS = {
    "in-sync": "Published",
    "locked": "Locked",
    "held": "Held",
    "failed": "UpdateFailed",
    "pending": "AddressUnknown",
    "disabled": "Disabled",
}


def _addresses(rrsets: Iterable[RRset]) -> tuple[Any, ...]:
    return tuple(address for item in rrsets for address in item.addresses)


def _of(addresses: Iterable[Any], found: Found) -> str:
    return f"{', '.join(map(str, addresses))} published at {found.id}"
