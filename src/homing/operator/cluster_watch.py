"""What zones hold of a cluster: mirrors of nodes, Services and slices tell each zone's records what changed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homing.effects.clock import Clock
from homing.effects.garbage import uncollected
from homing.effects.log import get_logger
from homing.kube.client import KubeClient
from homing.kube.kinds import SITES
from homing.kube.kinds.site import Site
from homing.kube.objects import EndpointSlice, Key, Node, Service, key_of
from homing.kube.resource import ENDPOINT_SLICES, NODES, SERVICES
from homing.kube.watch import FROM, SECOND_LOOK, SHARE, Mirror
from homing.model.address import Address
from homing.model.health import Health
from homing.model.name import Name
from homing.model.rrset import RRset
from homing.operator.cluster_views import Reading, hosts
from homing.operator.site_views import site_addresses, site_of
from homing.records.cluster import Changes, ClusterRecords

log = get_logger("nodes")

SITES_LOOK = 10.0
"""Seconds that nodes which follow their Site wait for the Sites, which a cluster need not have, or let us read."""


MAX_TOLD = 1000
"""Objects of a zone of which is told and remembered what is wrong with them."""

SHOWN = 8
"""Things wrong with one object that are told one by one."""


@dataclass(eq=False)
class _Zone:
    """A zone's records, and what was told of objects that it reads."""

    reading: Reading
    records: ClusterRecords
    told: dict[tuple[str, Key], tuple[str, ...]] = field(default_factory=dict[tuple[str, Key], tuple[str, ...]])
    worth: tuple[int, frozenset[Address]] = (-1, frozenset())
    """The addresses worth a check, and the revision of the records that they are of."""


