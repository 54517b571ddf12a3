"""The turn of a Zone: read it, serve it, let its secondaries follow it, tell how it is."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from homing.dns.authority import Authority, Change
from homing.dns.lookup import ROOT
from homing.dns.transfers.follow import Standing
from homing.dns.transfers.policy import ZonePolicy
from homing.dns.transfers.tsig import Key
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import Conflict, KubeError, ModelError, NotFound, StoreError
from homing.kube.client import KubeClient
from homing.kube.kinds import ZONES
from homing.kube.kinds.zone import ClusterNames, Zone, ZoneSpec
from homing.kube.objects import Key as ObjectKey
from homing.kube.objects import ObjectReference
from homing.kube.recorder import Recorder
from homing.kube.watch import Mirror
from homing.model.address import Address
from homing.model.name import Name, parse_name
from homing.model.rrset import FAMILIES, RRset
from homing.model.zone import serial_add, serial_gt
from homing.operator.cluster_views import Reading
from homing.operator.cluster_watch import ClusterWatch
from homing.operator.conditions import condition, condition_data
from homing.operator.entry import Unready
from homing.operator.key_secrets import KeySecrets
from homing.operator.own import reference
from homing.operator.queue import Turns
from homing.operator.zones import Follow, KeyPlace, follow_of, key_places, origin_of, status_of, template_of
from homing.providers.zone import ZoneProvider
from homing.providers.zone_template import ZoneTemplate

log = get_logger("zones")

HANDOVER = 65_536
"""What a leader adds to the serial that another one told last: versions that it did not tell any more are below."""

GATHER = 0.2
"""Seconds after a change of a zone within which more changes share a write of its status."""

FIRST_LOOK = 10.0
"""Seconds that a leader waits for nodes and Services before it serves the zones that need none."""

AGAIN = 15.0
"""Seconds after which what failed is tried again."""

WAITS_FOR = 60.0
"""Seconds until a Zone that cannot be served is looked at again, should the change that mends it go unseen."""

SHOWN = 5
"""Names of the cluster's that somebody else has, in one message."""

STANDING = 5.0
"""Seconds between two looks at how far secondaries are."""

REST = 2.0
"""Seconds between two writes of a status in which nothing moved but the serial, and what follows from it."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a zone begins: whether what is served of it is what was served last, and the least serial.

    ``is_followed``: it is what another leader served, but for its last moments.
    """

    is_last: bool
    least: int | None
    is_followed: bool = False


class House(Protocol):
    """The server that the zones are served by."""

    def is_taken(self, origin: Name) -> bool:
        """Whether the server has this zone from elsewhere."""
        ...

    @property
    def goes_on(self) -> bool:
        """Whether nobody else led since this server did."""
        ...

    async def start(self, origin: Name) -> Start:
        """How a zone begins that the cluster says nothing more of."""
        ...

    async def follow(self, zones: Mapping[Name, ZonePolicy], keys: Collection[Key]) -> None:
        """From now on these follow."""
        ...

    def standings(self) -> list[Standing]:
        """How far the secondaries are."""
        ...

    @property
    def has_catalog(self) -> bool:
        """Whether a catalog zone is served."""
        ...

    async def happened(self, origin: Name, detail: str) -> None:
        """Something for the history."""
        ...

    async def remember(self, zones: Mapping[Name, ZoneSpec]) -> None:
        """These zones are served now, and at the next start too."""
        ...

    def published(self, origin: Name) -> Collection[Name] | None:
        """The names of Domains in a zone with names of the cluster that was served last, if that is known."""
        ...


