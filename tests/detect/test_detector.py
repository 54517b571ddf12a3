"""The detector notices changes between rounds, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncGenerator

from homing.detect.detector import Detector, DetectorSettings
from homing.effects.clock import ManualClock, settle
from homing.model.address import Family
from homing.model.observation import Outcome, Verdict
from tests.detect.fakes import SERVERS, A, B, ScriptedAsk


class Stage:
    """A detector with its clock, its script, and what it said."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ask = ScriptedAsk(self.clock)
        self.ask.everyone(A)
        self.verdicts: list[Verdict] = []
        self.rounds: list[Verdict] = []
        self.changes: asyncio.Queue[None] = asyncio.Queue()
        self.detector = Detector(
            lambda: SERVERS,
            self.ask,
            clock=self.clock,
            chance=random.Random(1),
            settings=DetectorSettings(families=(Family.V4,)),
            on_verdict=self.verdicts.append,
            on_round=self.rounds.append,
            changes=self._changes,
        )

    async def _changes(self) -> AsyncGenerator[None]:
        while True:
            await self.changes.get()
            yield

    async def trigger(self) -> None:
        """Trigger, and let the detector take notice before the clock moves on."""
        self.detector.trigger()
        await settle()

    @property
    def addresses(self) -> list[str]:
        """The verdicts in short."""
        return [str(verdict.address or verdict.outcome.value) for verdict in self.verdicts]


@contextlib.asynccontextmanager
async def running() -> AsyncGenerator[Stage]:
    """A detector that has just given its first verdict."""
    stage = Stage()
    task = asyncio.create_task(stage.detector.run())
    await settle()
    await stage.clock.advance(1.0)
    try:
        yield stage
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_first_round_starts_at_once() -> None:
    """The verdict is there after one round trip, and kept with its observations."""
    async with running() as stage:
        assert stage.addresses == [str(A)]
        assert stage.detector.verdicts[Family.V4].observations


async def test_full_rounds_come_every_interval_and_publish_only_changes() -> None:
    """After 300 s everyone is asked again; an equal verdict is not published again."""
    async with running() as stage:
        await stage.clock.advance(297)
        assert len(stage.rounds) == 1
        await stage.clock.advance(5)
        assert len(stage.rounds) == 2
        assert stage.addresses == [str(A)]


async def test_one_packet_every_15_seconds_in_between() -> None:
    """Between rounds one observer is asked at a time, each in its turn."""
    async with running() as stage:
        stage.ask.asked.clear()
        await stage.clock.advance(15 * 5 + 1)
        assert stage.ask.asked == dict.fromkeys((server.operator for server in SERVERS), 1)


async def test_a_probe_notices_a_new_address() -> None:
    """A change of the address is published within 16 seconds, without any event."""
    async with running() as stage:
        stage.ask.everyone(B)
        await stage.clock.advance(16)
        assert stage.addresses == [str(A), str(B)]


async def test_dead_servers_do_not_hide_a_change() -> None:
    """A probe goes on from a silent server to the next: with two of five dead, a change is seen within 20 seconds."""
    async with running() as stage:
        stage.ask.everyone(B)
        stage.ask.answers["bee"] = stage.ask.answers["cat"] = None
        await stage.clock.advance(19.9)
        assert stage.addresses == [str(A), str(B)]


async def test_a_lying_probe_changes_nothing_and_is_not_asked_again() -> None:
    """A server that alone says otherwise costs one round; later probes leave it out."""
    async with running() as stage:
        stage.ask.answers["bee"] = B
        await stage.clock.advance(290)
        assert len(stage.rounds) == 2
        assert stage.addresses == [str(A)]


async def test_silence_keeps_the_last_verdict_until_a_round_fails() -> None:
    """Probes that nobody answers start no round: not seeing is not knowing."""
    async with running() as stage:
        stage.ask.everyone("down")
        await stage.clock.advance(250)
        assert len(stage.rounds) == 1
        assert stage.detector.verdicts[Family.V4].address == A


async def test_a_change_of_the_machine_s_addresses_starts_a_round() -> None:
    """An event of the kernel is followed by a full round at once."""
    async with running() as stage:
        stage.ask.everyone(B)
        stage.changes.put_nowait(None)
        await settle()
        await stage.clock.advance(0.1)
        assert stage.addresses == [str(A), str(B)]


async def test_many_triggers_start_at_most_one_round_a_second() -> None:
    """A storm of events is shed."""
    async with running() as stage:
        before = len(stage.rounds)
        for _ in range(40):
            await stage.trigger()
            await stage.clock.advance(0.1)
        assert 3 <= len(stage.rounds) - before <= 5


async def test_a_trigger_breaks_off_a_round_that_hangs() -> None:
    """A round that waits for a dead line is started anew when the line changes."""
    async with running() as stage:
        stage.ask.everyone(None)
        await stage.trigger()
        await stage.clock.advance(2)
        stage.ask.everyone(B)
        await stage.trigger()
        await stage.clock.advance(1.4)
        assert stage.addresses == [str(A), str(B)]


async def test_triggers_without_end_do_not_starve_the_rounds() -> None:
    """When events keep coming, a round is brought to its end all the same."""
    async with running() as stage:
        stage.ask.everyone(None)
        for _ in range(120):
            await stage.trigger()
            await stage.clock.advance(0.1)
        assert stage.addresses == [str(A), "unknown"]


async def test_rounds_without_agreement_are_repeated_with_backoff() -> None:
    """Unknown and disputed verdicts are retried after 5 s at first and after 60 s at most."""
    async with running() as stage:
        stage.ask.answers = {"ant": A, "bee": B, "cat": "down", "dog": "down", "eel": "down"}
        await stage.trigger()
        await stage.clock.advance(0.5)
        assert stage.verdicts[-1].outcome is Outcome.DISPUTED
        starts = []
        for _ in range(400):
            before = len(stage.rounds)
            await stage.clock.advance(1)
            starts.extend([stage.clock.time()] * (len(stage.rounds) - before))
        gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
        assert gaps[0] <= 11
        assert 25 <= max(gaps) <= 62
        assert stage.addresses == [str(A), "disputed"]


async def test_a_line_that_comes_back_is_noticed_by_a_probe() -> None:
    """While the verdict is unknown, any answer that counts starts a round."""
    async with running() as stage:
        stage.ask.everyone("down")
        await stage.trigger()
        await stage.clock.advance(200)
        assert stage.addresses == [str(A), "unknown"]
        stage.ask.everyone(B)
        await stage.clock.advance(17)
        assert stage.addresses == [str(A), "unknown", str(B)]
