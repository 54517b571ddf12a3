"""What secondaries need of a server, put together."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from homing.app.transfers import FAULT_PAUSE, START_PATIENCE, Transfers
from homing.dns.authority import Authority
from homing.dns.server import DnsServer
from homing.dns.transfers.follow import LOOK
from homing.dns.transfers.policy import TransferPolicy, ZonePolicy
from homing.dns.transfers.secondary import Secondary
from homing.effects.clock import ManualClock, SystemClock
from homing.model.name import Name, parse_name
from homing.model.zone import serial_add, zone
from homing.turn.memory import Memory
from tests.dns.zones import ORIGIN, SOA
from tests.ports import free_port
from tests.waiting import patience

CATALOG = parse_name("catalog.invalid")


@asynccontextmanager
async def running(clock: ManualClock, *secondaries: Secondary) -> AsyncIterator[tuple[Transfers, Authority]]:
    """A primary without a disk that has the zone with serial 5 and a catalog."""
    authority = Authority()
    with contextlib.closing(Memory(None)) as memory:
        async with Transfers(authority, memory, None, clock=clock, chance=random.Random(1)) as transfers:
            transfers.follow(lambda: TransferPolicy((), ZonePolicy(secondaries), catalog=CATALOG))
            authority.publish(zone(ORIGIN, 5, SOA, ()))
            await transfers.list_members([ORIGIN])
            yield transfers, authority


async def passing(clock: ManualClock) -> None:
    """Let time pass, with real time for datagrams."""
    await clock.advance(LOOK)
    await asyncio.sleep(0.02)


async def test_a_secondary_ahead_is_overtaken() -> None:
    """The zones' owner is asked to continue above it; the catalog does so by itself."""
    clock, theirs = ManualClock(), Authority()
    ahead = serial_add(int(clock.time()), 500)
    for origin in (ORIGIN, CATALOG):
        theirs.publish(zone(origin, ahead, SOA, ()))
    server = DnsServer(theirs)
    await server.listen([("127.0.0.1", 0)])
    asked: list[tuple[Name, int]] = []

    async def overtake(origin: Name, serial: int) -> None:
        asked.append((origin, serial))

    def catalog_serial(authority: Authority) -> int:
        served = authority.zone(CATALOG)
        assert served is not None
        return served.serial

    async with running(clock, Secondary(*server.addresses[0])) as (transfers, authority):
        transfers.overtake = overtake
        transfers.begin()
        for _ in range(20):
            await passing(clock)
        assert (ORIGIN, ahead) in asked
        assert catalog_serial(authority) == ahead + 1
    await server.aclose()


async def test_a_part_that_fails_through_a_bug_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is told, and some time later the part works on."""
    clock, starts = ManualClock(), 0

    async def broken() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    async with running(clock) as (transfers, _):
        monkeypatch.setattr(transfers.following, "run", broken)
        transfers.begin()
        await clock.advance(0.1)
        assert starts == 1
        await clock.advance(FAULT_PAUSE)
        assert starts == 2


async def test_lost_serials_are_not_waited_for_without_end() -> None:
    """Of 1,000 zones with a silent secondary all begin with the time, after little more than 2 s."""
    clock = SystemClock()
    with contextlib.closing(Memory(None)) as memory, socket.socket(type=socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        silent = ZonePolicy((Secondary("127.0.0.1", free_port()), Secondary(*deaf.getsockname())))
        async with Transfers(Authority(), memory, None, clock=clock, chance=random.Random(1)) as transfers:
            transfers.follow(lambda: TransferPolicy((), silent))
            began = time.monotonic()
            found = await transfers.first_serials([ORIGIN.prefixed(f"n{number}") for number in range(1000)])
            assert time.monotonic() - began < START_PATIENCE + 2 * patience()
            assert len(found) == 1000
            assert all(abs(serial - time.time()) < 60 for serial in found.values())


async def test_a_silent_secondary_hides_nothing_that_another_answers() -> None:
    """With 40 silent hosts beside it, one that lives tells the serials of all of 500 zones."""
    clock = SystemClock()
    origins = [ORIGIN.prefixed(f"n{number}") for number in range(500)]
    authority = Authority()
    authority.replace(zone(origin, 7, SOA, ()) for origin in origins)
    server = DnsServer(authority)
    await server.listen([("127.0.0.1", 0)])
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(contextlib.closing(Memory(None)))
        deaf = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(40)]
        for one in deaf:
            one.bind(("127.0.0.1", 0))
        silent = (Secondary(*one.getsockname()) for one in deaf)
        policy = ZonePolicy((*silent, Secondary(*server.addresses[0])))
        async with Transfers(Authority(), memory, None, clock=clock, chance=random.Random(1)) as transfers:
            transfers.follow(lambda: TransferPolicy((), policy))
            began = time.monotonic()
            found = await transfers.first_serials(origins)
            assert time.monotonic() - began < START_PATIENCE + 4 * patience()
    await server.aclose()
    assert found == dict.fromkeys(origins, 8)
