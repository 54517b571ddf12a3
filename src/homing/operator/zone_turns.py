"""The turn of a Zone: read it, serve it, let its secondaries follow it, tell how it is."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec.structs import replace

from homing.dns.authority import Authority, Change
from homing.dns.lookup import ROOT
from homing.dns.transfers.tsig import Key
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import KubeError, ModelError, StoreError
from homing.kube.client import KubeClient
from homing.kube.kinds import ZONES
from homing.kube.kinds.site import Site
from homing.kube.kinds.zone import Zone, ZoneSpec
from homing.kube.objects import Key as ObjectKey
from homing.kube.recorder import Recorder
from homing.kube.watch import Mirror
from homing.model.address import Address, parse_address
from homing.model.name import Name, parse_name
from homing.model.rrset import FAMILIES, RRset
from homing.model.zone import serial_add, serial_gt
from homing.operator.cluster_views import Reading
from homing.operator.cluster_watch import ClusterWatch
from homing.operator.entry import Unready
from homing.operator.health import check_of
from homing.operator.key_secrets import KeySecrets
from homing.operator.queue import Turns
from homing.operator.zone_checks import MakeChecker, ZoneChecks
from homing.operator.zone_report import AGAIN, ZoneReports
from homing.operator.zone_state import House, Known, Start
from homing.operator.zones import follow_of, key_places, origin_of, template_of
from homing.providers.zone import ZoneProvider
from homing.providers.zone_template import ZoneTemplate

log = get_logger("zones")

HANDOVER = 65_536
"""What a leader adds to the serial that another one told last: versions that it did not tell any more are below."""

GATHER = 0.2
"""Seconds after a change of a zone within which more changes share a write of its status."""

FIRST_LOOK = 10.0
"""Seconds that a leader waits for nodes and Services before it serves the zones that need none."""


class ZoneTurns:
    """All Zones, while leading: ``follow`` them, ``begin`` when the Domains have been seen, then run ``turns``."""

    def __init__(
        self,
        client: KubeClient,
        provider: ZoneProvider,
        authority: Authority,
        house: House,
        *,
        recorder: Recorder,
        held: Callable[[Name], list[RRset]],
        changed: Callable[[Name], None],
        clock: Clock,
        chance: random.Random,
        on_fault: Callable[[str], None] = lambda _: None,
        checker: MakeChecker,
        node: str,
        sites: Callable[[], Iterable[Site]],
    ) -> None:
        """``held`` gives what Domains hold in a zone by their statuses, ``changed`` is told of a zone that changed.

        ``checker``, ``node`` and ``sites`` are for health checks, see ``ZoneChecks``.
        """
        self.turns: Turns[str] = Turns(self._turn, clock=clock, chance=chance, on_fault=on_fault)
        self._client = client
        self._provider = provider
        self._authority = authority
        self._house = house
        self._held = held
        self._changed = changed
        self._clock = clock
        self._seen = Mirror(client, ZONES, clock=clock, chance=chance, on_change=self._object_changed)
        self._secrets = KeySecrets(client, clock=clock, chance=chance, changed=self._secret_changed)
        self.checks = ZoneChecks(checker, node=node, sites=sites, turned=self._to_tell, clock=clock)
        self.cluster = ClusterWatch(
            client,
            clock=clock,
            chance=chance,
            changed=provider.follow,
            ready=self._cluster_ready,
            health=self.checks.health,
            last=self._of_cluster,
        )
        self._reports = ZoneReports(client, provider, authority, house, recorder, self.checks.checked, clock)
        self._readings: dict[Name, Reading] = {}
        self._cluster_news = asyncio.Event()
        self._known: dict[str, Known] = {}
        self._remembered: dict[Name, ZoneSpec] = {}
        self._began = False

    async def follow(self) -> None:
        """Follow the Zones until cancelled."""
        unlisten = self._authority.listen(self._served)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._seen.run())
                group.create_task(self.cluster.run())
                group.create_task(self.checks.run(self.cluster))
        finally:
            unlisten()
            await self._secrets.aclose()

    async def begin(self, before: Mapping[Name, ZoneSpec]) -> None:
        """Serve all Zones there are, and none of those served ``before`` that are no more."""
        self._remembered = dict(before)
        await self._seen.synced.wait()
        self._want_secrets()
        await self._look_at_cluster()
        await asyncio.gather(*(self._first(zone.metadata.name) for zone in tuple(self._seen.values())))
        for origin in set(before) - self.origins:
            await self._withdraw(origin)
        self._authority.replace((), (ROOT,))  # all zones are known now
        self._began = True
        await self._remember()

    @property
    def origins(self) -> set[Name]:
        """The zones that there are, served or to be served."""
        return {known.origin for known in self._known.values()}

    def ages(self) -> dict[str, float]:
        """Seconds since the API server's last word on each zone that holds names of the cluster."""
        age = self._clock.monotonic() - self.cluster.seen_at
        return {origin.text: age for origin in self._readings}

    async def _look_at_cluster(self) -> None:
        """Wait some time until all is known that zones hold of the cluster."""
        for zone in self._seen.values():
            with contextlib.suppress(Unready):
                origin = origin_of(zone.spec)
                if self._holder(origin) == zone.metadata.name and (reading := reading_of(zone.spec)) is not None:
                    self._want_check(zone, origin)
                    self._readings[origin] = reading
        self.cluster.want(self._readings)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK):
                while not all(map(self.cluster.is_ready, self._readings)):
                    await self._cluster_news.wait()
                    self._cluster_news.clear()

    async def _first(self, name: str) -> None:
        """The first turn of a Zone; its status comes with the next one, for which nobody waits."""
        found = self._seen.get(("", name))
        if found is not None:
            with contextlib.suppress(Unready, StoreError, KubeError):
                await self._serve(found)
        self.turns.wake(name)

    async def _turn(self, name: str) -> float | None:
        found = self._seen.get(("", name))
        known = self._known.get(name)
        if known is not None and (found is None or known.uid != found.metadata.uid):
            await self._leave(name)
        if found is None or found.metadata.deletion_timestamp:
            return None
        problem: Unready | None = None
        try:
            await self._serve(found)
        except Unready as error:
            problem = error
        except StoreError as error:
            problem = Unready("NotSaved", str(error))
        except KubeError as error:
            log.warning("turn put off", zone=name, reason=str(error))
            return AGAIN
        return await self._reports.report(found, self._known.get(name), problem)

    async def _serve(self, found: Zone) -> None:
        """Serve a Zone as it says. Raises Unready, and then what was served stays."""
        name, spec = found.metadata.name, found.spec
        origin = origin_of(spec)
        holder = self._holder(origin)
        if holder != name:
            raise Unready("Conflict", f"Zone {holder} is of {origin.text} too and is older; remove one of the two")
        known = self._known.get(name)
        if known is None:
            if self._house.is_taken(origin):
                raise Unready("Conflict", f"a zone file of {origin.text} is served; remove one of the two")
            known = self._known[name] = Known(origin, found.metadata.uid)
            self._authority.replace((), (), () if self._authority.zone(origin) else (origin,))
        await self._follow(name, known, spec)
        self._want_check(found, origin)
        reads = reading_of(spec)
        self._want(origin, reads)
        if reads is not None and not self.cluster.is_ready(origin):
            told = "nodes, Services and EndpointSlices have not all been seen yet; what was served last stays"
            raise Unready("ClusterUnseen", told)
        if spec == known.spec:
            return
        template = await asyncio.to_thread(template_of, spec)
        before, read = known.template, reading_of(known.spec) if known.spec is not None else None
        # A term before this one may have left names of the cluster that the Zone says nothing of any more.
        left = before is None and self._provider.published(origin) is not None
        follow = reads != read or left
        cluster = (lambda: self.cluster.rrsets(origin) if reads is not None else []) if follow else None
        if before is None:
            start = await self._start(found, origin)
            dynamic = self._last(origin, reads) if start.is_last else self._newest(origin, start)
            await self._put(template, dynamic, start.least, cluster)
        elif template != before or cluster is not None:
            await self._put(template, None, None, cluster)
        known.template, known.spec = template, spec
        if template != before or cluster is not None:
            self._changed(origin)
            await self._reports.served(found, origin)
        await self._remember()

    def _want_check(self, found: Zone, origin: Name) -> None:
        """Have the addresses of a zone checked as its Zone asks; what the last leader found counts at first."""
        asked = found.spec.cluster.health_check if found.spec.cluster is not None else None
        try:
            check = check_of(asked) if asked is not None else None
        except ModelError as error:
            raise Unready("InvalidSpec", f"healthCheck: {error}") from None
        self.checks.want(origin, check, _addresses(found.status.unhealthy_addresses))

    def _want(self, origin: Name, reading: Reading | None) -> None:
        """Have the cluster followed for a zone, or not any more."""
        if self._readings.get(origin) != reading:
            if reading is None:
                del self._readings[origin]
            else:
                self._readings[origin] = reading
            self.cluster.want(self._readings)

    def _of_cluster(self, origin: Name) -> list[RRset]:
        """What a zone that is served as it was last has of the cluster, if that can be told."""
        names = self._house.published(origin)
        return [item for item in self._provider.changeable_in(origin) if names is not None and item.name not in names]

    def _last(self, origin: Name, reads: Reading | None) -> list[RRset] | None:
        """What Domains hold in a zone that is served as it was last; None for all that is not fixed."""
        names, served = self._house.published(origin), self._authority.zone(origin)
        if names is None:
            return None if reads is None else self._held(origin)
        found = {item.key: item for item in self._held(origin)}
        for item in served.rrsets() if served is not None else ():
            if item.type in FAMILIES and item.name in names:
                found[item.key] = item
        return list(found.values())

    async def _put(
        self,
        template: ZoneTemplate,
        dynamic: list[RRset] | None,
        least: int | None,
        cluster: Callable[[], list[RRset]] | None,
    ) -> None:
        try:
            await self._provider.put(template, dynamic, least=least, cluster=cluster)
        except ModelError as error:
            raise Unready("InvalidRecords", str(error)) from None

    async def _start(self, found: Zone, origin: Name) -> Start:
        """Where another server led meanwhile, its last serials may have been seen by secondaries and not here.

        Then the first one of this server is told before it counts, so that the next leader is above it too.
        """
        served, told = self._authority.zone(origin), found.status.serial
        if told is not None and (served is None or serial_gt(told, served.serial)):
            start = Start(is_last=False, least=serial_add(told, HANDOVER))
        elif served is not None and not self._house.goes_on:
            start = Start(is_last=False, least=serial_add(served.serial, HANDOVER), is_followed=True)
        else:
            return await self._house.start(origin)
        body = {"metadata": {"uid": found.metadata.uid}, "status": {"serial": start.least}}
        await self._client.patch(ZONES, found.metadata.name, body, sub="status")
        return start

    def _newest(self, origin: Name, start: Start) -> list[RRset]:
        """What Domains hold in a zone: as the last leader served it where that was followed, else by their statuses."""
        held, served = self._held(origin), self._authority.zone(origin)
        if served is None or not start.is_followed:
            return held
        return [served.nodes.get(item.name, {}).get(item.type, item) for item in held]

    def _holder(self, origin: Name) -> str:
        """Of several Zones of a name the one that is served, else the oldest one."""
        for name, known in self._known.items():
            if known.origin == origin:
                return name
        rivals: list[tuple[str, str, str]] = []
        for zone in self._seen.values():
            with contextlib.suppress(Unready):
                if origin_of(zone.spec) == origin and not zone.metadata.deletion_timestamp:
                    meta = zone.metadata
                    rivals.append((meta.creation_timestamp or "", meta.uid, meta.name))
        return min(rivals)[2] if rivals else ""

    async def _follow(self, name: str, known: Known, spec: ZoneSpec) -> None:
        """Have its secondaries follow it, as far as their keys are known."""
        places = key_places(spec)
        known.places = {parse_name(item.name): place for item, place in zip(spec.tsig_keys, places, strict=True)}
        await self._secrets.seen(dict.fromkeys(place[:2] for place in places))

        def read(index: int) -> Key:
            item, place = spec.tsig_keys[index], places[index]
            key = self._secrets.key(item, place)
            for other, rival in self._known.items():
                elsewhere = other != name and rival.places.get(key.name) != place
                if elsewhere and any(one.name == key.name and one != key for one in rival.follow.keys):
                    raise Unready(
                        "KeyConflict", f"Zone {other} has another TSIG key {item.name}; one of the two needs a new name"
                    )
            return key

        follow = follow_of(spec, read)
        if follow != known.follow:
            known.follow = follow
            await self._apply_follow()

    async def _apply_follow(self) -> None:
        follows = {known.origin: known.follow for known in self._known.values()}
        keys = {key.name: key for follow in follows.values() for key in follow.keys}
        policies = {origin: follow.policy for origin, follow in follows.items() if follow.policy is not None}
        await self._house.follow(policies, list(keys.values()))

    async def _leave(self, name: str) -> None:
        """A Zone is gone, or another one has its name; one that waited for its place has its turn."""
        known = self._known.pop(name)
        self._want(known.origin, None)
        self.checks.want(known.origin, None)
        await self._apply_follow()
        await self._withdraw(known.origin)
        await self._remember()
        for zone in self._seen.values():
            self.turns.wake(zone.metadata.name)

    async def _withdraw(self, origin: Name) -> None:
        await self._provider.drop(origin)
        log.info("zone withdrawn", zone=origin.text)
        await self._house.happened(origin, "withdrawn, its Zone is gone")
        self._changed(origin)

    async def _remember(self) -> None:
        specs = {known.origin: known.spec or self._remembered.get(known.origin) for known in self._known.values()}
        zones = {origin: spec for origin, spec in specs.items() if spec is not None}
        if self._began and zones != self._remembered:
            self._remembered = zones
            await self._house.remember(zones)

    def _want_secrets(self) -> None:
        places = {place[:2] for zone in self._seen.values() for place in key_places(zone.spec)}
        self._secrets.want(places)

    def _object_changed(self, key: ObjectKey, old: Zone | None, new: Zone | None) -> None:
        if old is None or new is None or old.metadata.generation != new.metadata.generation:
            if self._began:
                self._want_secrets()
            self.turns.wake(key[1])

    def _secret_changed(self, key: ObjectKey) -> None:
        for zone in self._seen.values():
            if any(place[:2] == key for place in key_places(zone.spec)):
                self.turns.wake(zone.metadata.name)

    def _cluster_ready(self, origin: Name) -> None:
        """All is known that a zone holds of the cluster."""
        self._cluster_news.set()
        for name, known in self._known.items():
            if known.origin == origin:
                self.turns.wake(name)

    def _served(self, change: Change) -> None:
        """A version is served: its status follows soon."""
        self._to_tell(change.origin)

    def _to_tell(self, origin: Name) -> None:
        """There is something to tell of a zone."""
        for name, known in self._known.items():
            if known.origin == origin:
                self.turns.wake(name, GATHER)


def reading_of(spec: ZoneSpec) -> Reading | None:
    """How a zone reads the cluster, whatever it checks; None when it does not."""
    if spec.cluster is None:
        return None
    return Reading(parse_name(spec.origin), replace(spec.cluster, health_check=None))


def _addresses(texts: Iterable[str]) -> Iterator[Address]:
    for text in texts:
        with contextlib.suppress(ModelError):  # anybody may have written that
            yield parse_address(text)
