"""Transfers and questions on one TCP connection (RFC 7766)."""

from __future__ import annotations

import asyncio

import dns.message
import dns.rcode

from homing.dns.message import Rcode
from homing.dns.stats import Event, Transport
from homing.dns.tcp import TcpLimits
from homing.dns.transfers.turns import TransferLimits
from homing.effects.clock import ManualClock
from tests.dns.test_primary import BY_NETWORK, THEIRS, empty, primary
from tests.dns.test_server import closed, connected, framed, query, read_reply, until
from tests.dns_servers import ZONE
from tests.waiting import patience

AXFR = framed(dns.message.make_query(ZONE, "AXFR", id=7))


async def test_a_question_passes_a_transfer_that_waits_for_its_turn() -> None:
    """Where no transfer may start, what was asked behind one is answered, signed questions too."""
    async with primary(BY_NETWORK, limits=TransferLimits(total=0)) as peer:
        reader, writer = await asyncio.open_connection(peer.host, peer.port)
        signed = dns.message.make_query(ZONE, "SOA")
        signed.use_tsig(THEIRS)
        writer.write(AXFR + framed(query("www.example.net")) + framed(signed))
        assert (await read_reply(reader)).rcode() == dns.rcode.NOERROR
        async with asyncio.timeout(5 * patience()):
            size = int.from_bytes(await reader.readexactly(2))
            told = dns.message.from_wire(await reader.readexactly(size), keyring=THEIRS, request_mac=signed.mac)
        assert told.had_tsig
        writer.close()


async def test_costly_questions_of_one_client_hold_nobody_up() -> None:
    """Many questions for thousands of addresses, sent at once, let another client's question pass."""
    async with primary(BY_NETWORK) as peer:
        crowd = [connected(peer.server, (peer.host, peer.port)) for _ in range(2)]
        (costly, greedy), (reader, writer) = [await one for one in crowd]
        greedy.write(framed(query("crowd.example.net", "AAAA")) * 16)
        writer.write(framed(query("www.example.net")))
        assert (await read_reply(reader)).rcode() == dns.rcode.NOERROR
        assert peer.seen.total() < 3 + 16  # two of them to connect, and one of its own
        for _ in range(16):
            assert len((await read_reply(costly)).answer[0]) > 2000
        greedy.close()
        writer.close()


async def test_a_connection_waits_for_so_many_transfers_and_no_more() -> None:
    """Behind eight that wait nothing more is answered; when their time is up the connection ends."""
    clock = ManualClock()
    async with primary(BY_NETWORK, limits=TransferLimits(total=0, seconds=60), clock=clock) as peer:
        reader, writer = await asyncio.open_connection(peer.host, peer.port)
        writer.write(AXFR * 8 + framed(query("www.example.net")))
        await until(lambda: peer.seen[Transport.TCP, Rcode.NOERROR] == 8 and clock.sleepers > 0)
        await clock.advance(50)
        assert peer.seen.total() == 8
        assert peer.server.connections == 1
        await clock.advance(12)
        assert await closed(reader)
        writer.close()


async def test_a_client_that_waits_for_a_transfer_is_not_put_out() -> None:
    """Its place is not given away; where all places are such, a new client is closed at once."""
    limits = TcpLimits(connections=2, per_client=2)
    async with primary(BY_NETWORK, tcp=limits, limits=TransferLimits(total=0)) as peer:
        server, address = peer.server, (peer.host, peer.port)
        waiting = await connected(server, address)
        waiting[1].write(AXFR)
        await until(lambda: peer.seen.total() == 2)
        idle = await connected(server, address)
        new = await connected(server, address)
        assert await closed(idle[0])
        new[1].write(AXFR)
        await until(lambda: peer.seen.total() == 5)
        for number in (1, 2):
            refused = await asyncio.open_connection(*address, local_addr=("127.0.0.2", 0))
            assert await closed(refused[0])
            events = server.stats.events
            assert (events[Event.CONNECTION_EVICTED], events[Event.CONNECTION_REFUSED]) == (1, number)
            refused[1].close()
        assert server.connections == 2
        for _, writer in (waiting, idle, new):
            writer.close()


async def test_questions_are_answered_while_a_transfer_is_under_way() -> None:
    """A client that reads slowly gets answers between the messages of its transfer, and all of the transfer."""
    async with primary(BY_NETWORK) as peer:
        reader, writer = await asyncio.open_connection(peer.host, peer.port, limit=4096)
        writer.write(AXFR * 8)
        idents: list[int] = []
        asked = 0
        async with asyncio.timeout(10 * patience()):
            while idents.count(7) < 8 * 3 or idents.count(8) < asked:
                size = int.from_bytes(await reader.readexactly(2))
                idents.append(int.from_bytes((await reader.readexactly(size))[:2]))
                if asked < 5:
                    asked += 1
                    writer.write(framed(dns.message.make_query("www.example.net", "A", id=8)))
        writer.close()
        await peer.transfer(empty(), signed=False)
        first, last = idents.index(8), len(idents) - 1
        assert 0 < first < last
        assert 7 in idents[first:]
