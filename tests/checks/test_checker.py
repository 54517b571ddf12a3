"""Probes on schedule, turns that are told, and what is not probed; time moves by hand."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address, ip_network

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from homing.checks import Check, Checker, CheckMetrics, Icmp, Outcome, Result, Target, Tcp
from homing.effects.clock import ManualClock, settle
from homing.model.address import Address, Network
from homing.model.health import Health

CHECK = Check(Tcp(443), interval=2, timeout=1)
A, B, C = (Target(ip_address(f"192.0.2.{host}"), CHECK) for host in (1, 2, 3))


class Wire:
    """A checker whose probes end as ``dead`` and ``results`` say, at once."""

    def __init__(self, at_once: int = 256, limit: int = 10_000) -> None:
        self.clock = ManualClock()
        self.registry = CollectorRegistry()
        self.dead: set[Address] = set()
        self.result = Result.TIMEOUT
        self.sent: list[tuple[float, Target]] = []
        self.under_way = self.most = 0
        self.takes = 0.0
        self.changes: list[Address] = []
        self.checker = Checker(
            self.probe, self.changes.append, clock=self.clock, chance=random.Random(1),
            metrics=CheckMetrics(self.registry), at_once=at_once, limit=limit,
        )  # fmt: skip

    async def probe(self, target: Target) -> Outcome:
        """What NetworkProbe does."""
        self.sent.append((self.clock.monotonic(), target))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.takes:
            await self.clock.sleep(self.takes)
        self.under_way -= 1
        if target.address in self.dead:
            return Outcome(self.result, "as told")
        return Outcome(Result.SUCCESS)

    async def follow(self, *targets: Target, own: Sequence[Network] = ()) -> None:
        """Have exactly these targets, all asleep until their first probe."""
        self.checker.follow(targets, own)
        await settle()

    def metric(self, name: str, **labels: str) -> float:
        """A sample."""
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """One that is closed at the end."""
    made = Wire()
    yield made
    await made.checker.close()


async def test_a_dead_address_turns_within_seconds_and_back(wire: Wire) -> None:
    """changed is called at each turn, with a line in the log and figures."""
    await wire.follow(A, B)
    await wire.clock.advance(4)
    assert wire.changes == []
    wire.dead = {A.address}
    with capture_logs() as logs:
        await wire.clock.advance(8)
    assert wire.changes == [A.address]
    assert [wire.checker.health(target) for target in (A, B)] == [Health.FAILING, Health.HEALTHY]
    assert (list(wire.checker.unhealthy), wire.checker.why(A), wire.checker.why(B)) == ([A], "as told", "")
    assert [(line["log_level"], line["address"], line["why"]) for line in logs] == [("warning", "192.0.2.1", "as told")]
    assert wire.metric("homing_check_unhealthy") == 1
    assert wire.metric("homing_check_probes_total", kind="tcp", result="timeout") >= 3
    wire.dead = set()
    await wire.clock.advance(6)
    assert wire.changes == [A.address, A.address]
    assert wire.metric("homing_check_unhealthy") == 0


async def test_blindness_changes_nothing_and_is_told_once(wire: Wire) -> None:
    """The gauge says on how many ways nothing answers."""
    await wire.follow(A, B, C)
    await wire.clock.advance(4)
    wire.dead = {A.address, B.address, C.address}
    with capture_logs() as logs:
        await wire.clock.advance(600)
    assert wire.changes == []
    assert [line["event"] for line in logs] == [
        "no target answers, so the fault may be here: nothing changes meanwhile"
    ]
    assert wire.metric("homing_check_blind") == 1
    wire.dead = set()
    with capture_logs() as logs:
        await wire.clock.advance(10)
    assert [line["event"] for line in logs] == ["targets answer again"]
    assert (wire.changes, wire.metric("homing_check_blind")) == ([], 0)


async def test_a_flapping_address_is_left_out_though_it_works_again(wire: Wire) -> None:
    """Its health says that it is damped, and it comes back after minutes of calm."""
    await wire.follow(A, B)
    for _ in range(3):
        wire.dead = {A.address}
        await wire.clock.advance(10)
        wire.dead = set()
        await wire.clock.advance(10)
    assert wire.checker.health(A) is Health.DAMPED
    wire.changes.clear()
    await wire.clock.advance(360)
    assert (wire.changes, wire.checker.health(A)) == ([A.address], Health.HEALTHY)


async def test_addresses_of_the_own_site_and_of_this_machine_are_not_probed(wire: Wire) -> None:
    """They count as healthy, and bear no witness."""
    loop = Target(ip_address("127.0.0.1"), CHECK)
    wire.dead = {A.address, B.address}
    await wire.follow(A, B, loop, own=[ip_network("192.0.2.2/32")])
    await wire.clock.advance(60)
    assert {target for _, target in wire.sent} == {A}
    assert wire.changes == []


async def test_first_probes_are_spread_over_the_interval(wire: Wire) -> None:
    """A thousand targets do not go out at once, nor later."""
    await wire.follow(*(Target(ip_address(0xC6120000 + host), CHECK) for host in range(1000)))
    await wire.clock.advance(8)
    a_tenth = Counter(int((at - 1_700_000_000) * 10) for at, _ in wire.sent)
    assert max(a_tenth.values()) < 100
    assert 3900 <= len(wire.sent) <= 4100


async def test_probes_at_a_time_are_bounded() -> None:
    """What does not fit waits."""
    wire = Wire(at_once=5)
    wire.takes = 1.0
    await wire.follow(*(Target(ip_address(0xC6120000 + host), CHECK) for host in range(40)))
    await wire.clock.advance(20)
    assert wire.most == 5
    assert len({target for _, target in wire.sent}) == 40
    await wire.checker.close()


async def test_targets_beyond_the_limit_are_not_probed_and_that_is_told_once() -> None:
    """They count as healthy; those that are probed already stay."""
    wire = Wire(limit=2)
    await wire.follow(B, C)
    with capture_logs() as logs:
        await wire.follow(A, B, C)
        await wire.follow(A, B, C)
    await wire.clock.advance(60)
    assert {target for _, target in wire.sent} == {B, C}
    assert [(line["log_level"], line["left_out"]) for line in logs] == [("warning", 1)]
    await wire.checker.close()


async def test_names_that_share_address_and_check_share_the_probes(wire: Wire) -> None:
    """One probe an interval, however often the target is named."""
    await wire.follow(A, Target(A.address, Check(Tcp(443), interval=2, timeout=1)), A)
    await wire.clock.advance(20)
    assert 9 <= len(wire.sent) <= 11
    assert wire.metric("homing_check_targets") == 1


async def test_a_new_spec_counts_at_once(wire: Wire) -> None:
    """The old probes end; who stays is not probed anew, and a dead address stays out when only figures change."""
    wire.dead = {A.address}
    await wire.follow(A, B)
    await wire.clock.advance(10)
    quick = Check(Tcp(443), interval=1, timeout=1)
    await wire.follow(Target(A.address, quick), Target(B.address, quick))
    assert wire.checker.health(Target(A.address, quick)) is Health.FAILING
    wire.sent.clear()
    await wire.clock.advance(5)
    assert {target.check for _, target in wire.sent} == {quick}
    await wire.follow()
    wire.sent.clear()
    await wire.clock.advance(20)
    assert wire.sent == []
    assert not wire.checker.unhealthy
    assert wire.changes == [A.address] * 3


async def test_what_cannot_be_sent_says_nothing_and_is_told_once(wire: Wire) -> None:
    """No rights for ICMP, no sockets left: the targets keep their health."""
    wire.result = Result.IMPOSSIBLE
    wire.dead = {A.address, C.address}
    pings = [Target(target.address, Check(Icmp())) for target in (A, B, C)]
    await wire.follow(*pings)
    with capture_logs() as logs:
        await wire.clock.advance(60)
    assert wire.changes == []
    assert [(line["event"], line["why"]) for line in logs] == [
        ("check not possible here, its targets keep their health", "as told")
    ]
    assert wire.metric("homing_check_probes_total", kind="icmp", result="impossible") > 50


async def test_a_timeout_that_comes_late_says_nothing(wire: Wire) -> None:
    """The process was frozen or starved, so it cannot know whether there was an answer."""
    await wire.follow(A, B, C)
    await wire.clock.advance(4)
    wire.dead = {A.address, B.address}
    wire.takes = CHECK.timeout + 0.5
    with capture_logs() as logs:
        await wire.clock.advance(60)
    assert wire.changes == []
    assert [line["why"] for line in logs] == ["too busy to notice answers in time"]
    wire.takes = CHECK.timeout
    await wire.clock.advance(20)
    assert set(wire.changes) == wire.dead


async def test_a_probe_that_breaks_makes_its_address_healthy(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of Homing never keeps a name from being answered; the other checks go on."""
    wire.dead = {A.address}
    await wire.follow(A, B)
    await wire.clock.advance(10)
    assert wire.checker.health(A) is Health.FAILING
    sound = wire.probe

    async def broken(target: Target) -> Outcome:
        if target == A:
            raise ZeroDivisionError
        return await sound(target)

    monkeypatch.setattr(wire.checker, "_probe", broken)
    wire.sent.clear()
    with capture_logs() as logs:
        await wire.clock.advance(10)
    assert wire.checker.health(A) is Health.HEALTHY
    assert wire.changes == [A.address, A.address]
    assert "ZeroDivisionError" in next(line["fault"] for line in logs if line["log_level"] == "error")
    assert len(wire.sent) >= 4


async def test_what_another_checker_found_failing_is_told_and_believed_at_first(wire: Wire) -> None:
    """Until it answers; where nothing can be sent it counts as healthy, which is told."""
    wire.dead = {A.address}
    wire.checker.follow([A, B, C], own=[ip_network("192.0.2.3/32")], failing=[A, C])
    assert [wire.checker.health(target) for target in (A, B, C)] == [Health.FAILING, Health.HEALTHY, Health.HEALTHY]
    await settle()
    assert wire.changes == [A.address]
    await wire.clock.advance(60)
    assert wire.changes == [A.address]
    wire.result = Result.IMPOSSIBLE
    wire.checker.follow([B])
    await settle()
    with capture_logs() as logs:
        wire.checker.follow([A, B], failing=[A])
        await wire.clock.advance(4)
    assert wire.checker.health(A) is Health.HEALTHY
    assert any("another checker found it failing" in line["event"] for line in logs)


async def test_close_leaves_no_task_behind() -> None:
    """Also with probes under way, and the figures say 0."""
    wire = Wire()
    wire.takes = 100.0
    await wire.follow(A, B, C)
    await wire.clock.advance(2)
    assert wire.under_way == 3
    await wire.checker.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert wire.metric("homing_check_targets") == 0
