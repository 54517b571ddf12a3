"""The queue of turns: one a key at a time, nothing lost, nothing waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from homing.effects.clock import ManualClock, settle
from homing.operator.queue import Turns


class Bench:
    """A queue whose turns are noted, and end when the test says so."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.turns: Turns[str] = Turns(self._turn, clock=self.clock, chance=random.Random(1), on_fault=self.faults_add)
        self.began: list[str] = []
        self.faults: list[str] = []
        self.again: float | None = None
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None

    def faults_add(self, key: str) -> None:
        """Note a fault."""
        self.faults.append(key)

    async def _turn(self, key: str) -> float | None:
        self.began.append(key)
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return self.again


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A running queue."""
    made = Bench()
    task = asyncio.create_task(made.turns.run())
    await settle()
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_key_woken_often_has_one_turn(bench: Bench) -> None:
    """What happened is not queued, only that something did."""
    for _ in range(10):
        bench.turns.wake("a")
    await settle()
    assert bench.began == ["a"]
    assert bench.turns.depth == 0


async def test_a_key_woken_during_its_turn_has_another(bench: Bench) -> None:
    """Never two at a time, and no news is lost."""
    bench.hold = asyncio.Event()
    bench.turns.wake("a")
    await settle()
    bench.turns.wake("a")
    bench.turns.wake("a")
    await settle()
    assert bench.began == ["a"]
    assert bench.turns.depth == 1
    bench.hold.set()
    await settle()
    assert bench.began == ["a", "a"]


async def test_one_that_hangs_holds_nobody_up(bench: Bench) -> None:
    """Others have their turns meanwhile (U9)."""
    bench.hold = asyncio.Event()
    bench.turns.wake("hangs")
    await settle()
    bench.hold = None
    bench.turns.wake("b")
    await settle()
    assert bench.began == ["hangs", "b"]


async def test_a_turn_comes_again_when_it_asked_for_that(bench: Bench) -> None:
    """After the seconds it gave, or at once when it is woken before."""
    bench.again = 300.0
    bench.turns.wake("a")
    await settle()
    await bench.clock.advance(299)
    assert bench.began == ["a"]
    await bench.clock.advance(2)
    assert bench.began == ["a", "a"]
    bench.turns.wake("a")
    await settle()
    assert bench.began == ["a", "a", "a"]
    await bench.clock.advance(299)
    assert len(bench.began) == 3, "the turn put forward is not taken twice"


async def test_a_fault_is_told_and_tried_again_later(bench: Bench) -> None:
    """A bug in one turn ends neither the queue nor that key's turns."""
    bench.error = ValueError("a bug")
    bench.turns.wake("a")
    bench.turns.wake("b")
    await settle()
    assert sorted(bench.faults) == ["a", "b"]
    bench.error = None
    await bench.clock.advance(10)
    assert sorted(bench.began) == ["a", "a", "b", "b"]


async def test_a_key_that_asks_for_nothing_is_forgotten(bench: Bench) -> None:
    """What is gone takes no memory."""
    for number in range(1000):
        bench.turns.wake(str(number))
    await settle()
    assert len(bench.began) == 1000
    assert bench.turns._places == {}


async def test_a_clock_set_back_delays_nothing(bench: Bench) -> None:
    """Turns go by the time that never goes back; waking now is now."""
    bench.again = 60.0
    bench.turns.wake("a")
    await settle()
    bench.turns.wake("b", 5.0)
    await bench.clock.advance(5)
    assert bench.began == ["a", "b"]


async def test_a_turn_under_way_ends_before_the_queue_does() -> None:
    """A request that is cut off would be made twice; one that hangs is not waited for long."""
    bench = Bench()
    bench.hold = asyncio.Event()
    task = asyncio.create_task(bench.turns.run())
    bench.turns.wake("a")
    await settle()
    task.cancel()
    await settle()
    assert not task.done()
    bench.hold.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 1)


async def test_times_that_no_longer_count_do_not_pile_up(bench: Bench) -> None:
    """A key that is woken again and again leaves nothing behind of the turns that it need not take."""
    bench.again = 86_400.0
    for _ in range(1000):
        bench.turns.wake("a")
        await settle(5)
    assert len(bench.began) == 1000
    assert len(bench.turns._heap) < 100
    await bench.clock.advance(86_401)
    assert len(bench.began) == 1001


async def test_a_turn_that_waits_or_hangs_is_overdue(bench: Bench) -> None:
    """Since it was due; a key whose next turn lies ahead is not, and once nothing waits nothing is."""
    bench.turns.wake("later", 3600.0)
    await bench.clock.advance(60)
    assert bench.turns.overdue == 0
    bench.hold = asyncio.Event()
    bench.turns.wake("a")
    await settle()
    await bench.clock.advance(1300)
    assert bench.turns.overdue == 1300
    bench.hold.set()
    await settle()
    assert bench.turns.overdue == 0
