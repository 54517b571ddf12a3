"""The server as a primary, through real sockets, with dnspython as the secondary."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import dns.asyncquery
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.versioned
import dns.xfr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.dns.authority import Authority
from homing.dns.message import Rcode
from homing.dns.server import DnsServer
from homing.dns.stats import Transport
from homing.dns.tcp import TcpLimits
from homing.dns.transfers.primary import Primary
from homing.dns.transfers.transfer import Access, Kind, Rule
from homing.dns.transfers.tsig import Keyring, tsig_key
from homing.dns.transfers.turns import Ending, TransferLimits, Transferred
from homing.effects.clock import Clock, SystemClock
from homing.model.name import parse_name
from homing.model.zone import Zone, succeed
from tests.dns.test_journal import Content, history
from tests.dns.test_server import framed, full, until
from tests.dns.zones import ORIGIN, Seen, addresses
from tests.dns_servers import ALGORITHM, KEY_NAME, ZONE
from tests.dns_servers import KEY as SECRET
from tests.waiting import patience

KEY = tsig_key(KEY_NAME, ALGORITHM, SECRET)
THEIRS = dns.tsig.Key(KEY_NAME, SECRET, ALGORITHM)
BY_KEY = Access((Rule(key=KEY.name),))
BY_NETWORK = Access((Rule(networks=(ip_network("127.0.0.0/8"),)),))


class Peer:
    """A running primary and a way to talk to it."""

    def __init__(self, server: DnsServer, authority: Authority, transfers: list[Transferred], seen: Seen) -> None:
        self.server = server
        self.authority = authority
        self.transfers = transfers
        self.seen = seen
        self.host, self.port = server.addresses[0]

    async def transfer(self, zone: dns.versioned.Zone, *, signed: bool = True, ixfr: bool = False) -> None:
        """Transfer the zone as a secondary does, every signature checked."""
        keyring = THEIRS if signed else None
        if ixfr:
            query, _ = dns.xfr.make_query(zone, keyring=keyring)
        else:
            query, _ = dns.xfr.make_query(zone, serial=None, keyring=keyring)
            query = dns.message.make_query(zone.origin or ZONE, "AXFR")
            if signed:
                query.use_tsig(THEIRS)
        await dns.asyncquery.inbound_xfr(
            self.host, zone, query, port=self.port, timeout=5 * patience(), lifetime=10 * patience()
        )

    async def ask(self, query: dns.message.Message, *, udp: bool = False) -> dns.message.Message:
        """One question."""
        if udp:
            return await dns.asyncquery.udp(query, self.host, port=self.port, timeout=5 * patience())
        return await dns.asyncquery.tcp(query, self.host, port=self.port, timeout=5 * patience())

    def change(self, text: str) -> Zone:
        """Serve a next version with another address of one name."""
        old = self.authority.zone(ORIGIN)
        assert old is not None
        kept = [item for item in old.rrsets() if item.name.text != "moving.example.net"]
        new = succeed(old, [*kept, *addresses("moving.example.net", text)])
        self.authority.publish(new)
        return new


@asynccontextmanager
async def primary(
    access: Access | None = BY_KEY,
    *,
    limits: TransferLimits | None = None,
    tcp: TcpLimits | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Peer]:
    """A server with the sample zones that shares one key."""
    authority = full()
    transfers: list[Transferred] = []
    side = Primary(
        authority,
        clock or SystemClock(),
        access=access,
        keys=Keyring((KEY,)),
        limits=limits,
        on_transfer=transfers.append,
    )

    server = DnsServer(authority, primary=side, limits=tcp, clock=clock)
    await server.listen([("127.0.0.1", 0)])
    try:
        yield Peer(server, authority, transfers, Seen(server))
    finally:
        await server.aclose()
        side.close()


def empty() -> dns.versioned.Zone:
    """A secondary's zone before its first transfer."""
    return dns.versioned.Zone(ZONE)