@dataclass(slots=True)
class _Known:
    """What is known of a Zone between two turns."""

    origin: Name
    uid: str
    spec: ZoneSpec | None = None
    """By which it is served."""
    template: ZoneTemplate | None = None
    follow: Follow = field(default_factory=Follow)
    places: dict[Name, KeyPlace] = field(default_factory=dict[Name, KeyPlace])
    """Where its keys come from."""
    told: tuple[str, str] = ("", "")
    hidden: dict[Name, str] = field(default_factory=dict[Name, str])
    """Names of the cluster's that somebody else has, as they were told."""
    status: dict[str, Any] = field(default_factory=dict[str, Any])
    written_at: float = float("-inf")


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
        healthy: Callable[[Address], bool] = lambda _: True,
    ) -> None:
        """``held`` gives what Domains hold in a zone by their statuses, ``changed`` is told of a zone that changed.

        ``healthy`` judges the addresses of nodes; see ``cluster.checked``.
        """
        self.turns: Turns[str] = Turns(self._turn, clock=clock, chance=chance, on_fault=on_fault)
        self._client = client
        self._provider = provider
        self._authority = authority
        self._house = house
        self._recorder = recorder
        self._held = held
        self._changed = changed
        self._clock = clock
        self._seen = Mirror(client, ZONES, clock=clock, chance=chance, on_change=self._object_changed)
        self._secrets = KeySecrets(client, clock=clock, chance=chance, changed=self._secret_changed)
        self.cluster = ClusterWatch(
            client,
            clock=clock,
            chance=chance,
            changed=provider.follow,
            ready=self._cluster_ready,
            healthy=healthy,
            last=self._of_cluster,
        )
        self._readings: dict[Name, Reading] = {}
        self._cluster_news = asyncio.Event()
        self._known: dict[str, _Known] = {}
        self._remembered: dict[Name, ZoneSpec] = {}
        self._began = False

    async def follow(self) -> None:
        """Follow the Zones until cancelled."""
        unlisten = self._authority.listen(self._served)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._seen.run())
                group.create_task(self.cluster.run())
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
                if zone.spec.cluster is not None and self._holder(origin) == zone.metadata.name:
                    self._readings[origin] = Reading(origin, zone.spec.cluster)
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
        return await self._report(found, problem)

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
            known = self._known[name] = _Known(origin, found.metadata.uid)
            self._authority.replace((), (), () if self._authority.zone(origin) else (origin,))
        await self._follow(name, known, spec)
        self._want(origin, Reading(origin, spec.cluster) if spec.cluster is not None else None)
        if spec.cluster is not None and not self.cluster.is_ready(origin):
            told = "nodes, Services and EndpointSlices have not all been seen yet; what was served last stays"
            raise Unready("ClusterUnseen", told)
        if spec == known.spec:
            return
        template = await asyncio.to_thread(template_of, spec)
        before, reads = known.template, spec.cluster
        read = known.spec.cluster if known.spec is not None else None
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
            await self._say(found, origin)
        await self._remember()

    async def _say(self, found: Zone, origin: Name) -> None:
        served = self._authority.zone(origin)
        assert served is not None  # noqa: S101 - just now
        told = f"{origin.text} is served with serial {served.serial} and {served.records} records"
        log.info("zone served", zone=origin.text, serial=served.serial, records=served.records)
        self._recorder.event(_reference(found), "Normal", "Served", told, "Serve")
        await self._house.happened(origin, f"Zone {found.metadata.name}: serial {served.serial}")

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

    def _last(self, origin: Name, reads: ClusterNames | None) -> list[RRset] | None:
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

    async def _follow(self, name: str, known: _Known, spec: ZoneSpec) -> None:
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

    async def _report(self, found: Zone, problem: Unready | None) -> float | None:
        name, known = found.metadata.name, self._known.get(found.metadata.name)
        problem = problem or (known.follow.problem if known is not None else None)
        served = self._authority.zone(known.origin) if known is not None else None
        unlisted = found.spec.catalog and not self._house.has_catalog
        message = "not listed in a catalog: start homing dns with --catalog NAME" if unlisted else ""
        hidden = self._hidden(found, known)
        reason, message = (problem.reason, str(problem)) if problem is not None else ("Served", message or hidden)
        ready = condition(
            found.status.conditions, "Ready", problem is None, reason, message,
            at=self._clock.time(), generation=found.metadata.generation,
        )  # fmt: skip
        standings = [item for item in self._house.standings() if known is not None and item.origin == known.origin]
        status = status_of(found, served, standings, [condition_data(ready)])
        self._tell(found, known, problem)
        wait = WAITS_FOR if problem is not None else STANDING if standings else None
        if known is not None and status == known.status:
            return wait
        rest = known.written_at + REST - self._clock.monotonic() if known is not None else 0.0
        if known is not None and rest > 0 and _standing(status) == _standing(known.status):
            return rest
        body = {"metadata": {"uid": found.metadata.uid}, "status": status}
        try:
            await self._client.patch(ZONES, name, body, sub="status")
        except (NotFound, Conflict):
            return None  # it is gone, or another one of its name
        except KubeError as error:
            log.warning("status not written, trying again", zone=name, reason=str(error))
            return AGAIN
        if known is not None:
            known.status, known.written_at = status, self._clock.monotonic()
        return wait

    def _tell(self, found: Zone, known: _Known | None, problem: Unready | None) -> None:
        """An event for what is wrong, when it became so."""
        told = (problem.reason, str(problem)) if problem is not None else ("", "")
        if (known is None or known.told != told) and problem is not None:
            log.warning("zone not as it should be", zone=found.metadata.name, reason=str(problem))
            self._recorder.event(_reference(found), "Warning", *told, "Serve")
        if known is not None:
            known.told = told

    def _hidden(self, found: Zone, known: _Known | None) -> str:
        """Names of the cluster's that somebody else has, in a sentence; an event when they became others."""
        hidden: Mapping[Name, str] = self._provider.hidden(known.origin) if known is not None else {}
        some = [f"{name.text} ({why})" for name, why in sorted(hidden.items())[:SHOWN]]
        more = f" and {len(hidden) - SHOWN} more" if len(hidden) > SHOWN else ""
        told = f"names that areas, Services or nodes do not have: {', '.join(some)}{more}" if hidden else ""
        if known is not None and known.hidden != hidden:
            known.hidden = dict(hidden)
            if told:
                log.warning("names of the cluster are taken", zone=found.metadata.name, names=some, count=len(hidden))
                self._recorder.event(_reference(found), "Warning", "NameTaken", told, "Serve")
        return told

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
        for name, known in self._known.items():
            if known.origin == change.origin:
                self.turns.wake(name, GATHER)


def _standing(status: Mapping[str, Any]) -> Any:
    """What a status says beside numbers that every version moves."""
    return status.get("observedGeneration"), status.get("conditions")


def _reference(found: Zone) -> ObjectReference:
    return reference(ZONES.kind, ZONES.api_version, found.metadata)
