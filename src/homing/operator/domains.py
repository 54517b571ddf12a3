"""The turn of a Domain: judge, publish, report. Both kinds of Domain take it; their adapters only translate."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.effects.metrics import Metrics
from homing.errors import Conflict, KubeError, NotFound
from homing.kube.client import KubeClient
from homing.kube.recorder import Recorder
from homing.model.address import Network
from homing.model.name import Name
from homing.operator.accounts import learn_lockouts, lockouts_in
from homing.operator.claims import Claim, Claims
from homing.operator.departing import Departing
from homing.operator.entry import Entry, ProviderId, Report, Told, Unready, Which
from homing.operator.keeping import Keeping
from homing.operator.providers import STRATO, Found, Providers
from homing.operator.telling import STATUS_AGAIN, Adapter, Telling
from homing.providers.base import Provider as Publisher
from homing.sources import View
from homing.store import Event
from homing.turn.memory import Memory
from homing.turn.names import NameSpec
from homing.turn.reconcile import Reconciler

log = get_logger("domains")

ENDING = 60.0
"""Seconds that a turn under way has left when its Domain is deleted; a request takes no longer."""

SETTLED_WAITS = 1.0
"""Seconds that a new leader leaves those alone whose status says that all is well: the others go first."""

_turning: ContextVar[Which | None] = ContextVar("turning", default=None)
"""The Domain that has its turn in this task."""


class Wake(Protocol):
    """Gives a Domain a turn in so many seconds."""

    def __call__(self, key: Which, seconds: float = 0.0) -> None: ...


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
        wake: Wake,
        ours: Callable[[Found | None], bool],
        clock: Clock,
        chance: random.Random,
        metrics: Metrics,
    ) -> None:
        self.entries: dict[Which, Entry] = {}
        self._adapters = adapters
        self._providers = providers
        self._memory = memory
        self._view = view
        self._accepted = accepted
        self._has_site = has_site
        self._wake = wake
        self._ours = ours
        self._clock = clock
        self._chance = chance
        self._metrics = metrics
        self._claims = Claims()
        self._kept: dict[Which, _Kept] = {}
        self._under_way: dict[Which, asyncio.Timeout] = {}
        self._telling = Telling(
            adapters, client=client, recorder=recorder, memory=memory, looked=looked, clock=clock, chance=chance
        )
        self._keeping = Keeping(adapters, client=client, memory=memory, clock=clock, metrics=metrics)
        self._departing = Departing(
            adapters,
            providers,
            self.entries,
            client=client,
            memory=memory,
            named=self._claims.named,
            telling=self._telling,
            keeping=self._keeping,
            place=self._published_as,
            forget=self._drop_kept,
            ours=ours,
            clock=clock,
            chance=chance,
        )

    @property
    def reports(self) -> Mapping[Which, Report]:
        """How each Domain was after its last turn."""
        return self._telling.reports

    def reconciler(self, which: Which) -> Reconciler | None:
        """What a Domain's last turn knew; None before its first, and where it has none."""
        kept = self._kept.get(which)
        return kept.reconciler if kept is not None else None

    def keep_lockouts_by(self, keep: Callable[[ProviderId], Awaitable[object]]) -> None:
        """From now on the lockouts of a provider are kept so."""
        self._keeping.keep_lockouts = keep

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
        self._claims.name(which, entry.name)
        if before is not None and before.provider != entry.provider:
            self._left(before.provider)
        self.claim(which)
        if entry.deleted and not (before and before.deleted) and which in self._under_way:
            # Longer than any request takes: only who waits for a turn at the provider waits no more.
            self._under_way[which].reschedule(asyncio.get_running_loop().time() + ENDING)
        if before is None:
            self._wake(which, SETTLED_WAITS if _is_settled(entry) else 0.0)
        elif _matters(before, entry):
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
        return self._departing.published_name(entry)

    def happened(self, event: Event) -> None:
        """Something worth telling happened to a name."""
        which = _turning.get()
        entry = self.entries.get(which) if which is not None else None
        if event.kind == "drift" and entry is not None and entry.name.text == event.subject:
            self._telling.tell(entry, Told("drift", event.detail, warning=True))

    async def turn(self, which: Which) -> float | None:
        """Take a Domain's turn; gives the seconds until the next one."""
        entry = self.entries.get(which)
        if entry is None:
            return None
        _turning.set(which)
        try:
            if not self._ours(self._providers.find(entry)):
                pause = await self._departing.hand_over(entry)
                # Whoever cares for Domains without a provider has an eye on those that nobody else cares for.
                return await self._departing.let_go(entry) if pause is None and self._ours(None) else pause
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
                self._keeping.forget_name(which, entry.provider, entry.name)

    async def _turn(self, entry: Entry) -> float | None:
        if entry.deleted:
            return await self._departing.leave(entry)
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._under_way[entry.which] = limit
                await self._departing.finalize(entry)
                await self._departing.move(entry)
                report = await self._publish(entry, self._providers.find(entry))
        except TimeoutError:
            if not limit.expired():
                raise
            return 0.0  # it is being deleted
        finally:
            self._under_way.pop(entry.which, None)
        return await self._telling.report(entry, report)

    async def _publish(self, entry: Entry, provider: Found | None) -> Report:
        """Judge, then have the name's turn."""
        kept = self._kept.get(entry.which)
        try:
            if not entry.enabled:
                raise Unready("Disabled", "spec.enabled is false; the name keeps what it holds")
            found = self._judge(entry, provider)
            publisher = await self._providers.use(found)
        except Unready as problem:
            return self._telling.unready(entry, problem)
        if kept is None or kept.reconciler.provider is not publisher or kept.reconciler.names[0] != self._spec(entry):
            kept = self._kept[entry.which] = _Kept(self._reconciler(entry, publisher, kept), found, entry.asked)
        reconciler, state = kept.reconciler, kept.reconciler.states[entry.name]
        if found.type == "zone":
            state.last_read = 0.0  # a look at the own zone costs nothing
        if kept.asked != entry.asked:
            kept.asked, state.last_read = entry.asked, 0.0
            state.hurry()
        locks, error = self._keeping.locks(found.id), state.error
        turn = await reconciler.turn(self._view(entry), accept=entry.accept)
        await self._keeping.keep(entry, found.id, locks)
        self._keeping.count(entry, found, held=bool(state.held))
        return self._telling.judged(entry, found, reconciler, turn, error)

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

    def _spec(self, entry: Entry) -> NameSpec:
        accepted = entry.accepted + self._accepted(entry)
        return NameSpec(entry.name, entry.provider.key, entry.source, entry.ttl, entry.interval or 1e9, accepted)

    def _forget(self, which: Which) -> None:
        entry = self.entries.pop(which, None)
        self._drop(which)
        self._claims.name(which, None)
        for rival in self._claims.put(which, None):
            self._wake(rival)
        if entry is not None:
            self._departing.gone(entry.ref.uid)
            self._left(entry.provider)

    def _drop(self, which: Which) -> None:
        """Forget what was learnt of a Domain: it is gone, or another has its name now."""
        self._telling.forget(which)
        self._keeping.forget(which)
        self._drop_kept(which)

    def _drop_kept(self, which: Which) -> None:
        kept = self._kept.pop(which, None)
        if kept is not None:
            self._keeping.forget_name(which, kept.found.id, kept.reconciler.names[0].name)

    def _published_as(self, which: Which) -> Name | None:
        kept = self._kept.get(which)
        return kept.reconciler.names[0].name if kept is not None else None

    def _left(self, provider: ProviderId) -> None:
        """A Domain left a provider; an account that only Domains bring along goes with the last of them."""
        if provider.kind == STRATO and not self.of_provider(provider):
            self.forget_provider(provider)

    def forget_provider(self, provider: ProviderId) -> None:
        """A provider is gone, and its figures with it; its lockouts are kept, since it may come back."""
        self._providers.forget(provider)
        self._keeping.forget_provider(provider)


def _is_settled(entry: Entry) -> bool:
    """Whether what is wanted now was published, as the status says."""
    synced = next((item for item in entry.known.conditions if item.type == "Synced"), None)
    told = synced is not None and synced.status == "True" and synced.observed_generation == entry.generation
    return told and not entry.deleted


def _matters(before: Entry, after: Entry) -> bool:
    """Whether a change is one of what the user says; our own status is no news."""
    return any(
        getattr(before, field) != getattr(after, field)
        for field in ("ref", "generation", "deleted", "finalizers", "asked", "accept")
    )
