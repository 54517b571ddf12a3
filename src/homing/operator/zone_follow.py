"""What a DNS replica that does not lead reads of the Zones: which there are, and who may follow them by which keys."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from homing.dns.transfers.policy import ZonePolicy
from homing.dns.transfers.tsig import Key
from homing.effects.clock import Clock
from homing.kube.client import KubeClient
from homing.kube.kinds import ZONES
from homing.kube.kinds.zone import Zone, ZoneSpec
from homing.kube.watch import Mirror
from homing.model.name import Name
from homing.operator.entry import Unready
from homing.operator.key_secrets import KeySecrets
from homing.operator.zones import follow_of, key_places, origin_of

GATHER = 0.05
"""Seconds in which changes are gathered before they are looked at."""

Take = Callable[[Mapping[Name, ZoneSpec], Mapping[Name, ZonePolicy], Collection[Key]], Awaitable[None]]
"""Told of all Zones there are, the policies of those that have one, and the keys known."""


class ZoneFollow:
    """Follows Zones and their keys until ``run`` is cancelled, and has them taken, the first time when all are seen."""

    def __init__(self, client: KubeClient, take: Take, *, clock: Clock, chance: random.Random) -> None:
        self._take = take
        self._clock = clock
        self._changed = asyncio.Event()
        self._seen = Mirror(client, ZONES, clock=clock, chance=chance, on_change=self._zone_changed)
        self._secrets = KeySecrets(client, clock=clock, chance=chance, changed=lambda _: self._changed.set())

    async def run(self) -> None:
        """Until cancelled."""
        following = asyncio.create_task(self._seen.run())
        try:
            await self._seen.synced.wait()
            while True:
                zones = _oldest(self._seen.values())
                places = {place[:2] for spec in zones.values() for place in key_places(spec)}
                self._secrets.want(places)
                await self._secrets.seen(places)
                self._changed.clear()
                await self._take(zones, *self._policies(zones))
                await self._changed.wait()
                await self._clock.sleep(GATHER)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await self._secrets.aclose()

    def _policies(self, zones: Mapping[Name, ZoneSpec]) -> tuple[dict[Name, ZonePolicy], list[Key]]:
        policies: dict[Name, ZonePolicy] = {}
        keys: dict[Name, Key] = {}
        for origin, spec in zones.items():

            def read(index: int, spec: ZoneSpec = spec) -> Key:
                key = self._secrets.key(spec.tsig_keys[index], key_places(spec)[index])
                if keys.setdefault(key.name, key) != key:
                    raise Unready("KeyConflict", f"another Zone has another key {key.name}")
                return key

            with contextlib.suppress(Unready):  # the leader tells of it in the status
                policy = follow_of(spec, read).policy
                if policy is not None:
                    policies[origin] = policy
        return policies, list(keys.values())

    def _zone_changed(self, _: object, old: Zone | None, new: Zone | None) -> None:
        if old is None or new is None or old.metadata.generation != new.metadata.generation:
            self._changed.set()


def _oldest(zones: Iterable[Zone]) -> dict[Name, ZoneSpec]:
    """The Zones by origin; of two of an origin the older one."""
    found: dict[Name, ZoneSpec] = {}
    for zone in sorted(zones, key=lambda zone: (zone.metadata.creation_timestamp or "", zone.metadata.uid)):
        with contextlib.suppress(Unready):
            if not zone.metadata.deletion_timestamp:
                found.setdefault(origin_of(zone.spec), zone.spec)
    return found
