"""What zones know by their checks: which addresses are checked, what of it counts for which zone, and from when."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable
from ipaddress import ip_address
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from homing.checks import Check, Checker, CheckMetrics, Http, Outcome, Result, Target, Tcp
from homing.effects.clock import ManualClock, settle
from homing.kube.kinds.site import Site, SiteAddress, SiteSpec, SiteStatus
from homing.kube.objects import Node, ObjectMeta
from homing.model.address import Address
from homing.model.health import Health
from homing.model.name import Name, parse_name
from homing.operator.cluster_watch import ClusterWatch
from homing.operator.zone_checks import LOOK, OUTSIDE, Checked, ZoneChecks

ONE, TWO = parse_name("one.test"), parse_name("two.test")
TCP = Check(Tcp(443), interval=2, timeout=1, rise=1, fall=2)
HTTP = Check(Http(80), interval=2, timeout=1, rise=1, fall=2)
A, B, C = (ip_address(f"192.0.2.{host}") for host in (1, 2, 3))
SIX, NEAR, FAR = (ip_address(text) for text in ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"))

OUT = 10.0
"""Seconds in which a dead address turns, or one that works again."""


class World:
    """A watch that holds what the test says; which addresses are dead for which kind of probe."""

    def __init__(self, node: str = OUTSIDE) -> None:
        self.clock = ManualClock()
        self.held: dict[Name, frozenset[Address]] = {}
        self.of_node: dict[str, set[Address]] = {}
        self.nodes: dict[tuple[str, str], Node] = {}
        self.sites: list[Site] = []
        self.dead: set[tuple[Address, str]] = set()
        self.result = Result.TIMEOUT
        self.probed: set[Address] = set()
        self.looked: list[Address] = []
        self.told: list[Name] = []
        self.checks = ZoneChecks(
            self.checker, node=node, sites=lambda: self.sites, turned=self.told.append, clock=self.clock
        )
        self._task = asyncio.create_task(self.checks.run(cast("ClusterWatch", self)))

    def checker(self, changed: object) -> Checker:
        metrics = CheckMetrics(CollectorRegistry())
        return Checker(self.probe, changed, clock=self.clock, chance=random.Random(1), metrics=metrics)  # type: ignore[arg-type]

    async def probe(self, target: Target) -> Outcome:
        self.probed.add(target.address)
        is_dead = (target.address, target.check.probe.kind) in self.dead
        return Outcome(self.result if is_dead else Result.SUCCESS, "as told" if is_dead else "")

    def is_ready(self, origin: Name) -> bool:
        return origin in self.held

    def addresses(self, origin: Name) -> frozenset[Address]:
        return self.held[origin]

    def addresses_of(self, node: str) -> set[Address]:
        return self.of_node.get(node, set())

    def checked(self, address: Address) -> None:
        self.looked.append(address)

    def node(self, name: str, addresses: Iterable[Address], **labels: str) -> None:
        """A node with these labels, of which zones know these addresses."""
        self.nodes["", name] = Node(metadata=ObjectMeta(name=name, labels=labels))
        self.of_node[name] = set(addresses)

    def site(self, name: str, addresses: Iterable[Address], **selector: str) -> None:
        """A Site of the nodes that the selector selects."""
        found = tuple(SiteAddress(family=f"IPv{one.version}", address=str(one)) for one in addresses)
        spec, status = SiteSpec(node_selector=selector), SiteStatus(addresses=found)
        self.sites.append(Site(metadata=ObjectMeta(name=name), spec=spec, status=status))

    def health(self, origin: Name, *addresses: Address) -> list[Health]:
        return [self.checks.health(origin, address) for address in addresses]

    async def go(self, seconds: float = OUT) -> None:
        """Let time pass."""
        await settle()
        await self.clock.advance(seconds)

    async def end(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.end()


async def test_two_checks_of_one_address_do_not_disturb_each_other(world: World) -> None:
    """Each zone knows by its own; both are told when something turns, for each holds the address."""
    world.held = {ONE: frozenset((A, B)), TWO: frozenset((A, B))}
    world.checks.want(ONE, TCP)
    world.checks.want(TWO, HTTP)
    world.dead = {(A, "tcp")}
    await world.go()
    assert world.health(ONE, A, B) == [Health.FAILING, Health.HEALTHY]
    assert world.health(TWO, A, B) == [Health.HEALTHY, Health.HEALTHY]
    assert world.checks.checked(ONE) == Checked(TCP.probe, 2, {A: "as told"})
    assert world.checks.checked(TWO) == Checked(HTTP.probe, 2)
    assert A in world.looked
    assert {ONE, TWO} == set(world.told)
    world.looked.clear()
    world.checks.want(ONE, HTTP)
    assert world.health(ONE, A) == [Health.HEALTHY]
    await world.go(LOOK)
    assert A in world.looked


async def test_a_zone_without_a_check_knows_nothing(world: World) -> None:
    """One that is checked no longer is looked at again, though another zone has the same check."""
    world.held = {ONE: frozenset((A, B)), TWO: frozenset((A, B))}
    world.checks.want(ONE, TCP)
    world.checks.want(TWO, TCP)
    world.dead = {(A, "tcp")}
    await world.go()
    assert world.health(ONE, A) == world.health(TWO, A) == [Health.FAILING]
    world.looked.clear()
    world.checks.want(ONE, None)
    await world.go(LOOK)
    assert (world.health(ONE, A), world.health(TWO, A)) == ([Health.HEALTHY], [Health.FAILING])
    assert A in world.looked
    assert world.checks.checked(ONE) is None


async def test_a_zone_that_comes_to_hold_a_dead_address_learns_of_it(world: World) -> None:
    """Though its health does not turn, being known by another zone already."""
    world.held = {ONE: frozenset((A, B)), TWO: frozenset((B,))}
    world.checks.want(ONE, TCP)
    world.checks.want(TWO, TCP)
    world.dead = {(A, "tcp")}
    await world.go()
    world.looked.clear()
    world.held[TWO] = frozenset((A, B))
    await world.go(LOOK)
    assert A in world.looked
    assert world.health(TWO, A) == [Health.FAILING]


async def test_addresses_are_followed_within_a_second_and_kept_while_a_zone_is_looked_at_anew(world: World) -> None:
    """What is known of them stays meanwhile."""
    world.held = {ONE: frozenset((A, B))}
    world.checks.want(ONE, TCP)
    world.dead = {(A, "tcp")}
    await world.go()
    held = world.held.pop(ONE)
    await world.go()
    assert world.health(ONE, A) == [Health.FAILING]
    world.held[ONE] = held | {C}
    await world.go(LOOK + TCP.interval)
    assert world.probed == {A, B, C}
    assert world.health(ONE, A) == [Health.FAILING]


async def test_what_the_last_leader_found_failing_counts_from_the_beginning(world: World) -> None:
    """Before anything was followed, and until it answers; what no node has any more does not."""
    world.checks.want(ONE, TCP, [A, C])
    assert world.health(ONE, A, B) == [Health.FAILING, Health.HEALTHY]
    assert world.checks.checked(ONE) == Checked(TCP.probe, 0, dict.fromkeys((A, C), "as it was before"), began=False)
    await world.go(LOOK)
    world.held = {ONE: frozenset((A, B))}
    world.dead = {(A, "tcp")}
    await world.go()
    assert world.health(ONE, A, B, C) == [Health.FAILING, Health.HEALTHY, Health.HEALTHY]
    assert world.checks.checked(ONE) == Checked(TCP.probe, 2, {A: "as it was before"})
    assert {A, C} <= set(world.looked)
    world.dead.clear()
    await world.go()
    assert world.checks.checked(ONE) == Checked(TCP.probe, 2)
    world.checks.want(ONE, TCP, [B])
    assert world.health(ONE, B) == [Health.HEALTHY]


async def test_what_cannot_be_told_is_said(world: World) -> None:
    """Nothing answers, or nothing can be sent."""
    world.held = {ONE: frozenset((A, B)), TWO: frozenset((A,))}
    world.checks.want(ONE, TCP)
    world.checks.want(TWO, HTTP)
    world.dead = {(A, "tcp"), (B, "tcp")}
    await world.go()
    assert world.checks.checked(ONE) == Checked(
        TCP.probe, 2, obstacle="no address answers over IPv4, so the fault may be here"
    )
    assert world.checks.checked(TWO) == Checked(HTTP.probe, 1)


async def test_a_probe_that_cannot_be_sent_is_said(world: World) -> None:
    """For the kind of probe that it is."""
    world.held = {ONE: frozenset((A, B))}
    world.checks.want(ONE, TCP)
    world.dead, world.result = {(A, "tcp"), (B, "tcp")}, Result.IMPOSSIBLE
    await world.go()
    assert world.checks.checked(ONE) == Checked(TCP.probe, 2, obstacle="as told")


async def test_addresses_of_the_own_node_and_its_site_are_not_checked() -> None:
    """Of IPv6 the network of 64 bits, which a Site has for itself; they count as healthy."""
    world = World("n1")
    world.held = {ONE: frozenset((A, B, C, SIX, NEAR, FAR))}
    world.node("n1", [A], site="s")
    world.site("s", [B, SIX], site="s")
    world.site("other", [C], site="other")
    world.checks.want(ONE, TCP, [A, C])
    await world.go()
    assert world.probed == {C, FAR}
    assert world.checks.checked(ONE) == Checked(TCP.probe, 2)
    assert world.health(ONE, A) == [Health.HEALTHY]
    world.site("early", [C], site="s")
    await world.go(LOOK)
    world.probed.clear()
    await world.go()
    assert world.probed == {B, SIX, NEAR, FAR}
    await world.end()


async def test_where_the_own_node_is_not_known_no_site_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told once."""
    world = World("gone")
    world.held = {ONE: frozenset((A, B))}
    world.site("s", [A], site="s")
    world.checks.want(ONE, TCP)
    await world.go()
    assert world.probed == {B}
    assert capsys.readouterr().out.count("no such node: addresses of Sites are not checked") == 1
    await world.end()


async def test_nothing_is_probed_once_it_has_ended(world: World) -> None:
    """And the watch is told nothing more."""
    world.held = {ONE: frozenset((A, B))}
    world.checks.want(ONE, TCP)
    world.dead = {(A, "tcp")}
    await world.go()
    await world.end()
    world.probed.clear()
    world.looked.clear()
    await world.clock.advance(60)
    assert (world.probed, world.looked) == (set(), [])
