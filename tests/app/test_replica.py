"""A replica and the leader that it follows, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homing.app.cluster.replica import Replica
from homing.app.keeper import ZoneKeeper
from homing.dns.authority import Authority
from homing.dns.transfers.primary import Primary
from homing.effects.clock import SystemClock
from homing.model.zone import Zone, serial_add, zone
from homing.store import Store
from homing.turn.memory import Memory
from tests.dns.test_feed import OURS, Leader, leader
from tests.dns.zones import ORIGIN, RRSETS, SERIAL, SOA, addresses
from tests.waiting import patience

__all__ = ["leader"]

AHEAD = zone(ORIGIN, serial_add(SERIAL, 500), SOA, addresses("www.example.net", "192.0.2.77"))


class Follower:
    """A replica with its disk."""

    def __init__(self, leader: Leader, folder: Path) -> None:
        clock = SystemClock()
        self.leader = leader
        self.where = f"127.0.0.1:{leader.port}"
        self.authority = Authority()
        self.primary = Primary(self.authority, clock)
        self.store = Store(folder)
        self.memory = Memory(self.store)
        self.replica = Replica(
            self.authority,
            ZoneKeeper(self.memory, self.store, self.primary),
            leader=lambda: self.where,
            key=lambda: OURS,
            turn=asyncio.Lock(),
            clock=clock,
            chance=random.Random(1),
        )

    @property
    def zone(self) -> Zone | None:
        """What it serves."""
        return self.authority.zone(ORIGIN)

    async def has(self, expected: Zone | None) -> None:
        """Wait until it serves a version."""
        async with asyncio.timeout(5 * patience()):
            while self.zone != expected:
                await asyncio.sleep(0.002)


@pytest.fixture
async def follower(leader: Leader, tmp_path: Path) -> AsyncIterator[Follower]:
    made = Follower(leader, tmp_path / "state")
    running = asyncio.ensure_future(made.replica.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    made.memory.close()
    made.store.close()
    await asyncio.sleep(0.01)


async def test_it_has_each_version_with_its_step(follower: Follower) -> None:
    """Served, on disk, and in its journal, so that its own secondaries get them one by one."""
    follower.replica.want([ORIGIN])
    await follower.has(follower.leader.authority.zone(ORIGIN))
    for _ in range(5):
        await follower.has(follower.leader.change())
    now = follower.zone
    assert now is not None
    assert now.soa_rrset == follower.leader.authority.zones.loaded[ORIGIN].soa_rrset
    journal = follower.primary.journal(ORIGIN)
    assert journal is not None
    assert [item.before for item in journal.since(SERIAL) or ()] == list(range(SERIAL, SERIAL + 5))
    stored = follower.store.load_zones()[ORIGIN]
    assert (stored.zone, len(stored.steps)) == (now, 5)
    assert follower.replica.current_at is not None


async def test_differences_that_do_not_fit_end_in_the_whole_zone(follower: Follower) -> None:
    """It had another content under the leader's serial; afterwards it has the leader's."""
    mine = addresses("new.example.net", f"192.0.2.{SERIAL % 250}")  # what the first difference adds
    follower.authority.publish(zone(ORIGIN, SERIAL, SOA, mine))
    new = follower.leader.change()
    last = follower.leader.change()
    assert new.serial == SERIAL + 1
    follower.replica.want([ORIGIN])
    await follower.has(last)
    journal = follower.primary.journal(ORIGIN)
    assert journal is not None
    assert [item.after for item in journal.steps] == [last.serial]


async def test_a_leader_that_is_behind_changes_nothing(follower: Follower) -> None:
    """What is served stays, and does not count as current, until the leader is ahead."""
    follower.authority.publish(AHEAD)
    follower.replica.want([ORIGIN])
    async with asyncio.timeout(5 * patience()):
        while not follower.leader.feed.replicas:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.7)  # longer than a pulse
    assert follower.zone is AHEAD
    assert follower.replica.current_at is None
    old = follower.leader.authority.zone(ORIGIN)
    assert old is not None
    new = zone(ORIGIN, serial_add(AHEAD.serial, 1), SOA, RRSETS)
    follower.leader.authority.publish(new, renumbered=True)
    await follower.has(new)


async def test_what_is_wanted_no_more_is_left_alone(follower: Follower) -> None:
    """Whoever says so withdraws it; wanted again, it is fetched."""
    follower.replica.want([ORIGIN])
    await follower.has(follower.leader.authority.zone(ORIGIN))
    follower.replica.want([])
    follower.authority.withdraw(ORIGIN)
    follower.leader.change()
    await asyncio.sleep(0.05)
    assert follower.zone is None
    follower.replica.want([ORIGIN])
    await follower.has(follower.leader.authority.zone(ORIGIN))


async def test_it_goes_on_when_the_leader_is_back(follower: Follower) -> None:
    """Meanwhile it serves what it has."""
    follower.replica.want([ORIGIN])
    await follower.has(follower.leader.authority.zone(ORIGIN))
    served = follower.zone
    await follower.leader.feed.end()
    new = follower.leader.change()
    await asyncio.sleep(0.05)
    assert follower.zone == served
    follower.leader.feed.begin()
    await follower.has(new)