def texts(zone: dns.versioned.Zone) -> Counter[tuple[str, str, int]]:
    """How many records of each name and type."""
    return Counter(
        {
            (str(name), dns.rdatatype.to_text(data.rdtype), data.ttl): len(data)
            for name, data in zone.iterate_rdatasets()
        }
    )


async def test_a_signed_axfr_gives_the_zone() -> None:
    """dnspython has every record, and finds every message signed and chained."""
    async with primary() as peer:
        zone = empty()
        await peer.transfer(zone)
        assert len(zone.find_rdataset("crowd", "AAAA")) == 5000
        await until(lambda: bool(peer.transfers))
        told = peer.transfers[0]
        assert (told.origin, told.kind, told.key, told.before) == (ORIGIN, Kind.WHOLE, KEY.name, None)
        assert told.messages > 5


async def test_ixfr_follows_changes() -> None:
    """After changes a secondary gets the differences only, and then holds what AXFR gives."""
    async with primary() as peer:
        zone = empty()
        await peer.transfer(zone)
        for last in range(1, 21):
            peer.change(f"192.0.2.{last}")
        await peer.transfer(zone, ixfr=True)
        await until(lambda: len(peer.transfers) == 2)
        whole = empty()
        await peer.transfer(whole)
        assert texts(zone) == texts(whole)
        assert zone.find_rdataset("moving", "A")[0].to_text() == "192.0.2.20"
        assert (peer.transfers[1].kind, peer.transfers[1].messages) == (Kind.STEPS, 1)
        await peer.transfer(zone, ixfr=True)
        await until(lambda: len(peer.transfers) == 4)
        assert peer.transfers[3].kind is Kind.CURRENT


async def test_a_network_may_transfer_without_a_key() -> None:
    """An address in the list needs no signature."""
    async with primary(BY_NETWORK) as peer:
        zone = empty()
        await peer.transfer(zone, signed=False)
        assert zone.find_rdataset("www", "A")


@pytest.mark.parametrize("access", [None, BY_KEY])
@pytest.mark.parametrize("rtype", ["AXFR", "IXFR"])
async def test_strangers_are_refused(access: Access | None, rtype: str) -> None:
    """Who is on no list, or does not sign, is REFUSED over both transports."""
    async with primary(access) as peer:
        for udp in (False, True):
            answer = await peer.ask(dns.message.make_query(ZONE, rtype), udp=udp)
            assert answer.rcode() == dns.rcode.REFUSED
            assert not answer.answer
        assert [item.ending for item in peer.transfers] == [Ending.REFUSED] * 2


async def test_a_zone_that_is_not_here_is_notauth() -> None:
    """Who may transfer is told that there is no such zone, for names inside a zone too (RFC 5936, section 2.2.1)."""
    async with primary(BY_NETWORK) as peer:
        for name in ("www.example.net", "elsewhere.test"):
            answer = await peer.ask(dns.message.make_query(name, "AXFR"))
            assert answer.rcode() == dns.rcode.NOTAUTH


async def test_ixfr_over_udp_is_the_soa() -> None:
    """The answer is the SOA of now, signed; the secondary goes on by TCP."""
    async with primary() as peer:
        zone = empty()
        await peer.transfer(zone)
        version = peer.change("192.0.2.1")
        query, _ = dns.xfr.make_query(zone, keyring=THEIRS)
        answer = await peer.ask(query, udp=True)
        assert answer.had_tsig
        assert [item.rdtype for item in answer.answer] == [dns.rdatatype.SOA]
        assert answer.answer[0][0].serial == version.serial
        axfr = dns.message.make_query(ZONE, "AXFR")
        axfr.use_tsig(THEIRS)
        assert (await peer.ask(axfr, udp=True)).rcode() == dns.rcode.FORMERR


