"""The machine's clock is set forward and back: only durations count, and no lease ends by it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from datetime import datetime
from pathlib import Path

import pytest

from homing import __version__
from homing.effects.clock import ManualClock, settle
from homing.effects.metrics import Metrics
from homing.model.name import parse_name
from homing.operator.queue import Turns
from homing.sources import WanSource
from homing.standins.internet import StandInInternet
from homing.turn.memory import Memory
from homing.turn.names import NameSpec
from homing.turn.reconcile import Reconciler
from tests.app.fake_provider import FakeProvider
from tests.operator.names import holds, static, writes
from tests.operator.running import DOMAINS, Kube, operator
from tests.turn.test_reconcile import BOTH, HOME, MOVED
from tests.waiting import until

DAY = 86_400.0

_SET = """
import pathlib, time

_real, _file = time.time, pathlib.Path({file!r})
time.time = lambda: _real() + float(_file.read_text() or 0)
"""
"""A sitecustomize module that has Python tell another time of day; monotonic time goes on."""


class SetClock(ManualClock):
    """A clock whose time of day can be set."""

    ahead = 0.0

    def time(self) -> float:
        """Unix time as set."""
        return super().time() + self.ahead


@pytest.mark.parametrize("ahead", [DAY, -DAY])
async def test_a_turn_comes_when_its_seconds_have_passed(ahead: float) -> None:
    """Whatever the time of day says meanwhile: not before, and not later."""
    clock, taken = SetClock(), 0

    async def turn(_: str) -> float:
        nonlocal taken
        taken += 1
        return 100.0

    turns = Turns(turn, clock=clock, chance=random.Random(1))
    running = asyncio.create_task(turns.run())
    turns.wake("www")
    await settle()
    assert taken == 1
    clock.ahead = ahead
    await clock.advance(98)
    assert taken == 1
    await clock.advance(3)
    assert taken == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("ahead", [DAY, -DAY])
async def test_a_new_address_is_published_though_the_clock_was_set(ahead: float) -> None:
    """A provider that was busy for an hour is asked at once when the clock goes a day forward or back."""
    clock, provider = SetClock(), FakeProvider()
    spec = NameSpec(parse_name("www.example.org"), provider.name, WanSource(BOTH), 60, 300.0)
    memory = Memory(None)
    reconciler = Reconciler(
        provider, [spec], memory, clock=clock, chance=random.Random(1), metrics=Metrics(__version__)
    )
    await reconciler.turn(HOME)
    reconciler.states[spec.name].not_before = clock.time() + 3600
    reconciler.states[spec.name].patient = True
    clock.ahead = ahead
    turn = await reconciler.turn(MOVED)
    assert "8.8.4.4" in provider.values(spec.name)
    assert 0 < turn.next_at - clock.time() <= 300
    memory.close()


@pytest.mark.cluster
def test_an_operator_goes_on_when_its_clock_is_set(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """An hour forward, then two back: changes are published, nothing twice, and the Lease stays with its holder."""
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(_SET.format(file=str(ahead)))
    kube.gandi(world)
    kube.domain("www", "www.example.org", static(1))
    with contextlib.ExitStack() as stack:
        stack.enter_context(operator(kube, tmp_path / "1", None, "--identity", "first", PYTHONPATH=str(tmp_path)))
        kube.wait_for(DOMAINS, "www")
        second = stack.enter_context(operator(kube, tmp_path / "2", None, "--identity", "second"))
        until(lambda: "leader seen" in second.text, 15, "the follower")
        holder = kube.lease()
        assert holder[0] == "first"
        for number, seconds in ((2, 3600), (3, -3600)):
            ahead.write_text(str(seconds))
            kube.patch(DOMAINS, "www", {"spec": {"addresses": static(number)}})
            until(lambda: holds(world, "www", number), 15, "the change")  # noqa: B023
            until(lambda: kube.status(DOMAINS, "www")["addresses"] == [f"203.0.113.{number}"], 15, "the status")  # noqa: B023
            told = datetime.fromisoformat(kube.status(DOMAINS, "www")["lastSync"]).timestamp() - time.time()
            assert abs(told - seconds) < 60, "the operator has another time than the test gave it"
            kube.patch(DOMAINS, "www", {"metadata": {"annotations": {"homing.dev/reconcile": str(seconds)}}})
        kube.wait_for(DOMAINS, "www")
        assert kube.lease() == holder
        assert len(writes(world)) == 3
