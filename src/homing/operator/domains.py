"""The turn of a Domain: judge, publish, report. Both kinds of Domain take it; their adapters only translate."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.effects.metrics import Metrics
from homing.errors import Conflict, KubeError, NotFound
from homing.kube.client import KubeClient
from homing.kube.recorder import Recorder
from homing.kube.resource import Resource
from homing.model.address import Network
from homing.model.lockout import Lockout
from homing.model.name import Name
from homing.model.rrset import FAMILIES, RRset
from homing.operator.accounts import LOCKOUTS, MAX_LOCKOUTS, latest, learn_lockouts, lockouts_in, lockouts_text
from homing.operator.claims import Claim, Claims
from homing.operator.entry import Entry, ProviderId, Report, Told, Unready, Which
from homing.operator.leaving import Leaving
from homing.operator.providers import STRATO, Found, Providers
from homing.providers.base import Provider as Publisher
from homing.sources import View
from homing.store import Event
from homing.turn.memory import Memory
from homing.turn.names import NameSpec
from homing.turn.reconcile import Reconciler, Turn

log = get_logger("domains")

FINALIZER = "homing.dev/record"
"""Keeps a Domain with ``deletionPolicy: Delete`` until its record is gone."""

STATUS_AGAIN = 15.0
"""Seconds after which a status that could not be written is written again."""

LATER = 0.1
"""The share of its interval by which a turn may come later."""

WAITS_FOR = 60.0
"""Seconds until a Domain that cannot be published is looked at again, should the change that mends it go unseen."""


ENDING = 60.0
"""Seconds that a turn under way has left when its Domain is deleted; a request takes no longer."""

MAX_REQUESTS, OLD = 10_000, 3600.0
"""Names of which is known when they were last asked for; beyond, those older than so many seconds are forgotten."""

_turning: ContextVar[Which | None] = ContextVar("turning", default=None)
"""The Domain that has its turn in this task."""


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


@dataclass(slots=True)
class _Kept:
    """What is kept of a Domain between two turns."""

    reconciler: Reconciler
    found: Found
    asked: str


class Domains:
    """All Domains that this process publishes; ``ours`` tells which providers those are."""

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        providers: Providers,
        *,
        client: KubeClient,
        memory: Memory,
        recorder: Recorder,
        view: Callable[[Entry], View],
        accepted: Callable[[Entry], tuple[Network, ...]],
        looked: Callable[[Entry], bool],
        has_site: Callable[[Entry], bool],
        wake: Callable[[Which], None],
        ours: Callable[[Found | None], bool],
        clock: Clock,
        chance: random.Random,
        metrics: Metrics,
    ) -> None:
        self.entries: dict[Which, Entry] = {}
        self.reports: dict[Which, Report] = {}
        self._adapters = adapters
        self._providers = providers
        self._client = client
        self._memory = memory
        self._recorder = recorder
        self._view = view
        self._accepted = accepted
        self._looked = looked
        self._has_site = has_site
        self._wake = wake
        self.keep_lockouts: Callable[[ProviderId], Awaitable[object]] = _nowhere
        self._ours = ours
        self._clock = clock
        self._chance = chance
        self._metrics = metrics
        self._claims = Claims()
        self._kept: dict[Which, _Kept] = {}
        self._written: dict[Which, tuple[str, dict[str, Any]]] = {}
        self._unkept: set[tuple[Which, ProviderId]] = set()
        self._holding: dict[ProviderId, set[Which]] = {}
        self._under_way: dict[Which, asyncio.Timeout] = {}
        self._leaving = Leaving(providers, memory, rival=self._rival, clock=clock, chance=chance)

    def changed(self, which: Which, found: Any | None) -> None:
        """A Domain is there, has changed, or is gone."""
        before = self.entries.get(which)
        if found is None:
            self._forget(which)
            return
        entry = self._adapters[which.kind].entry(found)
        self.entries[which] = entry
        if before is None and entry.lockouts:
            now = self._clock.time()
            learn_lockouts(self._memory, lockouts_in(entry.provider, entry.name, entry.lockouts, now))
        if before is not None and before.provider != entry.provider:
            self._left(before.provider)
        self.claim(which)
        if entry.deleted and not (before and before.deleted) and which in self._under_way:
            # Longer than any request takes: only who waits for a turn at the provider waits no more.
            self._under_way[which].reschedule(asyncio.get_running_loop().time() + ENDING)
        if before is None or _matters(before, entry):
            self._wake(which)

    def claim(self, which: Which) -> None:
        """Find out what a Domain claims; whoever that concerns has a turn."""
        entry = self.entries[which]
        claim: Claim | None = None
        provider = self._providers.find(entry)
        if entry.enabled and provider is not None and not entry.problem:
            try:
                self._providers.allowed(provider, entry)
                claim = Claim(provider.realm, entry.name, entry.age)
            except Unready:
                pass  # whoever may not publish a name holds it up for nobody
        for rival in self._claims.put(which, claim):
            self._wake(rival)

    def of_provider(self, provider: ProviderId) -> list[Which]:
        """The Domains that are published there."""
        return [which for which, entry in self.entries.items() if entry.provider == provider]

    def hurry(self, which: Which) -> None:
        """Something changed for the better: a name that failed is tried at once."""
        kept = self._kept.get(which)
        if kept is not None:
            for state in kept.reconciler.states.values():
                state.not_before = 0.0
        self._wake(which)

    def published_name(self, entry: Entry) -> Name | None:
        """The name that a Domain's status says was published."""
        return self._leaving.name_of(entry)

    async def turn(self, which: Which) -> float | None:
        """Take a Domain's turn; gives the seconds until the next one."""
        entry = self.entries.get(which)
        if entry is None:
            return None
        _turning.set(which)
        try:
            if not self._ours(self._providers.find(entry)):
                return await self._let_go(entry)
            return await self._turn(entry)
        except NotFound:
            return None
        except Conflict:
            return 0.2  # it changed meanwhile: its news is under way
        except KubeError as error:
            log.warning("turn put off", domain=str(which), reason=str(error))
            return STATUS_AGAIN
        finally:
            now = self.entries.get(which)
            if now is None or now.ref.uid != entry.ref.uid:  # deleted, perhaps made anew, while it had its turn
                self._drop(which)
                self._forget_record(entry.provider.key, entry.name)

    async def _turn(self, entry: Entry) -> float | None:
        if entry.deleted:
            return await self._leave(entry)
        try:
            async with asyncio.timeout(None) as limit:
                self._under_way[entry.which] = limit
                await self._finalize(entry)
                await self._move(entry)
                report = await self._publish(entry, self._providers.find(entry))
        except TimeoutError:
            if not limit.expired():
                raise
            return 0.0  # it is being deleted
        finally:
            self._under_way.pop(entry.which, None)
        return await self._report(entry, report)

    async def _let_go(self, entry: Entry) -> float | None:
        """Whoever publishes a name in an own zone may not be running: a Domain that is deleted does not wait for it."""
        if not self._ours(None) or not entry.deleted or FINALIZER not in entry.finalizers:
            return None
        left = self._leaving.patience(entry) + ENDING
        if left > 0:
            return left
        told = f"{entry.name.text} at {entry.provider} is left to `homing dns`, which did not remove it in time"
        self._tell(entry, Told("retained", told, warning=True))
        await self._set_finalizers(entry, [item for item in entry.finalizers if item != FINALIZER])
        return None

    async def _publish(self, entry: Entry, provider: Found | None) -> Report:
        """Judge, then have the name's turn."""
        kept = self._kept.get(entry.which)
        try:
            if not entry.enabled:
                raise Unready("Disabled", "spec.enabled is false; the name keeps what it holds")
            found = self._judge(entry, provider)
            publisher = await self._providers.use(found)
        except Unready as problem:
            return self._unready(entry, problem)
        if kept is None or kept.reconciler.provider is not publisher or kept.reconciler.names[0] != self._spec(entry):
            kept = self._kept[entry.which] = _Kept(self._reconciler(entry, publisher, kept), found, entry.asked)
        reconciler, state = kept.reconciler, kept.reconciler.states[entry.name]
        if found.type == "zone":
            state.last_read = 0.0  # a look at the own zone costs nothing
        if kept.asked != entry.asked:
            kept.asked, state.last_read = entry.asked, 0.0
            state.hurry()
        locks, error = self._locks(found.id), state.error
        turn = await reconciler.turn(self._view(entry), accept=entry.accept)
        await self._keep_changed(entry, found.id, locks)
        self._count(entry, found, held=bool(state.held))
        return self._judged(entry, found, reconciler, turn, error)

    async def _keep_changed(self, entry: Entry, provider: ProviderId, before: list[Lockout]) -> None:
        """Lockouts outlive this process before anything else is told (law 8)."""
        now = self._locks(provider)
        if now != before:
            self._unkept.add((entry.which, provider))
            if len(now) > MAX_LOCKOUTS:
                forgotten = set(now) - set(latest(now))
                self._memory.lockouts = [one for one in self._memory.lockouts if one not in forgotten]
        if (entry.which, provider) in self._unkept:
            await self._keep(entry, provider)
            self._unkept.discard((entry.which, provider))

    def _count(self, entry: Entry, found: Found, *, held: bool) -> None:
        """Figures of a provider are those of all its Domains; each reconciler knows its own only."""
        holding = self._holding.setdefault(found.id, set())
        (holding.add if held else holding.discard)(entry.which)
        self._metrics.held.labels(found.id.key).set(len(holding))
        self._metrics.lockouts.labels(found.id.key).set(len(self._locks(found.id)))

    def _judge(self, entry: Entry, provider: Found | None) -> Found:
        """Whether this Domain may be published at all. Raises Unready."""
        if entry.problem:
            raise Unready("InvalidSpec", entry.problem)
        if not self._has_site(entry):
            raise Unready(
                "SiteNotFound", f"there is no Site {entry.site}; create it or correct spec.addresses.wan.site"
            )
        if provider is None:
            raise Unready("ProviderNotFound", f"there is no {entry.provider}; create it or correct spec.providerRef")
        self._providers.allowed(provider, entry)
        holder = self._claims.holder(entry.which)
        if holder is not None and holder != entry.which:
            raise Unready("Conflict", f"{holder} claims {entry.name.text} too and is older; remove one of the two")
        return provider

    def _reconciler(self, entry: Entry, publisher: Publisher, before: _Kept | None) -> Reconciler:
        """The name's reconciler, which knows what the status tells of the time before this process."""
        spec, known = self._spec(entry), entry.known
        same = (
            before is not None and before.found.id == entry.provider and before.reconciler.names[0].name == entry.name
        )
        now = self._clock.time()
        if not same and known.provider == entry.provider and known.fqdn == entry.name.text:
            for item in known.rrsets(entry.name, entry.ttl):
                self._memory.published.setdefault((publisher.name, *item.key), item)
        reconciler = Reconciler(
            publisher, [spec], self._memory, clock=self._clock, chance=self._chance, metrics=self._metrics
        )
        state = reconciler.states[entry.name]
        if same and before is not None:
            old = before.reconciler.states[entry.name]
            state.last_read, state.last_sync = old.last_read, old.last_sync
        elif known.synced:
            state.last_read = state.last_sync = min(known.last_sync, now)
            if known.last_attempt and publisher.traits.cooldown:
                self._memory.requests.setdefault((publisher.name, entry.name), min(known.last_attempt, now))
        return reconciler

    def _judged(self, entry: Entry, found: Found, reconciler: Reconciler, turn: Turn, error: str) -> Report:
        """What came of a turn."""
        now, state, last = self._clock.time(), reconciler.states[entry.name], self._last(entry)
        word, sentence = reconciler.status(reconciler.names[0])
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

    def _spec(self, entry: Entry) -> NameSpec:
        accepted = entry.accepted + self._accepted(entry)
        return NameSpec(entry.name, entry.provider.key, entry.source, entry.ttl, entry.interval or 1e9, accepted)

    async def _keep(self, entry: Entry, provider: ProviderId) -> None:
        if provider.kind != STRATO:
            await self.keep_lockouts(provider)
            return
        body = {"metadata": {"annotations": {LOCKOUTS: lockouts_text(self._memory, provider, entry.name)}}}
        await self._client.patch(
            self._adapters[entry.which.kind].resource, entry.which.name, body, entry.which.namespace
        )

    def happened(self, event: Event) -> None:
        """Something worth telling happened to a name."""
        which = _turning.get()
        entry = self.entries.get(which) if which is not None else None
        if event.kind == "drift" and entry is not None and entry.name.text == event.subject:
            self._tell(entry, Told("drift", event.detail, warning=True))

    def _unready(self, entry: Entry, problem: Unready) -> Report:
        known, now = self._last(entry), self._clock.time()
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

    def _last(self, entry: Entry) -> Report:
        known, now = entry.known, self._clock.time()
        return self.reports.get(entry.which) or Report(
            0.0, False, "", "", known.addresses, known.ttl, known.provider, False, None,
            last_sync=min(known.last_sync, now), last_attempt=min(known.last_attempt, now), retries=known.retries,
        )  # fmt: skip

    async def _report(self, entry: Entry, report: Report) -> float | None:
        """Tell it four times: here the event and the status; log, metric and history came with the turn."""
        self.reports[entry.which] = report
        adapter = self._adapters[entry.which.kind]
        for told in report.told:
            self._tell(entry, told)
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

    async def _finalize(self, entry: Entry) -> None:
        """Only ``deletionPolicy: Delete`` sets a finalizer."""
        wanted = [item for item in entry.finalizers if item != FINALIZER]
        if entry.deletes:
            wanted.append(FINALIZER)
        if set(wanted) != set(entry.finalizers):
            await self._set_finalizers(entry, wanted)

    async def _set_finalizers(self, entry: Entry, finalizers: list[str]) -> None:
        metadata = {"finalizers": finalizers, "resourceVersion": entry.resource_version, "uid": entry.ref.uid}
        resource = self._adapters[entry.which.kind].resource
        await self._client.patch(resource, entry.which.name, {"metadata": metadata}, entry.which.namespace)

    async def _move(self, entry: Entry) -> None:
        """A name that moved, to another fqdn or provider, leaves its old place as its policy says."""
        last = self._last(entry)
        name = self._place(entry)
        if last.published_at is None or not last.addresses or name is None:
            return
        if (name, last.published_at) != (entry.name, entry.provider):
            if name != entry.name or self._realm(last.published_at) != self._realm(entry.provider):
                locks = self._locks(last.published_at)
                self._tell(entry, await self._leaving.leave(entry, name, last.published_at, last))
                await self._keep_changed(entry, last.published_at, locks)
            # else it is one record, that goes on under another account
            self.reports[entry.which] = replace(last, addresses=(), published_at=None)
            self._drop_kept(entry.which)

    def _realm(self, provider: ProviderId) -> str | None:
        found = self._providers.object(provider)
        return found.realm if found is not None else None

    def _rival(self, entry: Entry, name: Name, found: Found) -> Which | None:
        """Another Domain that may publish a name where this one wants it removed, paused ones too."""
        for which, other in self.entries.items():
            if which != entry.which and other.name == name and not other.problem and not other.deleted:
                place = self._providers.find(other)
                if place is not None and place.realm == found.realm:
                    with contextlib.suppress(Unready):
                        self._providers.allowed(place, other)
                        return which
        return None

    def _place(self, entry: Entry) -> Name | None:
        kept = self._kept.get(entry.which)
        if kept is not None:
            return kept.reconciler.names[0].name
        return self._leaving.name_of(entry)

    async def _leave(self, entry: Entry) -> float | None:
        """A Domain is being deleted: with the policy Delete what Homing published and still holds goes first."""
        if FINALIZER not in entry.finalizers:
            return None
        last = self._last(entry)
        if last.published_at is not None and last.addresses:
            name, locks = self._place(entry) or entry.name, self._locks(last.published_at)
            told = await self._leaving.leave(entry, name, last.published_at, last)
            await self._keep_changed(entry, last.published_at, locks)
            if told is None:
                return self._leaving.pause(entry)
            self._tell(entry, told)
        await self._set_finalizers(entry, [item for item in entry.finalizers if item != FINALIZER])
        return None

    def _tell(self, entry: Entry, told: Told | None) -> None:
        reason = self._adapters[entry.which.kind].reason(told.word) if told is not None else ""
        if told is not None and reason:
            kind = "Warning" if told.warning else "Normal"
            self._recorder.event(entry.ref, kind, reason, told.message, "Reconcile")

    def _forget(self, which: Which) -> None:
        entry = self.entries.pop(which, None)
        self._drop(which)
        for rival in self._claims.put(which, None):
            self._wake(rival)
        if entry is not None:
            self._leaving.forget(entry.ref.uid)
            self._left(entry.provider)

    def _drop(self, which: Which) -> None:
        """Forget what was learnt of a Domain: it is gone, or another has its name now."""
        self.reports.pop(which, None)
        self._written.pop(which, None)
        self._unkept = {one for one in self._unkept if one[0] != which}
        self._drop_kept(which)

    def _drop_kept(self, which: Which) -> None:
        kept = self._kept.pop(which, None)
        if kept is not None:
            self._forget_record(*kept.reconciler.names[0].key)
            self._holding.get(kept.found.id, set()).discard(which)

    def _forget_record(self, provider: str, name: Name) -> None:
        for rtype in FAMILIES:
            self._memory.published.pop((provider, name, rtype), None)
        self._memory.accounts.pop((provider, name), None)
        self._metrics.in_sync.remove_by_labels({"fqdn": name.text, "provider": provider})

    def _left(self, provider: ProviderId) -> None:
        """A Domain left a provider; an account that only Domains bring along goes with the last of them."""
        if provider.kind == STRATO and not self.of_provider(provider):
            self.forget_provider(provider)

    def forget_provider(self, provider: ProviderId) -> None:
        """A provider is gone, and its figures with it; its lockouts are kept, since it may come back."""
        self._providers.forget(provider)
        self._holding.pop(provider, None)
        metrics = self._metrics
        for figures in (metrics.updates, metrics.update_seconds, metrics.lockouts, metrics.held):
            figures.remove_by_labels({"provider": provider.key})
        if len(self._memory.requests) > MAX_REQUESTS:
            old = self._clock.time() - OLD
            self._memory.requests = {key: at for key, at in self._memory.requests.items() if at > old}

    def _locks(self, provider: ProviderId) -> list[Lockout]:
        return [one for one in self._memory.lockouts if one.provider == provider.key]

    def _published(self, provider: str, name: Name) -> list[RRset]:
        keys = ((provider, name, rtype) for rtype in FAMILIES)
        return [self._memory.published[key] for key in keys if key in self._memory.published]


async def _nowhere(_: ProviderId) -> None:
    """Lockouts are kept nowhere yet."""


_REASONS = {
    "in-sync": "Published",
    "locked": "Locked",
    "held": "Held",
    "failed": "UpdateFailed",
    "pending": "AddressUnknown",
    "disabled": "Disabled",
}


def _matters(before: Entry, after: Entry) -> bool:
    """Whether a change is one of what the user says; our own status is no news."""
    return any(
        getattr(before, field) != getattr(after, field)
        for field in ("ref", "generation", "deleted", "finalizers", "asked", "accept")
    )


def _addresses(rrsets: Iterable[RRset]) -> tuple[Any, ...]:
    return tuple(address for item in rrsets for address in item.addresses)


def _of(addresses: Iterable[Any], found: Found) -> str:
    return f"{', '.join(map(str, addresses))} published at {found.id}"