class ClusterWatch:
    """Follows the cluster for the zones it is told of by ``want``.

    ``changed`` is told what changed in a zone that was ready; ``ready`` that one has become so: all nodes, Services and
    slices have been seen, and the Sites where nodes follow them. ``health`` tells what a zone knows of an address;
    whoever knows better later calls ``checked``. ``last`` gives the address RRsets that a zone was last served with
    from the cluster: where the first look shows far less, a second one has to show the same before the zone is ready.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        clock: Clock,
        chance: random.Random,
        changed: Callable[[Name, Changes], None],
        ready: Callable[[Name], None],
        health: Callable[[Name, Address], Health] = lambda _zone, _address: Health.HEALTHY,
        last: Callable[[Name], Iterable[RRset]] = lambda _: (),
    ) -> None:
        self.nodes = Mirror(client, NODES, clock=clock, chance=chance, on_change=self._node, guarded=True)
        self.services = Mirror(client, SERVICES, clock=clock, chance=chance, on_change=self._service, guarded=True)
        self.slices = Mirror(client, ENDPOINT_SLICES, clock=clock, chance=chance, on_change=self._slice, guarded=True)
        self.sites = Mirror(client, SITES, clock=clock, chance=chance, on_change=self._site)
        self._clock = clock
        self._changed = changed
        self._ready = ready
        self._health = health
        self._last = last
        self._missing = 0
        self._wanted: dict[Name, Reading] = {}
        self._zones: dict[Name, _Zone] = {}
        self._news = asyncio.Event()
        self._sites_wanted = False
        self._sites_known = False

    @property
    def seen_at(self) -> float:
        """Monotonic time of the API server's last word on what is followed."""
        return min(mirror.seen_at for mirror in self._mirrors)

    @property
    def live(self) -> bool:
        """Whether all is followed now."""
        return all(mirror.synced.is_set() and not mirror.failing for mirror in self._mirrors)

    @property
    def held_back(self) -> int:
        """How much was missing from lists that are looked at again before they are believed."""
        return self._missing + sum(sum(mirror.held_back.values()) for mirror in self._mirrors)

    @property
    def _mirrors(self) -> tuple[Mirror[Node], Mirror[Service], Mirror[EndpointSlice]]:
        return self.nodes, self.services, self.slices

    def want(self, readings: Mapping[Name, Reading]) -> None:
        """Follow the cluster for these zones from now on, and for no others."""
        self._wanted = dict(readings)
        for origin in [origin for origin, zone in self._zones.items() if readings.get(origin) != zone.reading]:
            del self._zones[origin]
        self._news.set()

    def is_ready(self, origin: Name) -> bool:
        """Whether all that a zone holds of the cluster is known."""
        return origin in self._zones

    def rrsets(self, origin: Name) -> list[RRset]:
        """All that a zone that is ready holds of the cluster."""
        return list(self._zones[origin].records.rrsets())

    def addresses(self, origin: Name) -> frozenset[Address]:
        """The addresses of nodes that a zone holds, or would if they were ready: those worth a check."""
        zone = self._zones[origin]
        if zone.worth[0] != zone.records.revision:
            zone.worth = zone.records.revision, frozenset(zone.records.answerable())
        return zone.worth[1]

    def addresses_of(self, node: str) -> set[Address]:
        """The addresses that zones know of a node."""
        return {address for zone in self._zones.values() for address in zone.records.addresses_of(node)}

    def checked(self, address: Address) -> None:
        """What ``health`` says of an address may be another thing than before."""
        self._each(lambda zone: zone.records.checked(address, self._health(zone.reading.origin, address)))

    async def run(self) -> None:
        """Follow until cancelled, once a zone is wanted."""
        async with asyncio.TaskGroup() as group:
            while not self._wanted:
                await self._next()
            for mirror in self._mirrors:
                group.create_task(mirror.run())
            for mirror in self._mirrors:
                await mirror.synced.wait()
            is_first = True
            while True:
                self._news.clear()
                if not self._sites_wanted and self._any_wants_sites():
                    self._sites_wanted = True
                    group.create_task(self.sites.run())
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self.sites.synced.wait(), SITES_LOOK)
                    if not self.sites.synced.is_set():
                        log.warning("Sites cannot be read, nodes that follow theirs have their ExternalIP")
                    self._sites_known = True
                    self._again()
                new = [origin for origin in self._wanted if origin not in self._zones]
                for origin in new:
                    self._build(origin)
                if is_first:
                    await self._believe(new)
                    is_first = False
                for origin in new:
                    if origin in self._zones:
                        self._ready(origin)
                await self._news.wait()

    async def _next(self) -> None:
        await self._news.wait()
        self._news.clear()

    def _any_wants_sites(self) -> bool:
        readings = self._wanted.values()
        return any(reading.wants_sites(node) for node in self.nodes.values() for reading in readings)

    async def _believe(self, new: Iterable[Name]) -> None:
        """Where the first look shows far less of a zone than was served last, look again until two show the same."""
        doubted: dict[Name, frozenset[object]] = {}
        while True:
            gone = {origin: self._gone(origin) for origin in new if origin in self._zones}
            gone = {origin: what for origin, what in gone.items() if not what <= doubted.get(origin, frozenset())}
            self._missing = sum(map(len, gone.values()))
            if not gone:
                return
            doubted |= gone
            for origin, what in gone.items():
                del self._zones[origin]
                log.warning(
                    "the cluster holds far less than the zone did, which stays until a second look shows the same",
                    zone=origin.text, missing=len(what), seconds=SECOND_LOOK,
                )  # fmt: skip
            await self._clock.sleep(SECOND_LOOK)
            for mirror in self._mirrors:
                mirror.look_again()
            for mirror in self._mirrors:
                await mirror.synced.wait()
            for origin in gone:
                if origin in self._wanted:
                    self._build(origin)

    def _gone(self, origin: Name) -> frozenset[object]:
        """Names that a zone was served with last and nothing in the cluster has, or addresses; if they are many.

        An address that some node has counts as there, ready or not: that a node is not ready is no silence.
        """
        last, records = list(self._last(origin)), self._zones[origin].records
        names = {item.name for item in last}, {item.name for item in records.rrsets()}
        data = {each for item in last for each in item.rdatas}, {address.packed for address in records.addresses()}
        missing: set[object] = set()
        for before, after in (names, data):
            if len(before) >= FROM and len(before - after) > SHARE * len(before):
                missing |= before - after
        return frozenset(missing)

    @uncollected(stays=True)
    def _build(self, origin: Name) -> None:
        """Look at everything there is, for a zone that is new or reads it otherwise."""
        reading = self._wanted[origin]
        records = ClusterRecords(reading.naming, lambda what: log.warning(what, zone=origin.text))
        zone = self._zones[origin] = _Zone(reading, records)
        for site in self.sites.values():
            records.site(site.metadata.name, site_addresses(site).values())
        for node in self.nodes.values():
            self._take_node(zone, key_of(node), node)
        for found in self.slices.values():
            records.endpoint_slice(key_of(found), hosts(found))
        for service in self.services.values():
            self._take_service(zone, key_of(service), service)
        for address in records.answerable():
            records.checked(address, self._health(origin, address))

    def _again(self) -> None:
        """Look at all nodes anew, since their Sites may be others."""
        for node in tuple(self.nodes.values()):
            self._node(key_of(node), node, node)

    def _node(self, key: Key, _: Node | None, new: Node | None) -> None:
        unknown = not self._sites_known
        if new is not None and unknown and any(zone.reading.wants_sites(new) for zone in self._zones.values()):
            self._news.set()  # the node stays as it was until the Sites have been looked at
            return
        self._each(lambda zone: self._take_node(zone, key, new))

    def _take_node(self, zone: _Zone, key: Key, node: Node | None) -> Changes:
        told: list[str] = []
        view = None
        if node is not None:
            found = site_of(node.metadata.labels, self.sites.values()) if zone.reading.wants_sites(node) else None
            view = zone.reading.member(node, found.metadata.name if found is not None else "", told.append)
        self._tell(zone, "node", key, told)
        return zone.records.node(key[1], view)

    def _service(self, key: Key, _: Service | None, new: Service | None) -> None:
        self._each(lambda zone: self._take_service(zone, key, new))

    def _take_service(self, zone: _Zone, key: Key, service: Service | None) -> Changes:
        told: list[str] = []
        view = zone.reading.offer(service, told.append) if service is not None else None
        self._tell(zone, "service", key, told)
        return zone.records.service(key, view)

    def _slice(self, key: Key, _: EndpointSlice | None, new: EndpointSlice | None) -> None:
        view = hosts(new) if new is not None else None
        self._each(lambda zone: zone.records.endpoint_slice(key, view))

    def _site(self, key: Key, old: Site | None, new: Site | None) -> None:
        addresses = tuple(site_addresses(new).values()) if new is not None else ()
        self._each(lambda zone: zone.records.site(key[1], addresses))
        if self._sites_known and _selector(old) != _selector(new):
            self._again()

    def _each(self, event: Callable[[_Zone], Changes]) -> None:
        for origin, zone in self._zones.items():
            if changes := event(zone):
                self._changed(origin, changes)

    def _tell(self, zone: _Zone, kind: str, key: Key, told: Sequence[str]) -> None:
        """Say what is wrong with an object, each thing when it became so."""
        place = (kind, key)
        before = zone.told.get(place, ())
        if not told:
            zone.told.pop(place, None)
            return
        if not before and len(zone.told) >= MAX_TOLD:
            return
        now = tuple(told[:SHOWN]) if len(told) <= SHOWN else (*told[:SHOWN], f"and {len(told) - SHOWN} more")
        zone.told[place] = now
        where = {"zone": zone.reading.origin.text, kind: "/".join(part for part in key if part)}
        for what in now:
            if what not in before:
                log.warning(what, **where)
        if not before and len(zone.told) == MAX_TOLD:
            log.warning("so much is wrong that what is wrong with others is not told", zone=where["zone"])


def _selector(site: Site | None) -> Any:
    return None if site is None else (site.spec.node_selector or {})
