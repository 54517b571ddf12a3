"""From what master files hold to what is served: its serials, its place on disk, one swap, the catalog."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import msgspec

from homing.app.dns.figures import SHOWN
from homing.app.dns.files import Found
from homing.app.dns.versions import Remembered, Versions
from homing.app.transfers import Transfers
from homing.dns.authority import Authority, Change
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.effects.thread import in_thread
from homing.errors import StoreError
from homing.model.name import Name
from homing.model.zone import Zone, ZoneDiff, diff, serial_add, serial_gt
from homing.store import Store

log = get_logger("dns")

SERIALS = "dns-serials"
"""The store's key of the serials last served."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is served since: how many zones changed, which are withdrawn, and a line for each, its zone first."""

    changed: int
    withdrawn: frozenset[Name]
    lines: tuple[tuple[str, str], ...]


class Publisher:
    """Serves what was found in files. ``Remembered`` alone decides serials, and they are on disk before they count.

    With ``keeps`` the zones are on disk too, with their journals: secondaries then catch up by IXFR after a restart,
    and a zone whose file is broken at the start is served as it was last.
    """

    def __init__(
        self,
        authority: Authority,
        store: Store,
        transfers: Transfers,
        clock: Clock,
        *,
        keeps: bool,
        beside: Callable[[], Collection[Name]] = tuple,
    ) -> None:
        """``beside`` tells the zones that belong to others."""
        self._authority = authority
        self._store = store
        self._transfers = transfers
        self._clock = clock
        self._keeps = keeps
        self._beside = beside
        self._remembered = _remembered(store)
        self._listed: tuple[frozenset[Name], bool] = (frozenset(), False)
        self._turn = asyncio.Lock()

    async def begin(self, found: Found) -> None:
        """Serve what was served last of the zones there are, so that what files hold now is a step from there."""
        wanted = found.zones.keys() | found.awaited
        kept = [zone for zone in self._transfers.keeper.last_good if zone.origin in wanted]
        await in_thread(lambda: self._remembered.adopt(kept))
        self._authority.replace(kept)
        await self._transfers.keeper.hold([zone.origin for zone in kept])
        for zone in kept:
            if zone.origin in found.awaited:
                log.warning("zone is served as it was last, its file is broken", zone=zone.origin.text)
        new = [origin for origin in found.zones if not self._remembered.knows(origin)]
        for origin, serial in (await self._transfers.secondary_serials(new)).items():
            if serial_gt(serial, found.zones[origin][1].serial):
                self._remembered.heed(origin, serial)

    async def publish(self, found: Found) -> Taken:
        """Serve what changed. Of zones never read nothing is known, which is SERVFAIL."""
        async with self._turn:
            loaded = self._authority.zones.loaded
            others = {*self._transfers.catalogs, *self._beside()}
            served = {origin: zone for origin, zone in loaded.items() if origin not in others}
            withdrawn = served.keys() - found.zones.keys() - found.awaited
            versions, changes = await in_thread(lambda: self._decide(found, served))
            for path, read, version in versions.renumbered[:SHOWN]:
                log.warning(
                    "zone is served under a serial that its file does not have",
                    zone=read.origin.text, file=str(path), in_file=read.serial, served=version.serial,
                    remedy=f"raise the serial in the file above {version.serial} with each change",
                )  # fmt: skip
            await self._save(changes)
            ended = self._authority.zones.awaited - found.awaited - others
            self._authority.replace(versions.changed, withdrawn | ended, found.awaited)
            await self._list(found)
            lines = [(zone.origin.text, _step(served.get(zone.origin), zone)) for zone in versions.changed]
            lines += [(origin.text, "withdrawn, its file is gone") for origin in withdrawn]
            return Taken(len(versions.changed), frozenset(withdrawn), tuple(lines[:SHOWN]))

    async def overtake(self, origin: Name, serial: int) -> None:
        """Give a zone a serial above one that a secondary has."""
        async with self._turn:
            old = self._authority.zone(origin)
            if old is None or not serial_gt(serial, old.serial):
                return
            new = replace(old, serial=serial_add(serial, 1))
            self._remembered.note([new])
            change = Change(old, new, ZoneDiff((), ()))
            await self._save([change])
            self._authority.publish(new, change.diff, renumbered=True)

    def _decide(self, found: Found, served: dict[Name, Zone]) -> tuple[Versions, list[Change]]:
        versions = self._remembered.versions(found.zones, served)
        before = [served.get(zone.origin) for zone in versions.changed]
        return versions, [
            Change(old, new, diff(old, new) if old is not None and self._keeps else None)
            for old, new in zip(before, versions.changed, strict=True)
        ]

    async def _save(self, changes: list[Change]) -> None:
        if not changes:
            return
        document, at = self._remembered.document(), self._clock.time()
        try:
            await asyncio.to_thread(self._store.save_document, SERIALS, document, at)
        except StoreError as error:  # an edit is served all the same; after a restart its serial may be another
            log.error("serials cannot be saved", reason=str(error))  # noqa: TRY400
        if self._keeps:
            await self._transfers.keeper.save_all(changes)

    async def _list(self, found: Found) -> None:
        """Keep the catalog; a file that cannot be read must not make secondaries delete a zone."""
        all_known = not found.errors
        members = frozenset((*found.zones, *found.awaited, *(() if all_known else self._listed[0])))
        if (members, all_known) != self._listed:
            await self._transfers.list_members(members, all_known=all_known, source="files")
        self._listed = members, all_known


def _remembered(store: Store) -> Remembered:
    found = store.document(SERIALS)
    try:
        return Remembered(found[1] if found else None)
    except msgspec.DecodeError as error:
        log.error("remembered serials cannot be read", reason=str(error))  # noqa: TRY400
        return Remembered()


def _step(before: Zone | None, after: Zone) -> str:
    return f"serial {'none' if before is None else before.serial} -> {after.serial}"
