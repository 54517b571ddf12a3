"""The Zones of a cluster, for ``homing dns``: of its replicas one leads, reads and publishes; the others follow it.

What was served last is on disk, with the Zones' specs beside it, so a start without the API server serves that.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import NoReturn

from prometheus_client.registry import Collector

from homing import __version__
from homing.app.cluster.common import credentials_of, history_of, lasting
from homing.app.cluster.kept import Kept, templates
from homing.app.cluster.metrics import ClusterMetrics, ZonesCollector
from homing.app.cluster.replicas import Replicas
from homing.app.cluster.settings import ClusterSettings
from homing.app.secondaries import ReadPolicy
from homing.app.transfers import Transfers
from homing.checks import Checker, CheckMetrics, NetworkProbe
from homing.dns.authority import Authority, Change
from homing.dns.lookup import ROOT
from homing.dns.transfers.follow import Standing
from homing.dns.transfers.policy import TransferPolicy, ZonePolicy
from homing.dns.transfers.tsig import Key
from homing.effects.clock import Clock, SystemClock
from homing.effects.log import get_logger
from homing.effects.metrics import Metrics
from homing.errors import ConfigError, HomingError, NotLeading, StoreError
from homing.kube.client import KubeClient
from homing.kube.credentials import Credentials
from homing.kube.kinds.zone import ZoneSpec
from homing.kube.lease import Election, Leadership
from homing.model.address import Address
from homing.model.name import Name
from homing.model.zone import serial_add, serial_gt
from homing.operator.entry import Unready
from homing.operator.runtime import LEASE_DURATION, Options, Term
from homing.operator.zone_state import Start
from homing.operator.zone_turns import HANDOVER, ZoneTurns
from homing.operator.zones import follow_of
from homing.providers.zone import ZoneProvider
from homing.store import Event, Store

log = get_logger("cluster")

LEASE = "homing-dns"
"""The Lease of the DNS leader."""

SOURCE = "cluster"

STALLED = 60.0
"""Seconds without a look at a queue after which the loop counts as stuck."""


class ClusterZones:
    """The Zones of a cluster as a server has them beside its files. ``read`` gives what holds for all zones."""

    def __init__(self, settings: ClusterSettings, read: ReadPolicy, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._read = read
        self._clock = clock or SystemClock()
        self._chance = random.SystemRandom()
        self._metrics = Metrics(__version__)
        self._counted = ClusterMetrics(self._metrics)
        self._checks = CheckMetrics(self._metrics.registry)
        self._zones: dict[Name, ZoneSpec] = {}
        self._policies: Mapping[Name, ZonePolicy] = {}
        self._keys: Collection[Key] = ()
        self._files: frozenset[Name] = frozenset()
        self._check: Callable[[], None] = _not_leading
        self._term: Term | None = None
        self._turns: ZoneTurns | None = None
        self._election: Election | None = None
        self._live = False
        self._was_seen = False
        self._current_at = self._clock.monotonic()
        self._goes_on = False
        self._unnumbered: set[Name] = set()
        """Zones that another replica numbered last, and this one not yet."""
        self._authority: Authority
        self._store: Store
        self._kept: Kept
        self._transfers: Transfers
        self._provider: ZoneProvider
        self._credentials: Credentials | None = None
        self._replicas: Replicas

    @property
    def origins(self) -> Collection[Name]:
        """The zones that there are now; until the cluster was seen that may be any."""
        there = set(self._zones)
        if self._turns is not None:
            there |= self._turns.origins
        return there if self._was_seen else {*there, ROOT}

    @property
    def collector(self) -> Collector:
        """Metrics of the API, of turns, and whether this replica leads."""
        self._metrics.refresh = self._refresh_metrics
        return ZonesCollector(self._metrics, lambda: self._live, self._ages, self._credential_ends)

    def _refresh_metrics(self) -> None:
        queues = (self._term.turns, self._turns.turns) if self._term is not None and self._turns is not None else ()
        self._metrics.overdue.set(max((queue.overdue for queue in queues), default=0.0))

    def _credential_ends(self) -> Mapping[str, float]:
        return self._credentials.ends if self._credentials is not None else {}

    def _ages(self) -> Mapping[str, float]:
        """By zone the seconds since what is served was last known to be what the cluster says."""
        age, of_nodes = self.age(), self._turns.ages() if self._turns is not None else {}
        return {origin.text: max(age, of_nodes.get(origin.text, 0.0)) for origin in self._zones}

    def policy(self) -> TransferPolicy:
        """Who follows which zone: as the Zones say, else as holds for all. Raises ConfigError."""
        common = self._read()
        keys = {key.name: key for key in (*common.keys, *self._keys)}
        policy = replace(common, keys=tuple(keys.values()), zones={**common.zones, **self._policies})
        return self._replicas.allow(policy)

    def problem(self) -> str | None:
        """Why nothing can be served yet."""
        known = self._was_seen or self._authority.ready or self._replicas.is_current
        return None if known else "no zone is known yet"

    def stuck(self) -> str | None:
        """Why the process should be started anew."""
        if not self._live or self._term is None or self._turns is None:
            return None
        ticked = min(self._term.turns.ticked, self._turns.turns.ticked)
        return "a queue has not moved" if self._clock.monotonic() - ticked > STALLED else None

    def is_live(self) -> bool:
        """Whether this replica leads, or follows the one that does: what it serves is what the cluster says."""
        return self._live or self._replicas.is_current

    def age(self) -> float:
        """Seconds since what is served was last known to be what the cluster says; at first, since the start."""
        if self._live and self._election is not None:
            self._current_at = max(self._current_at, self._election.heard_at)
        self._replicas.heard()
        return max(0.0, self._clock.monotonic() - max(self._current_at, self._replicas.current_at))

    @property
    def goes_on(self) -> bool:
        """Whether nobody else led since this replica did, so that it knows all serials there are."""
        return self._goes_on

    async def open(self, authority: Authority, store: Store, transfers: Transfers, files: Collection[Name]) -> None:
        """Serve what was served last; who we are to the API server is found out later, that takes a while."""
        self._authority, self._store, self._transfers = authority, store, transfers
        self._files = frozenset(files)
        self._kept = Kept(store, self._clock)
        self._zones = {origin: spec for origin, spec in self._kept.zones().items() if origin not in self._files}
        self._provider = ZoneProvider("zone", authority, templates(self._zones), self._save, self._clock)
        transfers.makes_catalog = False
        self._replicas = Replicas(
            authority,
            transfers,
            advertise=self._settings.advertise,
            turn=self._provider.turn,
            clock=self._clock,
            chance=self._chance,
        )
        self._policies = {
            origin: found
            for origin, spec in self._zones.items()
            if (found := follow_of(spec, _no_key).policy) is not None
        }
        transfers.follow(self.policy)
        kept = [zone for zone in transfers.keeper.last_good if zone.origin in self._zones]
        authority.replace(kept)
        await transfers.keeper.hold([zone.origin for zone in kept])
        await transfers.list_members(self._members(), all_known=False, source=SOURCE)
        for zone in kept:
            log.info("zone is served as it was last", zone=zone.origin.text, serial=zone.serial)

    async def run(self) -> None:
        """Take part in the election: publish while leading, else follow. Raises HomingError when that must end."""
        credentials = self._credentials = await credentials_of(self._settings)
        await lasting(lambda: self._take_part(credentials), "cluster", self._metrics, self._clock, HomingError)

    async def _take_part(self, credentials: Credentials) -> None:
        duration = self._settings.lease_duration or LEASE_DURATION
        async with KubeClient(credentials, clock=self._clock, observe=self._counted.asked) as client:
            self._election = Election(
                client,
                name=LEASE,
                namespace=client.namespace,
                identity=self._settings.name,
                clock=self._clock,
                chance=self._chance,
                lease_duration=duration,
                look_period=duration / 30,
                annotations=self._replicas.annotations,
            )
            await self._among_replicas(client, self._election, credentials.server)

    async def _among_replicas(self, client: KubeClient, election: Election, server: str) -> None:
        def started(work: Callable[[], Awaitable[None]]) -> asyncio.Future[None]:
            return asyncio.ensure_future(lasting(work, "cluster", self._metrics, self._clock))

        def follow() -> asyncio.Future[None]:
            return started(lambda: self._replicas.follow(client, election, self._taken))

        beside = started(lambda: self._replicas.run(client, server))
        following = follow()

        async def lead(leadership: Leadership) -> None:
            nonlocal following
            await _ended(following)
            try:
                await self._lead(client, leadership)
            finally:
                following = follow()

        try:
            await election.run(lead)
        finally:
            await _ended(following, beside)

    async def _taken(
        self, zones: Mapping[Name, ZoneSpec], policies: Mapping[Name, ZonePolicy], keys: Collection[Key]
    ) -> None:
        """The Zones there are, while another replica leads."""
        there = {origin: spec for origin, spec in zones.items() if not self.is_taken(origin)}
        gone = self._zones.keys() - there.keys()
        self._replicas.want(there)
        self._authority.replace((), (ROOT,), [origin for origin in there if self._authority.zone(origin) is None])
        for origin in gone:
            await self._provider.drop(origin)
            log.info("zone withdrawn", zone=origin.text)
        await self.follow(policies, keys)
        if there != self._zones:
            await self.remember(there)

    async def overtake(self, origin: Name, serial: int) -> None:
        """Give a zone a serial above one that a secondary has, when that is ours to do."""
        if self._live:
            await self._provider.overtake(origin, serial)

    def is_taken(self, origin: Name) -> bool:
        """Whether a file holds this zone."""
        return origin in self._files or origin in self._transfers.catalogs

    async def start(self, origin: Name) -> Start:
        """Above what was served last; where nothing is known, as the secondaries say, else the time."""
        keeper = self._transfers.keeper
        await keeper.hold([origin])
        greatest = keeper.greatest.get(origin)
        if self._authority.zone(origin) is not None:
            return Start(is_last=True, least=None if greatest is None else serial_add(greatest, 1))
        last = next((zone.serial for zone in keeper.last_good if zone.origin == origin), None)
        above = greatest if greatest is not None else last
        if above is not None:
            return Start(is_last=False, least=serial_add(above, 1))
        return Start(is_last=False, least=(await self._transfers.first_serials([origin]))[origin])

    async def follow(self, zones: Mapping[Name, ZonePolicy], keys: Collection[Key]) -> None:
        """From now on these follow."""
        self._policies, self._keys = dict(zones), tuple(keys)
        try:
            self._transfers.follow(self.policy)
        except ConfigError as error:
            log.error("who follows stays as it was", reason=str(error))  # noqa: TRY400 - the reason says it all
        if self._live:
            await self._transfers.list_members(self._members(), source=SOURCE)

    def standings(self) -> list[Standing]:
        """How far the secondaries are."""
        return self._transfers.following.standings()

    @property
    def has_catalog(self) -> bool:
        """Whether a catalog zone is served."""
        return bool(self._transfers.catalogs)

    async def happened(self, origin: Name, detail: str) -> None:
        """Write a line of the history."""
        event = Event(self._clock.time(), "zone", origin.text, detail)
        with contextlib.suppress(StoreError):  # told by the log when the zone was to be saved
            await asyncio.to_thread(self._store.record_event, event)

    def published(self, origin: Name) -> Collection[Name] | None:
        """The names of Domains in a zone that was served last, if that is known."""
        return self._kept.published(origin)

    async def remember(self, zones: Mapping[Name, ZoneSpec]) -> None:
        """Note the Zones that are served."""
        self._zones = dict(zones)
        await self._kept.note_zones(zones)
        await self._transfers.list_members(self._members(), source=SOURCE)

    async def _lead(self, shared: KubeClient, leadership: Leadership) -> None:
        log.info("leading", identity=leadership.identity)
        client, settings = shared.fenced(leadership.check), self._settings
        self._goes_on = self._kept.term is not None and self._kept.term + 1 == leadership.transitions
        self._unnumbered = set() if self._goes_on else set(self._authority.zones.loaded)
        await self._kept.note_term(leadership.transitions)
        term = Term(
            client,
            None,
            Options(
                identity=settings.name,
                namespaces=settings.watch_namespaces,
                areas=settings.areas_annotation,
                ips=settings.ips_annotation,
            ),
            fence=leadership.check,
            memory=lambda tell: history_of(self._store, self._metrics, tell),
            clock=self._clock,
            chance=self._chance,
            metrics=self._metrics,
            zones=self._provider,
            turned=self._counted.turned,
        )
        zones = ZoneTurns(
            client,
            self._provider,
            self._authority,
            self,
            recorder=term.recorder,
            held=term.held,
            changed=term.look_again,
            clock=self._clock,
            chance=self._chance,
            on_fault=lambda _: self._metrics.faults.labels("zone").inc(),
            checker=self._checker,
            node=settings.node_name or socket.gethostname(),
            sites=term.world.sites.values,
        )
        self._check, self._term, self._turns = leadership.check, term, zones
        try:
            async with asyncio.TaskGroup() as group:

                async def before() -> None:
                    await zones.begin(self._zones)
                    await self._begin_catalog()
                    await self._replicas.lead(client)
                    self._live = self._was_seen = True
                    group.create_task(zones.turns.run())

                group.create_task(zones.follow())
                group.create_task(term.run(before))
        finally:
            self.age()
            self._live, self._check, self._term, self._turns = False, _not_leading, None, None
            self._transfers.makes_catalog = False
            await self._replicas.end()
            log.info("not leading any more, serving what is known", identity=leadership.identity)

    def _checker(self, changed: Callable[[Address], None]) -> Checker:
        return Checker(NetworkProbe(), changed, clock=self._clock, chance=self._chance, metrics=self._checks)

    async def _save(self, change: Change) -> None:
        """A version counts while this replica leads, and when it is on disk."""
        self._check()
        if change.before is not None and change.after is not None and change.origin in self._unnumbered:
            if serial_gt(serial_add(change.before.serial, HANDOVER), change.after.serial):
                raise StoreError(f"zone {change.origin.text} waits for the first serial of this leader")
            self._unnumbered.discard(change.origin)
        await self._kept.note_published(change.origin, self._provider.published(change.origin))
        await self._transfers.keeper.save(change)

    async def _begin_catalog(self) -> None:
        self._transfers.makes_catalog = True
        await self._transfers.list_members(self._members(), source=SOURCE)
        if not self._goes_on:
            await self._transfers.renumber_catalog(HANDOVER)

    def _members(self) -> list[Name]:
        return [origin for origin, spec in self._zones.items() if spec.catalog]


async def _ended(*tasks: asyncio.Future[None]) -> None:
    """End tasks, and wait until they have."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _not_leading() -> NoReturn:
    raise NotLeading("this replica does not lead; nothing was published")


def _no_key(_: int) -> NoReturn:
    raise Unready("SecretUnread", "no Secret is known yet")
