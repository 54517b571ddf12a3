"""Keeps the zones served and their journals on disk, so that a restart goes on where the last run ended.

A version is written before it counts (law 8). While the disk refuses, zones follow all the same; what was served
meanwhile is not on disk, so at the next start the serial begins above all that may have been used. So it does after a
power cut: what waits for the disk is not the version but a ceiling above its serial (docs/design/003).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from homing.dns.authority import Change
from homing.dns.transfers.journal import JournalLimits, Step, decode_step, encode_step, step
from homing.dns.transfers.primary import Primary
from homing.effects.log import get_logger
from homing.errors import ModelError, StoreError
from homing.model.name import Name
from homing.model.zone import Zone, ZoneDiff, serial_add, serial_gt
from homing.store import Store
from homing.turn.memory import Memory

log = get_logger("zones")

RESERVE = 1000
"""Serials ahead of the one on disk that may be served while the disk refuses; a start after that is above them."""


@dataclass(slots=True)
class _Kept:
    """A zone's last version, the serial of the one on disk, and the greatest serial served before this run."""

    zone: Zone | None = None
    on_disk: int | None = None
    greatest: int | None = None
    is_exact: bool = False
    ceiling: int | None = None
    """The one on disk, where it was written in this run."""


class ZoneKeeper:
    """What is known of the zones from before, and where new versions go. ``settle`` at the end.

    ``store`` is read at once; writing goes through ``memory``, which goes on without a disk. ``primary`` has the
    journals.
    """

    def __init__(self, memory: Memory, store: Store | None = None, primary: Primary | None = None) -> None:
        self._memory = memory
        self._primary = primary
        self._zones: dict[Name, _Kept] = {}
        self._damaged: list[Name] = []
        for origin, stored in store.load_zones().items() if store is not None else ():
            known = stored.zone is not None and stored.is_exact
            self._zones[origin] = _Kept(
                stored.zone,
                stored.zone.serial if stored.zone is not None else None,
                None if known else stored.ceiling,
                stored.is_exact,
            )
            if stored.zone is None:
                log.error("last good zone cannot be read", zone=origin.text, reason=stored.problem)
            elif primary is not None:
                primary.restore(origin, self._steps(origin, stored.steps))

    @property
    def last_good(self) -> tuple[Zone, ...]:
        """The last version of each zone, this run's too."""
        return tuple(kept.zone for kept in self._zones.values() if kept.zone is not None)

    @property
    def greatest(self) -> dict[Name, int]:
        """The greatest serial that may have been served before, of zones of which that is not known exactly."""
        return {origin: kept.greatest for origin, kept in self._zones.items() if kept.greatest is not None}

    async def hold(self, origins: Collection[Name]) -> None:
        """Write down that these zones are served from now on, with serials that need not be on disk."""
        while self._damaged:
            damaged = self._damaged.pop()
            await self._memory.zones(operator.methodcaller("drop_journal", damaged))
        held = {
            origin: serial_add(kept.zone.serial, RESERVE)
            for origin in origins
            if (kept := self._zones.get(origin)) is not None and kept.is_exact and kept.zone is not None
        }
        if held:
            await self._memory.zones(operator.methodcaller("hold_zones", held))
        for origin in held:
            self._zones[origin].is_exact = False

    async def save(self, change: Change) -> None:
        """Put the next version of a zone on disk, before it is served."""
        await self._memory.zone(change.origin, self._writing(change)[1])

    async def save_all(self, changes: Iterable[Change]) -> None:
        """The same for many zones at once, which takes a fraction of the time."""
        writings = [self._writing(change) for change in changes]

        def write(store: Store) -> None:
            try:
                with store.together():
                    for _, one in writings:
                        one(store)
            except StoreError:
                for kept, _ in writings:
                    kept.on_disk = None  # the next version is written whole
                raise

        if writings:
            await self._memory.zones(write)

    def _writing(self, change: Change) -> tuple[_Kept, Callable[[Store], None]]:
        """What writes a version, which counts as kept from now on."""
        zone, before = change.after, change.before
        assert zone is not None  # noqa: S101 - a zone that is gone stays on disk, for its serial
        kept = self._zones.setdefault(zone.origin, _Kept())
        kept.zone, kept.greatest, kept.is_exact = zone, None, False
        taken = step(before, zone, change.diff) if before is not None else None
        if before is not None and change.diff is not None and taken is not None and kept.on_disk == before.serial:
            return kept, functools.partial(_append, kept, before.serial, zone, change.diff, taken)
        journal = self._primary.journal(zone.origin) if self._primary is not None and before is not None else None
        steps = (*(journal.steps if journal is not None else ()), *((taken,) if taken is not None else ()))
        return kept, functools.partial(_replace, kept, zone, steps)

    async def settle(self) -> None:
        """Write down that nothing was served that is not on disk; the last thing of a run."""
        await self._memory.zones(lambda _: None)  # what the disk refused before, it may take now
        exact = [
            origin
            for origin, kept in self._zones.items()
            if kept.zone is not None and kept.on_disk == kept.zone.serial and kept.greatest is None
        ]
        await self._memory.zones(operator.methodcaller("settle_zones", exact))

    def _steps(self, origin: Name, stored: Iterable[bytes]) -> list[Step]:
        try:
            return [decode_step(octets) for octets in stored]
        except ModelError as error:
            log.error("journal cannot be read, secondaries get the whole zone", zone=origin.text, reason=str(error))  # noqa: TRY400
            self._damaged.append(origin)
            return []


def _append(kept: _Kept, before: int, zone: Zone, diff: ZoneDiff, taken: Step, store: Store) -> None:
    ceiling = kept.ceiling
    if ceiling is None or serial_gt(serial_add(zone.serial, RESERVE), ceiling):
        ceiling = serial_add(zone.serial, 2 * RESERVE)  # many versions on, so that few have to wait for the disk
    store.append_zone(before, zone, diff, ceiling, encode_step(taken), JournalLimits().octets)
    kept.on_disk, kept.ceiling = zone.serial, ceiling


def _replace(kept: _Kept, zone: Zone, steps: Iterable[Step], store: Store) -> None:
    ceiling = serial_add(zone.serial, RESERVE)
    store.replace_zone(zone, ceiling, (encode_step(item) for item in steps))
    kept.on_disk, kept.ceiling = zone.serial, ceiling
