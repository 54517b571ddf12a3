"""A round asks everyone at once and ends as soon as the verdict stands."""

from __future__ import annotations

import asyncio
import threading

from homing.detect.ask import NetworkAsk
from homing.detect.observers import HttpService, Interfaces, Observer, StunServer
from homing.detect.round import RoundSettings, run_round, run_rounds
from homing.effects.clock import ManualClock, SystemClock, settle
from homing.effects.http import HttpClient
from homing.effects.resolve import Resolver
from homing.model.address import Family, parse_address
from homing.model.observation import Observation, Outcome, Verdict
from tests.detect.fakes import SERVERS, A, B, ScriptedAsk
from tests.detect.servers import SEEN, WAN, honest, stun_response, udp_server


async def play(ask: ScriptedAsk, seconds: float, settings: RoundSettings | None = None) -> Verdict | None:
    """The verdict of a round if it is there after so many seconds."""
    task = asyncio.create_task(run_round(SERVERS, Family.V4, ask, clock=ask.clock, settings=settings))
    await settle()
    await ask.clock.advance(seconds)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None


async def test_the_verdict_does_not_wait_for_the_silent() -> None:
    """With three of five operators agreeing the verdict is there at once, and the others are let go."""
    ask = ScriptedAsk(ManualClock(), {"ant": A, "bee": A, "cat": A})
    verdict = await play(ask, 0.1)
    assert verdict is not None
    assert (verdict.outcome, verdict.address, round(verdict.elapsed, 3)) == (Outcome.AGREED, A, 0.02)
    assert ask.cancelled == 2


async def test_the_verdict_waits_while_it_could_change() -> None:
    """Two of five could still be outvoted; at the deadline they are enough."""
    answers = {"ant": A, "bee": A}
    assert await play(ScriptedAsk(ManualClock(), {**answers}), 4.9) is None
    verdict = await play(ScriptedAsk(ManualClock(), {**answers}), 5.0)
    assert verdict is not None
    assert verdict.address == A
    assert verdict.elapsed == 5.0


async def test_complete_waits_for_every_answer() -> None:
    """With ``complete`` the slowest answer is in the verdict, whose time stays that of the decision."""
    ask = ScriptedAsk(ManualClock(), delays={"eel": 3.0})
    ask.everyone(A)
    verdict = await play(ask, 3.0, RoundSettings(complete=True))
    assert verdict is not None
    assert len(verdict.observations) == 5
    assert round(verdict.elapsed, 3) == 0.02


async def test_a_lone_answer_starts_one_second_round() -> None:
    """A lone answer that is repeated is agreed; one that changes is unknown."""
    failed = {"bee": "down", "cat": "down", "dog": "down", "eel": "down"}
    ask = ScriptedAsk(ManualClock(), {"ant": A, **failed})
    verdict = await play(ask, 0.1)
    assert verdict is not None
    assert (verdict.outcome, verdict.address) == (Outcome.AGREED, A)
    assert ask.asked["ant"] == 2

    ask = ScriptedAsk(ManualClock(), {"ant": A, **failed})

    def fickle(observation: Observation) -> None:
        ask.answers["ant"] = B

    task = asyncio.create_task(run_round(SERVERS, Family.V4, ask, clock=ask.clock, on_observation=fickle))
    await settle()
    await ask.clock.advance(0.1)
    assert (await task).outcome is Outcome.UNKNOWN


async def test_observations_arrive_one_by_one() -> None:
    """The callback hears of each answer when it comes."""
    heard: list[Observation] = []
    ask = ScriptedAsk(ManualClock(), {"ant": A, "bee": B}, {"bee": 0.5})
    task = asyncio.create_task(run_round(SERVERS[:2], Family.V4, ask, clock=ask.clock, on_observation=heard.append))
    await settle()
    await ask.clock.advance(0.1)
    assert [one.operator for one in heard] == ["ant"]
    await ask.clock.advance(0.5)
    assert [one.operator for one in heard] == ["ant", "bee"]
    assert (await task).outcome is Outcome.DISPUTED