@pytest.mark.parametrize("udp", [True, False])
async def test_signed_questions_get_signed_answers(udp: bool) -> None:
    """A question with the key is answered as one without, and signed."""
    async with primary() as peer:
        query = dns.message.make_query("www.example.net", "A", use_edns=0)
        query.use_tsig(THEIRS)
        answer = await peer.ask(query, udp=udp)
        assert answer.had_tsig
        assert len(answer.answer[0]) == 2
        assert peer.seen[Transport.UDP if udp else Transport.TCP, Rcode.NOERROR] == 1


async def test_a_signed_answer_too_long_for_udp_is_truncated() -> None:
    """Where the signature no longer fits, TC sends the client to TCP, signed too."""
    async with primary() as peer:
        query = dns.message.make_query("many.example.net", "A", use_edns=0)
        query.use_tsig(THEIRS)
        answer = await peer.ask(query, udp=True)
        assert answer.flags & dns.flags.TC
        assert not answer.answer
        assert answer.had_tsig


async def test_an_unknown_key_is_told() -> None:
    """BADKEY comes with NOTAUTH."""
    async with primary() as peer:
        query = dns.message.make_query(ZONE, "SOA")
        query.use_tsig(dns.tsig.Key("nobody", SECRET, ALGORITHM))
        with pytest.raises(dns.tsig.PeerBadKey):
            await peer.ask(query)


async def test_a_slow_secondary_holds_little_and_loses_its_turn() -> None:
    """Who does not read gets no more than the buffers hold, and is cut off; others transfer meanwhile and after."""
    async with primary(BY_NETWORK, tcp=TcpLimits(idle=0.5), limits=TransferLimits(per_client=2)) as peer:
        loop = asyncio.get_running_loop()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        with deaf:
            await loop.sock_connect(deaf, (peer.host, peer.port))
            # Enough that no kernel's buffers hold it: each is 150 KB.
            await loop.sock_sendall(deaf, framed(dns.message.make_query(ZONE, "AXFR")) * 100)
            await until(lambda: peer.seen[Transport.TCP, Rcode.NOERROR] > 0)
            await peer.transfer(empty(), signed=False)
            await until(lambda: peer.server.connections == 0)
        assert len(peer.transfers) < 100
        await peer.transfer(empty(), signed=False)


async def test_transfers_of_one_client_wait_for_their_turn() -> None:
    """A second transfer of a client starts when the first ends, even by the client going away."""
    async with primary(BY_NETWORK) as peer:
        loop = asyncio.get_running_loop()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, (peer.host, peer.port))
        await loop.sock_sendall(deaf, framed(dns.message.make_query(ZONE, "AXFR")) * 100)
        await until(lambda: peer.seen[Transport.TCP, Rcode.NOERROR] > 0)
        await settled(peer)
        before = len(peer.transfers)
        second = asyncio.create_task(peer.transfer(empty(), signed=False))
        await until(lambda: peer.server.connections == 2)
        await asyncio.sleep(0.1)
        assert not second.done()
        assert len(peer.transfers) == before
        deaf.close()
        async with asyncio.timeout(5 * patience()):
            await second
        assert [item.ending for item in peer.transfers[before:]].count(Ending.DONE) == 1


