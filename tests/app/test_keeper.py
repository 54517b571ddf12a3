"""Zones and journals on disk, while the disk is there and while it is not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homing.app.keeper import RESERVE, ZoneKeeper
from homing.dns.authority import Authority, Change
from homing.dns.transfers.primary import Primary
from homing.effects.clock import ManualClock
from homing.errors import StoreError
from homing.model.zone import Zone, ZoneDiff, diff, succeed, zone
from homing.store import Event, Store
from homing.turn.memory import Memory
from tests.dns.zones import ORIGIN, SOA, addresses

FIRST = zone(ORIGIN, 7, SOA, ())


class Run:
    """One run of a server on a state directory."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store(directory)
        self.memory = Memory(self.store)
        self.authority = Authority()
        self.primary = Primary(self.authority, ManualClock())
        self.keeper = ZoneKeeper(self.memory, self.store, self.primary)
        self.wholes = 0
        self._monkeypatch = monkeypatch
        self._replace = self.store.replace_zone
        for method in ("replace_zone", "append_zone", "record_event"):
            self._watch(method)
        self.full = False

    def _watch(self, method: str) -> None:
        real = getattr(self.store, method)

        def watched(*values: object) -> None:
            if self.full:
                raise StoreError("the disk is full")
            self.wholes += method == "replace_zone"
            real(*values)

        self._monkeypatch.setattr(self.store, method, watched)

    async def publish(self, new: Zone) -> Zone:
        """Serve a version once it was handed to the disk."""
        old = self.authority.zone(ORIGIN)
        change = Change(old, new, None if old is None else diff(old, new))
        await self.keeper.save(change)
        self.authority.publish(new, change.diff)
        return new

    async def change(self, last: int) -> Zone:
        """Serve a next version."""
        old = self.authority.zone(ORIGIN)
        assert old is not None
        return await self.publish(succeed(old, addresses("www.example.net", f"192.0.2.{last}")))

    def journal(self) -> list[tuple[int, int]]:
        """The serials that the journal leads from and to."""
        journal = self.primary.journal(ORIGIN)
        return [] if journal is None else [(step.before, step.after) for step in journal.steps]


Start = Callable[[], Run]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Begins a run; the one before ends as by a kill, with all that was written."""
    runs: list[Run] = []

    def begin() -> Run:
        end()
        runs.append(Run(tmp_path, monkeypatch))
        return runs[-1]

    def end() -> None:
        for run in runs:
            with contextlib.suppress(StoreError):
                run.memory.close()
                run.store.close()
        runs.clear()

    yield begin
    end()


async def test_zone_and_journal_come_back(start: Start) -> None:
    """After a clean end the version is exact and the journal whole; each change was written by itself."""
    run = start()
    await run.publish(FIRST)
    for last in (1, 2):
        version = await run.change(last)
    await run.keeper.settle()
    assert run.wholes == 1
    again = start()
    assert again.keeper.last_good == (version,)
    assert not again.keeper.greatest
    assert again.journal() == [(7, 8), (8, 9)]


async def test_after_an_end_that_was_not_clean_serials_ahead_may_be_in_use(start: Start) -> None:
    """The reserve is told until a version above it was saved."""
    run = start()
    await run.publish(FIRST)
    again = start()
    assert again.keeper.greatest == {ORIGIN: 1007}
    again.authority.publish(FIRST)
    beyond = Zone(FIRST.origin, 1008, FIRST.soa, FIRST.nodes)
    await again.keeper.save(Change(FIRST, beyond, ZoneDiff((), ())))
    assert not again.keeper.greatest
    await again.keeper.settle()
    third = start()
    assert third.keeper.last_good == (beyond,)
    assert third.journal() == [(7, 1008)]


async def test_serials_stay_below_a_ceiling_that_moves_seldom(start: Start) -> None:
    """It is a reserve ahead of each version at least, so none is used twice after a power cut."""
    run = start()
    version, ceilings = await run.publish(FIRST), set[int]()
    for number in range(1100):
        version = await run.change(1 + number % 250)
        if number % 50 == 0:
            ceilings.add(run.store.load_zones()[ORIGIN].ceiling)
            assert max(ceilings) >= version.serial + RESERVE
    assert len(ceilings) == 2
    assert start().keeper.greatest == {ORIGIN: max(ceilings)}


async def test_a_held_zone_is_not_exact(start: Start) -> None:
    """From the moment it is served again, even without a change."""
    run = start()
    await run.publish(FIRST)
    await run.keeper.settle()
    again = start()
    await again.keeper.hold([ORIGIN])
    third = start()
    assert third.keeper.greatest == {ORIGIN: 1007}


async def test_what_a_full_disk_refused_is_written_whole_later(start: Start) -> None:
    """Versions go on meanwhile; with room again the disk has the last one and the whole journal."""
    run = start()
    await run.publish(FIRST)
    await run.change(1)
    run.full = True
    for last in (2, 3):
        await run.change(last)
    assert run.store.load_zones()[ORIGIN].zone != run.authority.zone(ORIGIN)
    run.full = False
    await run.memory.happened(Event(1.0, "test", "", ""))
    assert run.store.load_zones()[ORIGIN].zone == run.authority.zone(ORIGIN)
    version = await run.change(4)
    assert run.wholes == 2
    await run.keeper.settle()
    again = start()
    assert again.keeper.last_good == (version,)
    assert not again.keeper.greatest
    assert again.journal() == [(7, 8), (8, 9), (9, 10), (10, 11)]


async def test_an_end_while_the_disk_is_full_is_not_clean(start: Start) -> None:
    """What is on disk is not what was served, and the next run knows."""
    run = start()
    await run.publish(FIRST)
    run.full = True
    await run.change(1)
    await run.keeper.settle()
    again = start()
    assert again.keeper.last_good == (FIRST,)
    assert again.keeper.greatest == {ORIGIN: 1007}


async def test_room_at_the_very_end_is_enough(start: Start) -> None:
    """What the disk refused before and takes at the end makes it a clean one."""
    run = start()
    await run.publish(FIRST)
    run.full = True
    version = await run.change(1)
    run.full = False
    await run.keeper.settle()
    again = start()
    assert again.keeper.last_good == (version,)
    assert not again.keeper.greatest