async def test_nobody_to_ask_is_unknown() -> None:
    """Without observers the verdict is unknown at once."""
    verdict = await run_round((), Family.V4, ScriptedAsk(ManualClock()), clock=ManualClock())
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, "no observer was asked")


async def test_only_so_many_are_asked_at_a_time() -> None:
    """The concurrency is bounded; the others follow when a place is free."""
    ask = ScriptedAsk(ManualClock())
    ask.everyone(A)
    assert await play(ask, 0.0, RoundSettings(concurrency=2)) is None
    assert ask.asked.total() == 2
    assert await play(ask, 0.1, RoundSettings(concurrency=2)) is not None


async def test_two_liars_against_three_honest_servers() -> None:
    """Through real sockets: three honest STUN servers win against two that lie, over both families."""
    lie = parse_address("203.0.113.66")
    async with (
        udp_server(honest) as one,
        udp_server(honest) as two,
        udp_server(honest) as three,
        udp_server(lambda data, _: [stun_response(data, lie)]) as four,
        udp_server(lambda data, _: [stun_response(data, lie)]) as five,
        HttpClient() as client,
    ):
        servers = [
            StunServer(str(address), port, operator=f"operator {number}")
            for number, (address, port) in enumerate((one, two, three, four, five))
        ]
        ask = NetworkAsk(client, SystemClock(), accept=SEEN)
        verdicts = await run_rounds(servers, ask, clock=SystemClock(), settings=RoundSettings(complete=True))
    assert (verdicts[Family.V4].outcome, verdicts[Family.V4].address) == (Outcome.AGREED, WAN)
    assert verdicts[Family.V6].outcome is Outcome.UNKNOWN


async def test_a_hung_resolver_does_not_hold_the_round() -> None:
    """Names that never resolve are given up at the deadline, and nothing waits for their threads."""
    release = threading.Event()

    def hang(_host: str, _family: Family) -> list[str]:
        release.wait(20)
        return []

    clock = SystemClock()
    try:
        async with udp_server(honest) as (address, port), HttpClient() as client:
            ask = NetworkAsk(client, clock, accept=SEEN, resolver=Resolver(clock, hang))
            observers: list[Observer] = [
                StunServer("localhost", port),
                StunServer(str(address), port, operator="a"),
            ]
            verdict = await run_round(
                observers, Family.V4, ask, clock=clock, settings=RoundSettings(quorum=1, deadline=0.3)
            )
    finally:
        release.set()
    assert verdict.address == WAN
    assert 0.3 <= verdict.elapsed < 1.5


async def test_failures_of_the_network_are_observations() -> None:
    """A closed port, a missing name and an unreachable service are told as sentences, not raised."""
    clock = SystemClock()

    def lookup(host: str, _family: Family) -> list[str]:
        if host == "localhost":
            raise OSError("broken")
        return ["127.0.0.1"]

    async with udp_server(honest) as (address, port):
        pass
    async with HttpClient() as client:
        ask = NetworkAsk(client, clock, accept=SEEN, resolver=Resolver(clock, lookup))
        closed = await ask(StunServer(str(address), port), Family.V4, 1.0)
        nameless = await ask(StunServer("localhost", port), Family.V4, 1.0)
        service = await ask(HttpService(f"http://127.0.0.1:{port}/"), Family.V4, 0.4)
    assert "refused" in closed.failure
    assert nameless.failure == "the name localhost could not be resolved"
    assert "cannot connect" in service.failure


async def test_the_interface_says_when_it_is_behind_nat() -> None:
    """The machine's own address counts only when it is globally reachable."""
    clock = SystemClock()
    async with HttpClient() as client:
        for family in Family:
            seen = await NetworkAsk(client, clock)(Interfaces(), family, 1.0)
            assert seen.counts or "behind NAT" in seen.failure or "no IPv" in seen.failure