async def test_a_transfer_that_takes_too_long_is_cut_off() -> None:
    """A client that takes a little all the time, so that it is never idle, has so many seconds and no more."""
    async with primary(BY_NETWORK, limits=TransferLimits(seconds=0.3)) as peer:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the kernel holds it all
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (peer.host, peer.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
        large = [item for index in range(20000) for item in addresses(f"host{index}.example.net", "192.0.2.1")]
        old = peer.authority.zone(ORIGIN)
        assert old is not None
        version = succeed(old, [*old.rrsets(), *large])
        peer.authority.publish(version)
        writer.write(framed(dns.message.make_query(ZONE, "AXFR")) * 50)

        async def trickle() -> None:
            while await reader.read(4096):
                await asyncio.sleep(0.005)

        reading = asyncio.create_task(trickle())
        await until(lambda: peer.server.connections == 1)
        started = asyncio.get_running_loop().time()
        await until(lambda: peer.server.connections == 0)
        assert asyncio.get_running_loop().time() - started > 0.2
        assert len(peer.transfers) < 50
        reading.cancel()
        writer.transport.abort()


async def settled(peer: Peer) -> None:
    """Waits until no more transfers end: the deaf client's buffers are full."""
    count = -1
    while count != len(peer.transfers):
        count = len(peer.transfers)
        await asyncio.sleep(0.3 * patience())


async def test_pipelined_transfers_come_one_after_the_other_and_questions_in_between() -> None:
    """Three transfers on one connection are answered in their order; the question behind them does not wait for it."""
    async with primary(BY_NETWORK) as peer:
        reader, writer = await asyncio.open_connection(peer.host, peer.port)
        queries = [dns.message.make_query(ZONE, "AXFR", id=ident) for ident in (1, 2, 3)]
        queries.append(dns.message.make_query("www.example.net", "A", id=4))
        writer.write(b"".join(map(framed, queries)))
        idents: list[int] = []
        async with asyncio.timeout(5 * patience()):
            while len(peer.transfers) < 3 or len(idents) <= sum(told.messages for told in peer.transfers):
                size = int.from_bytes(await reader.readexactly(2))
                idents.append(int.from_bytes((await reader.readexactly(size))[:2]))
        writer.close()
        assert idents.index(4) < idents.index(3)
        idents.remove(4)
        assert idents == sorted(idents)
        assert [told.messages for told in peer.transfers] == [idents.count(ident) for ident in (1, 2, 3)]


async def test_a_client_with_many_transfers_lets_others_in_between() -> None:
    """Of 1000 transfers on one connection not all come before the one that another connection asks for."""
    async with primary(BY_NETWORK) as peer:
        reader, writer = await asyncio.open_connection(peer.host, peer.port)
        writer.write(framed(dns.message.make_query("other.test", "AXFR")) * 1000)
        await until(lambda: bool(peer.transfers))
        await peer.transfer(empty(), signed=False)
        async with asyncio.timeout(5 * patience()):
            for _ in range(1000):
                await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        await until(lambda: len(peer.transfers) == 1001)
        writer.close()
        assert [told.origin for told in peer.transfers].index(ORIGIN) < 1000


@given(st.binary(max_size=200), st.sampled_from(["AXFR", "IXFR", "SOA"]), st.booleans())
def test_no_packet_raises(tail: bytes, rtype: str, udp: bool) -> None:
    """Whatever follows the question, there is a response or none."""
    wire = dns.message.make_query(ZONE, rtype).to_wire()
    start = wire.index(b"\0\1", 12) + 2
    for counts in (b"\0\0\0\0", b"\0\1\0\0", b"\0\0\0\1", b"\0\1\0\1"):
        packet = wire[:8] + counts + wire[12:start] + tail
        response = FUZZED.respond(packet, "127.0.0.1", udp=udp)
        if response is not None:
            assert response.next()
            response.close()


FUZZED = Primary(full(), SystemClock(), access=BY_NETWORK, keys=Keyring((KEY,)))


def test_a_journal_is_taken_from_the_store() -> None:
    """A journal that ends at the version published goes on; one of another history is forgotten."""
    contents: list[Content] = [{}, {("a", 1): (60, frozenset({1}))}, {}]
    versions = history(5, contents)
    first = Authority()
    before = Primary(first, SystemClock())
    for version in versions[:2]:
        first.publish(version)
    journal = before.journal(ORIGIN)
    assert journal is not None
    stored = journal.steps
    for start, steps in ((versions[1], 2), (versions[0], 1)):
        authority = Authority()
        side = Primary(authority, SystemClock())
        side.restore(ORIGIN, stored)
        authority.publish(start)
        authority.publish(versions[2] if start is versions[1] else versions[1])
        kept = side.journal(ORIGIN)
        assert kept is not None
        assert len(kept) == steps
    authority.withdraw(ORIGIN)
    assert side.journal(ORIGIN) is None
    assert parse_name(ZONE) == ORIGIN
