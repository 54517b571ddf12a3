"""Feeding replicas over loopback: who has the key is served and told, nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from homing.dns.authority import Authority
from homing.dns.transfers import feed as feeding
from homing.dns.transfers.feed import Feed
from homing.dns.transfers.frames import frame, read_frame, soa_query
from homing.dns.transfers.inbound import Current, Refused, Steps, Whole
from homing.dns.transfers.primary import Primary
from homing.dns.transfers.transfer import Access, Rule
from homing.dns.transfers.tsig import Key, Keyring, tsig_key
from homing.dns.transfers.upstream import Upstream, connected
from homing.effects.clock import SystemClock
from homing.errors import MessageError
from homing.model.name import Name, parse_name
from homing.model.zone import Zone, succeed, zone
from tests.dns.zones import ORIGIN, RRSETS, SERIAL, SOA, addresses
from tests.dns_servers import KEY, OTHER_KEY
from tests.waiting import patience

OURS = tsig_key("replicas", "hmac-sha256", KEY)
WRONG = tsig_key("replicas", "hmac-sha256", OTHER_KEY)
OWN = zone(ORIGIN, SERIAL, SOA, RRSETS)
LOST = (OSError, EOFError, MessageError)


class Leader:
    """A leader with a zone, and ways to follow it."""

    def __init__(self, authority: Authority, feed: Feed, port: int) -> None:
        self.authority = authority
        self.feed = feed
        self.port = port
        self.told: list[Name] = []

    def change(self) -> Zone:
        """Serve a next version."""
        old = self.authority.zone(ORIGIN)
        assert old is not None
        new = succeed(old, (*RRSETS, *addresses("new.example.net", f"192.0.2.{old.serial % 250}")))
        self.authority.publish(new)
        return new

    def follow(self, key: Key = OURS) -> contextlib.AbstractAsyncContextManager[Upstream]:
        """A connection."""
        return connected("127.0.0.1", self.port, key, SystemClock(), random.Random(1), self.told.append)


@pytest.fixture
async def leader() -> AsyncIterator[Leader]:
    clock = SystemClock()
    authority = Authority()
    primary = Primary(authority, clock, access=Access((Rule(key=OURS.name),)), keys=Keyring((OURS,)))
    authority.publish(OWN)
    feed = Feed(authority, primary, clock, random.Random(1))
    feed.key = OURS
    async with feed.listening("127.0.0.1", 0) as port:
        feed.begin()
        yield Leader(authority, feed, port)
    primary.close()
    await asyncio.sleep(0.01)  # transports close in the loop's next rounds


async def told(leader: Leader, count: int) -> None:
    """Wait until so many changes were told."""
    async with asyncio.timeout(5 * patience()):
        while len(leader.told) < count:
            await asyncio.sleep(0.001)


async def test_a_replica_is_served_and_told_of_changes(leader: Leader) -> None:
    """The whole zone, then what changes; what is not served is refused, and the connection goes on."""
    async with leader.follow() as upstream:
        await upstream.alive()
        whole = await upstream.transfer(ORIGIN, None)
        assert isinstance(whole, Whole)
        new = leader.change()
        await told(leader, 1)
        assert leader.told == [ORIGIN]
        steps = await upstream.transfer(ORIGIN, OWN)
        assert isinstance(steps, Steps)
        assert steps.steps[-1].new_soa == new.soa_rrset
        assert await upstream.transfer(ORIGIN, new) == Current(new.serial)
        with pytest.raises(Refused):
            await upstream.transfer(parse_name("other.test"), None)
        assert isinstance(await upstream.transfer(ORIGIN, replace(OWN, serial=7)), Whole)
        assert leader.feed.replicas == 1
    async with asyncio.timeout(5 * patience()):
        while leader.feed.replicas:
            await asyncio.sleep(0.001)


async def test_changes_in_the_midst_of_transfers_are_told(leader: Leader) -> None:
    """Word of them comes between the messages of an answer."""
    async with leader.follow() as upstream:
        await upstream.alive()
        transfer = asyncio.ensure_future(upstream.transfer(ORIGIN, None))
        for _ in range(50):
            await asyncio.sleep(0)
            leader.change()
        assert isinstance(await transfer, Whole)
        await told(leader, 50)


async def test_nobody_is_served_without_the_key(leader: Leader) -> None:
    """Another secret, no signature, nothing at all that is DNS."""
    async with leader.follow(WRONG) as upstream:
        with pytest.raises(LOST):
            await upstream.alive()
    for octets in (frame(soa_query(1, ORIGIN)), b"GET / HTTP/1.1\r\n\r\n" * 3000, frame(b"")):
        reader, writer = await asyncio.open_connection("127.0.0.1", leader.port)
        writer.write(octets)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(5 * patience()):
                assert await reader.read() == b""
        writer.transport.abort()
    assert leader.feed.replicas == 0


async def test_who_leads_no_longer_lets_all_go(leader: Leader) -> None:
    """Those that are connected, and those that come."""
    async with leader.follow() as upstream:
        await upstream.alive()
        await leader.feed.end()
        with pytest.raises(LOST):
            await upstream.alive()
    async with leader.follow() as upstream:
        with pytest.raises(LOST):
            await upstream.alive()
    leader.feed.begin()
    async with leader.follow() as upstream:
        await upstream.alive()


async def test_strangers_make_way(leader: Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connect and say nothing, one with the key is let in, and stays."""
    monkeypatch.setattr(feeding, "MAX_REPLICAS", 4)
    async with leader.follow() as upstream:
        await upstream.alive()
        strangers = [await asyncio.open_connection("127.0.0.1", leader.port) for _ in range(20)]
        async with leader.follow() as other:
            await other.alive()
        await upstream.alive()
        for _, writer in strangers:
            writer.transport.abort()


async def test_a_leader_that_is_none_is_not_believed() -> None:
    """What is not signed with the key, or breaks off, ends the connection."""

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await read_frame(reader)
        writer.write(frame(query[:2] + b"\x84" + bytes(9)))
        writer.close()

    server = await asyncio.start_server(pretend, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with connected("127.0.0.1", port, OURS, SystemClock(), random.Random(1), lambda _: None) as upstream:
            with pytest.raises(MessageError, match="not signed"):
                await upstream.transfer(ORIGIN, OWN)
            with pytest.raises(LOST):
                await upstream.alive()
