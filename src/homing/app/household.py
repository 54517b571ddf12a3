"""One configuration's life: its providers, its zones, its observers, and the loop of turns."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path

from homing.app.build import OWN, build_names, build_provider, http_client
from homing.app.keeper import ZoneKeeper
from homing.app.observe import build_detector, build_observing, own_addresses
from homing.app.settings import Loaded
from homing.app.zones import ZoneSpec, build_zones
from homing.detect.round import run_rounds
from homing.dns.authority import Authority
from homing.effects.backoff import Backoff
from homing.effects.clock import Clock, wait_until
from homing.effects.http import HttpClient
from homing.effects.log import get_logger, tell_fault
from homing.effects.metrics import Metrics
from homing.errors import kind_and_place
from homing.model.address import Address, Family, parse_address
from homing.model.name import Name
from homing.model.observation import Outcome, Verdict
from homing.model.rrset import ADDRESS_TYPES
from homing.providers.base import Provider
from homing.providers.zone import FirstSerials, ZoneProvider
from homing.providers.zone_template import ZoneTemplate, zone_template
from homing.sources import View, WanSource
from homing.store import Event
from homing.turn.memory import Memory
from homing.turn.reconcile import Reconciler

log = get_logger("household")

SECRETS_LOOK = 2.0
"""Seconds between two looks at whether a secret changed."""

FAULT_PAUSE, FAULT_PAUSE_LIMIT = 5.0, 300.0
"""Seconds before a part that failed through a bug is started again: the first time, and at the most."""

GATHER = 0.3
"""Seconds after a change of one family in which the other may follow, so that both go to a provider in one request."""


class Household:
    """Everything that follows from one configuration. ``open`` before ``run``; ``aclose`` at the end."""

    def __init__(
        self,
        loaded: Loaded,
        memory: Memory,
        authority: Authority,
        metrics: Metrics,
        *,
        clock: Clock,
        chance: random.Random,
        listen: Iterable[tuple[str, int]] = (),
        cache: Path | None = None,
        keeper: ZoneKeeper | None = None,
        first: FirstSerials | None = None,
        beside: Collection[Name] = (),
    ) -> None:
        """``keeper`` keeps the zones, ``first`` finds their first serials, zones ``beside`` belong to others."""
        self.loaded = loaded
        self.names = build_names(loaded)
        self.families = tuple(Family(number) for number in loaded.settings.detect.families)
        self.types = {key: provider.type for key, provider in loaded.settings.providers.items()}
        self.verdicts: dict[Family, Verdict] = {}
        self.own: tuple[Address, ...] | None = None
        self.memory = memory
        self._authority = authority
        self._metrics = metrics
        self._clock = clock
        self._wakes = {spec.provider: asyncio.Event() for spec in self.names}
        self._listen = tuple(listen)
        self._zones = build_zones(loaded)
        self._keeper = keeper or ZoneKeeper(memory)
        self._first = first
        self._beside = frozenset(beside)
        self._own_zones: ZoneProvider | None = None
        self._https: list[HttpClient] = []
        self._http = self._client("")
        self._providers = {key: self._provider(key) for key in loaded.settings.providers}
        self._observing = build_observing(loaded, self._http, clock=clock, chance=chance, cache=cache)
        self._heard: dict[Family, Verdict] = {}
        self._told_lists: dict[str, str] = {}
        self._hear = asyncio.Event()
        self._detector = build_detector(self._observing, self._on_round, clock=clock, chance=chance)
        self._chance = chance
        self.reconcilers: dict[str, Reconciler] = {}

    def _client(self, ca_file: str, where: str = "") -> HttpClient:
        client = http_client(self.loaded, ca_file, where)
        self._https.append(client)
        return client

    def _provider(self, key: str) -> Provider:
        settings = self.loaded.settings.providers[key]
        where = f"{self.loaded.origin}: providers.{key}"
        http = self._client(settings.ca_file, where) if settings.ca_file else self._http
        return build_provider(key, settings, self.loaded, http)

    @property
    def origins(self) -> tuple[Name, ...]:
        """The zones of the settings."""
        return tuple(zone.origin for zone in self._zones)

    @property
    def is_live(self) -> bool:
        """Whether what is served rests on a look at the world in this run, or needs none."""
        follows = any(isinstance(spec.source, WanSource) for spec in self.names)
        return not follows or any(verdict.outcome is Outcome.AGREED for verdict in self.verdicts.values())

    async def overtake(self, origin: Name, serial: int) -> None:
        """Give a zone a serial above one that a secondary has."""
        if self._own_zones is not None:
            await self._own_zones.overtake(origin, serial)

    async def open(self) -> None:
        """Serve the zones as they were last; zones that are configured no more are served no more."""
        for origin in set(self._authority.zones.loaded) - {*self.origins, *self._beside}:
            self._authority.withdraw(origin)
        if self._zones:
            await self._open_zones()
        self._metrics.forget_names()
        for family in self.families:
            self._count_good(family)
        for name in self._wakes:
            provider = self._providers[name]
            self.reconcilers[name] = Reconciler(
                provider,
                (spec for spec in self.names if spec.provider == name),
                self.memory,
                clock=self._clock,
                chance=self._chance,
                metrics=self._metrics,
                second_look=self.loaded.settings.second_look,
            )

    async def _open_zones(self) -> None:
        self.own = await asyncio.to_thread(own_addresses)
        templates = [self._template(zone) for zone in self._zones]
        provider = self._own_zones = ZoneProvider(OWN, self._authority, templates, self._keeper.save, self._clock)
        kept = [spec for spec in self.names if spec.provider == OWN]
        wanted = {(spec.name, ADDRESS_TYPES[family]) for spec in kept for family in spec.source.families}
        await self._keeper.hold(self.origins)
        await provider.start(self._keeper.last_good, wanted, greatest=self._keeper.greatest, first=self._first)
        self._providers[OWN] = provider
        self.types[OWN] = "built-in DNS server"
        self._learn_what_is_served(provider)

    def _learn_what_is_served(self, provider: ZoneProvider) -> None:
        """What the own zone holds is known from the zone itself, not from what was once published."""
        for key in [key for key in self.memory.published if key[0] == OWN]:
            del self.memory.published[key]
        self.memory.published.update({(OWN, *item.key): item for item in provider.changeable()})

    def _template(self, zone: ZoneSpec) -> ZoneTemplate:
        """SOA, NS, and the addresses of the servers inside the zone unless they are names to be kept right."""
        if zone.joined is not None:
            read = zone.joined.zone
            return ZoneTemplate(zone.origin, read.soa, read.rrsets(), read.serial)
        kept = {spec.name for spec in self.names if spec.provider == OWN}
        servers = {server: None if server in kept else self._glue() for server in zone.ns}
        return zone_template(zone.origin, servers, zone.soa.rname, ttl=zone.ttl, soa=zone.soa)

    def _glue(self) -> list[Address]:
        given = [parse_address(host) for host, _ in self._listen if host not in ("", "0.0.0.0", "::")]
        return given or list(self.own or ()) or [parse_address("127.0.0.1")]

    async def run(self, note: Callable[[], Awaitable[None]]) -> None:
        """Observe and take turns until cancelled; ``note`` is called after each turn."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_going("detector", self._detector.run))
            group.create_task(self._keep_going("verdicts", self._hear_verdicts))
            group.create_task(self._keep_going("secrets", self._watch_secrets))
            if self._observing.lists is not None:
                group.create_task(self._keep_going("server lists", self._observing.lists.run))
            for name, reconciler in self.reconcilers.items():
                turns = functools.partial(self._take_turns, reconciler, self._wakes[name], note)
                group.create_task(self._keep_going(f"turns of {name}", turns))

    async def _keep_going(self, part: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start a part again after a fault of Homing itself: a bug in one provider must not stop the others (U9)."""
        pause = Backoff(FAULT_PAUSE, FAULT_PAUSE_LIMIT)
        while True:
            started = self._clock.monotonic()
            try:
                await work()
            except Exception as fault:  # noqa: BLE001 - told below
                # The one place where what nobody expected is caught: told by kind and place, see docs/design/005.
                healthy = self._clock.monotonic() - started > FAULT_PAUSE_LIMIT
                pause = (Backoff(FAULT_PAUSE, FAULT_PAUSE_LIMIT) if healthy else pause).after_failure()
                self._metrics.faults.labels(part).inc()
                await self.memory.happened(Event(self._clock.time(), "fault", part, kind_and_place(fault)))
                tell_fault(log, part, fault)
            await self._clock.sleep(max(FAULT_PAUSE, pause.seconds(self._chance)))

    async def look(self) -> None:
        """Observe once, for the commands that take one turn."""
        self.own = await asyncio.to_thread(own_addresses)
        if self._observing.lists is not None:
            await self._observing.lists.refresh()
        found = await run_rounds(
            self._observing.observers(),
            self._observing.ask,
            clock=self._clock,
            families=self.families,
            settings=self._observing.settings.round,
        )
        for verdict in found.values():
            await self._verdict(verdict)

    def _on_round(self, verdict: Verdict) -> None:
        """Take a verdict from the detector, which does not wait; of several only the last one of a family counts."""
        self._heard[verdict.family] = verdict
        self._hear.set()

    async def _hear_verdicts(self) -> None:
        while True:
            await self._hear.wait()
            self._hear.clear()
            for family in tuple(self._heard):
                await self._verdict(self._heard.pop(family))

    async def _take_turns(
        self, reconciler: Reconciler, wake: asyncio.Event, note: Callable[[], Awaitable[None]]
    ) -> None:
        """Each provider takes its own turns, so that one that hangs holds up nobody else."""
        while True:
            if wake.is_set():
                await self._clock.sleep(GATHER)
            wake.clear()
            self.own = await asyncio.to_thread(own_addresses)
            turn = await reconciler.turn(self.view())
            self._count_names()
            await note()
            await wait_until(wake, max(0.0, turn.next_at - self._clock.time()), self._clock)

    def _wake(self) -> None:
        for wake in self._wakes.values():
            wake.set()

    @property
    def overdue(self) -> float:
        """Seconds since the turn was due that waits the longest; 0 when none does."""
        now = self._clock.time()
        return max((now - one.next_at for one in self.reconcilers.values() if one.next_at < now), default=0.0)

    def _count_good(self, family: Family) -> None:
        """What was agreed on before this process is what names hold until somebody looks again."""
        good = self.memory.good.get(family)
        if good is not None:
            self._metrics.wan_is(str(family), str(good.address))
            self._metrics.wan_confirmed.labels(str(family)).set(good.confirmed)

    def _count_names(self) -> None:
        right = [
            one.turned_at if one.is_in_sync(name) else state.last_sync
            for one in self.reconcilers.values()
            for name, state in one.states.items()
        ]
        in_sync = all(self.reconcilers[spec.provider].is_in_sync(spec.name) for spec in self.names if spec.enabled)
        self._metrics.esddns_in_sync.set(in_sync)
        self._metrics.esddns_last_update.set(max(right, default=0.0))

    def view(self) -> View:
        """What is known of the world: the last agreed addresses, whatever the last round said (law 1).

        Until every family had its first round there is nothing to say of the WAN: half of it would go out alone.
        """
        if any(family not in self.verdicts for family in self.families):
            return View({}, self.own)
        good = {family: self.memory.good[family].address for family in self.families if family in self.memory.good}
        return View(good, self.own)

    async def wait_idle(self) -> None:
        """Wait until no request to a provider is under way."""
        await asyncio.gather(*(one.idle() for one in self.reconcilers.values()))

    async def finish(self, running: asyncio.Task[None], patience: float) -> None:
        """Stop observing; requests under way get ``patience`` seconds to end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait_idle(), patience)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def aclose(self) -> None:
        """Let go of connections."""
        for provider in self._providers.values():
            await provider.aclose()
        for client in self._https:
            await client.aclose()

    async def _verdict(self, verdict: Verdict) -> None:
        """A round has ended: a new agreed address is on disk before it counts."""
        family, before = verdict.family, self.verdicts.get(verdict.family)
        self.verdicts[family] = verdict
        self._metrics.heard(verdict)
        self._tell_lists()
        if verdict.outcome is Outcome.AGREED and verdict.address is not None:
            if before is None or before.outcome is not Outcome.AGREED:
                for reconciler in self.reconcilers.values():
                    reconciler.hurry()
            if await self.memory.agreed(family, verdict.address, verdict.at, verdict.reason):
                self._metrics.wan_changes.labels(str(family)).inc()
                self._detector.trigger()
                for reconciler in self.reconcilers.values():
                    reconciler.expect(self.view())
                log.info("WAN address", family=str(family), address=str(verdict.address), reason=verdict.reason)
                self._wake()
        elif before is None or before.outcome is not verdict.outcome:
            if verdict.outcome is Outcome.DISPUTED:
                await self.memory.happened(Event(verdict.at, "disputed", f"WAN {family}", verdict.reason))
                log.warning("WAN address disputed, the last good one stays", family=str(family), reason=verdict.reason)
            else:
                log.info("WAN address not known", family=str(family), reason=verdict.reason)
        # Every round wakes the turn: what started it may have been a change of this machine's own addresses.
        self._wake()

    def _tell_lists(self) -> None:
        """Say once what is wrong with a list of servers; meanwhile its copy or the built-in list serves."""
        problems = dict(self._observing.lists.problems) if self._observing.lists else {}
        for location, reason in problems.items():
            if self._told_lists.get(location) != reason:
                log.warning("list of STUN servers cannot be used", list=location, reason=reason)
        self._told_lists = problems

    async def _watch_secrets(self) -> None:
        """A changed secret counts at once (law 3): names that wait because of the old one are tried again."""
        known = self._fingerprints()
        while True:
            await self._clock.sleep(SECRETS_LOOK)
            now = self._fingerprints()
            changed = {key for key in now if now[key] != known[key]}
            known = now
            # A secret may have changed twice between two looks; the one that a pause was earned with tells.
            if any(one.restraint.ended(self._clock.time()) for one in self.reconcilers.values()):
                self._wake()
            if changed:
                for key in changed:
                    self.reconcilers[key[0]].states[key[1]].not_before = 0.0
                log.info("secret changed", providers=sorted({provider for provider, _ in changed}))
                self._wake()

    def _fingerprints(self) -> dict[tuple[str, Name], str]:
        return {
            spec.key: self._providers[spec.provider].fingerprint(spec.name, self.memory.salt)
            for spec in self.names
            if spec.provider != OWN
        }
