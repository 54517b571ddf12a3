"""The server through real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from homing.dns.authority import Authority
from homing.dns.cookie import Cookies
from homing.dns.engine.setup import Setup
from homing.dns.message import Rcode
from homing.dns.server import DnsServer
from homing.dns.stats import Event, Transport
from homing.dns.tcp import TcpLimits
from homing.effects.clock import ManualClock
from homing.errors import ListenError
from homing.model.zone import succeed
from tests.dns.zones import ORIGIN, Seen, addresses, sample
from tests.waiting import patience

LOOPBACK = ("127.0.0.1", 0)

WORKERS = 0
"""How many processes the servers of a test answer by."""


@pytest.fixture(autouse=True, params=["batches", "plain", "workers"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every claim holds for each way of answering: in batches, packet by packet, and by processes of their own."""
    if request.param == "plain":
        monkeypatch.setattr("homing.dns.engine.batch.can_batch", lambda: False)
    monkeypatch.setattr("tests.dns.test_server.WORKERS", 2 if request.param == "workers" else 0)
    return str(request.param)


def full() -> Authority:
    """An authority with the sample zones."""
    authority = Authority()
    for item in sample().loaded.values():
        authority.publish(item)
    return authority


@asynccontextmanager
async def running(
    authority: Authority, *, host: str = "127.0.0.1", limits: TcpLimits | None = None, setup: Setup | None = None
) -> AsyncIterator[tuple[DnsServer, tuple[str, int], Seen, ManualClock]]:
    """A server on a free port, what it told of its queries, and its clock."""
    clock = ManualClock()
    server = DnsServer(authority, limits=limits, clock=clock, workers=WORKERS, setup=setup)
    await server.listen([(host, 0)])
    try:
        yield server, server.addresses[0], Seen(server), clock
    finally:
        await server.aclose()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition for 5 s at most."""
    async with asyncio.timeout(5 * patience()):
        while not condition():
            await asyncio.sleep(0.002)


def query(fqdn: str, rtype: str = "A") -> dns.message.Message:
    """A query with EDNS."""
    return dns.message.make_query(fqdn, rtype, use_edns=0)


def framed(message: dns.message.Message) -> bytes:
    """The message as TCP carries it."""
    wire = message.to_wire()
    return len(wire).to_bytes(2) + wire


async def read_reply(reader: asyncio.StreamReader) -> dns.message.Message:
    """The next message of a TCP connection."""
    async with asyncio.timeout(5 * patience()):
        size = int.from_bytes(await reader.readexactly(2))
        return dns.message.from_wire(await reader.readexactly(size))


async def closed(reader: asyncio.StreamReader) -> bool:
    """Waits until the server has closed the connection, by FIN or by RST."""
    try:
        async with asyncio.timeout(5 * patience()):
            while await reader.read(65536):
                pass
    except ConnectionError:
        pass
    return True


async def deaf_client(address: tuple[str, int]) -> socket.socket:
    """A TCP client that has asked for 128 MB of answers and reads none of them."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, address)
    await loop.sock_sendall(sock, framed(query("crowd.example.net", "AAAA")) * 2000)
    return sock


async def until_stalled(seen: Seen) -> None:
    """Wait until the server has answered something and then no more for ten looks."""
    quiet, before = 0, 0

    def is_stalled() -> bool:
        nonlocal quiet, before
        quiet = quiet + 1 if seen.total() == before > 0 else 0
        before = seen.total()
        return quiet >= 10

    await until(is_stalled)


async def udp(address: tuple[str, int], message: dns.message.Message) -> dns.message.Message:
    """Ask over UDP."""
    return await dns.asyncquery.udp(message, address[0], port=address[1], timeout=5 * patience())


async def tcp(address: tuple[str, int], message: dns.message.Message) -> dns.message.Message:
    """Ask over TCP."""
    return await dns.asyncquery.tcp(message, address[0], port=address[1], timeout=5 * patience())


Ask = Callable[[tuple[str, int], dns.message.Message], Awaitable[dns.message.Message]]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("ask", [udp, tcp])
async def test_both_transports_and_families_answer(host: str, ask: Ask) -> None:
    """The same port answers by UDP and TCP, on IPv4 and IPv6."""
    if host == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with running(full(), host=host) as (_, address, _, _):
        reply = await ask(address, query("www.example.net"))
    assert sorted(str(item) for item in reply.answer[0]) == ["192.0.2.1", "192.0.2.2"]


def _has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return False
    return True


async def test_a_truncated_answer_is_whole_by_tcp() -> None:
    """A client that follows TC gets all 99 addresses."""
    async with running(full()) as (_, address, _, _):
        cut = await udp(address, query("many.example.net"))
        whole = await tcp(address, query("many.example.net"))
    assert cut.flags & dns.flags.TC
    assert len(whole.answer[0]) == 99


async def test_servfail_until_ready_then_answers() -> None:
    """The sockets answer SERVFAIL before the first zone and follow each change at once."""
    authority = Authority()
    async with running(authority) as (server, address, _, _):
        codes = [(await udp(address, query("www.example.net"))).rcode()]
        first = sample().loaded[ORIGIN]
        authority.publish(first)
        await server.synced()
        codes.append((await udp(address, query("www.example.net"))).rcode())
        authority.publish(succeed(first, addresses("new.example.net", "192.0.2.9")))
        await server.synced()
        codes.append((await udp(address, query("www.example.net"))).rcode())
    assert codes == [dns.rcode.SERVFAIL, dns.rcode.NOERROR, dns.rcode.NXDOMAIN]


async def test_every_query_is_counted() -> None:
    """The hook hears transport and code of each packet, dropped ones too."""
    async with running(full()) as (_, address, seen, _):
        await udp(address, query("www.example.net"))
        await tcp(address, query("gone.example.net"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"rubbish", address)
        await until(lambda: seen.total() == 3)
    assert seen.counts() == {
        (Transport.UDP, Rcode.NOERROR): 1,
        (Transport.TCP, Rcode.NXDOMAIN): 1,
        (Transport.UDP, None): 1,
    }


async def test_hostile_datagrams_leave_the_server_answering() -> None:
    """Empty, cut, huge and looping packets in a burst larger than a batch harm nobody."""
    wire = query("www.example.net").to_wire()
    async with running(full()) as (_, address, seen, _):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(200):
                sock.sendto((b"", wire[: number % 40], wire + bytes(9000), b"\xff" * 512)[number % 4], address)
                if number % 100 == 99:  # more than a batch, less than the kernel holds
                    await until(lambda sent=number + 1: seen.total() == sent)  # type: ignore[misc]
        reply = await udp(address, query("www.example.net"))
        await until(lambda: seen.total() == 201)
    assert reply.rcode() == dns.rcode.NOERROR


async def test_pipelined_queries_are_all_answered() -> None:
    """Hundreds of queries sent in one go come back in full on the same connection (RFC 7766, section 6.2.1.1)."""
    queries = [query(("www", "gone", "many")[number % 3] + ".example.net") for number in range(300)]
    async with running(full()) as (_, address, _, _):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"".join(map(framed, queries)))
        replies = [await read_reply(reader) for _ in queries]
        writer.close()
        await writer.wait_closed()
    assert {reply.id for reply in replies} == {item.id for item in queries}
    assert all(item.is_response(reply) for item, reply in zip(queries, replies, strict=True))


async def test_a_query_in_single_octets_is_answered() -> None:
    """TCP may cut a message anywhere."""
    async with running(full()) as (_, address, _, _):
        reader, writer = await asyncio.open_connection(*address)
        for octet in framed(query("www.example.net")):
            writer.write(bytes((octet,)))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await read_reply(reader)).rcode() == dns.rcode.NOERROR
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_ends_its_side_still_gets_its_answers() -> None:
    """After the client's FIN the queries before it are answered, then the server closes."""
    async with running(full()) as (_, address, _, _):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(framed(query("www.example.net")) * 40)
        writer.write_eof()
        for _ in range(40):
            assert (await read_reply(reader)).rcode() == dns.rcode.NOERROR
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("sent", [b"", b"\x00", b"\x00\x20abc"])
async def test_a_quiet_client_is_closed_after_the_idle_time(sent: bytes) -> None:
    """Nothing, or a part of a query, holds a connection for the idle time and no longer."""
    async with running(full(), limits=TcpLimits(idle=10)) as (server, address, _, clock):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(sent)
        await until(lambda: server.connections == 1 and clock.sleepers == 1)
        await clock.advance(9)
        assert server.connections == 1
        await clock.advance(2)
        assert await closed(reader)
        assert server.connections == 0
        writer.close()


async def test_single_octets_do_not_buy_time() -> None:
    """A client that sends an octet now and then is closed all the same; one that completes queries is not."""
    async with running(full(), limits=TcpLimits(idle=10)) as (server, address, seen, clock):
        slow_reader, slow = await asyncio.open_connection(*address)
        good_reader, good = await asyncio.open_connection(*address)
        await until(lambda: server.connections == 2 and clock.sleepers == 1)
        for turn in range(1, 4):
            slow.write(b"\x00" if turn == 1 else b"\x20")
            good.write(framed(query("www.example.net")))
            await read_reply(good_reader)
            await until(lambda count=turn: seen.total() == count)  # type: ignore[misc]
            await clock.advance(4)
        assert await closed(slow_reader)
        assert server.connections == 1
        slow.close()
        good.close()


async def test_a_client_that_takes_no_responses_is_stopped_and_closed() -> None:
    """Who asks without reading is read no further, then closed; memory stays bounded and others are served."""
    async with running(full(), limits=TcpLimits(idle=10)) as (server, address, seen, clock):
        sock = await deaf_client(address)
        await until_stalled(seen)
        stopped_at = seen.total()
        other = await tcp(address, query("www.example.net"))
        assert other.rcode() == dns.rcode.NOERROR
        await until(lambda: server.connections == 1 and clock.sleepers >= 1)
        assert stopped_at < 300
        await clock.advance(12)
        await until(lambda: server.connections == 0)
        sock.close()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(server: DnsServer, address: tuple[str, int], host: str = "127.0.0.1") -> Stream:
    """A new connection that the server has seen, by the answer to its first query."""
    stream = await asyncio.open_connection(*address, local_addr=(host, 0))
    await asked(stream)
    return stream


async def asked(stream: Stream) -> dns.message.Message:
    """The answer to a query on a connection."""
    stream[1].write(framed(query("www.example.net")))
    return await read_reply(stream[0])


@pytest.mark.parametrize(
    ("hosts", "used", "newcomer", "evicted"),
    [
        ((1, 1), 0, 1, 1),
        ((2, 1, 1), 1, 1, 2),
        ((1, 2, 3), 0, 4, 1),
        ((1, 1, 2), 0, 3, 1),
    ],
)
async def test_a_new_connection_takes_the_place_of_the_one_idle_longest(
    hosts: tuple[int, ...], used: int, newcomer: int, evicted: int
) -> None:
    """Of its own where the client has all it may have, else of all; whoever completes a query stays."""
    async with running(full(), limits=TcpLimits(connections=3, per_client=2)) as (server, address, _, _):
        streams = [await connected(server, address, f"127.0.0.{host}") for host in hosts]
        await asked(streams[used])
        last = await connected(server, address, f"127.0.0.{newcomer}")
        assert await closed(streams[evicted][0])
        assert server.stats.events == {Event.CONNECTION_EVICTED: 1}
        assert server.connections == len(hosts)
        for index, stream in enumerate([*streams, last]):
            if index != evicted:
                assert (await asked(stream)).rcode() == dns.rcode.NOERROR
            stream[1].close()


async def test_a_freed_place_costs_nobody_another() -> None:
    """Connections that end make room by themselves."""
    async with running(full(), limits=TcpLimits(connections=2, per_client=2)) as (server, address, _, _):
        first, second = [await connected(server, address) for _ in range(2)]
        first[1].close()
        await until(lambda: server.connections == 1)
        third = await connected(server, address)
        assert (await asked(second)).rcode() == dns.rcode.NOERROR
        assert not server.stats.events
        for _, writer in (second, third):
            writer.close()


async def test_a_slow_client_holds_no_place_when_others_come() -> None:
    """Connections that never send anything give way to those that ask, however many there are."""
    async with running(full(), limits=TcpLimits(connections=8, per_client=8)) as (server, address, _, _):
        slow = [await asyncio.open_connection(*address, local_addr=("127.0.0.9", 0)) for _ in range(8)]
        await until(lambda: server.connections == 8)
        good = [await connected(server, address, f"127.0.0.{host}") for host in range(1, 9)]
        for stream in good:
            assert (await asked(stream)).rcode() == dns.rcode.NOERROR
            stream[1].close()
        for reader, writer in slow:
            assert await closed(reader)
            writer.close()


async def test_tcp_clients_are_told_how_long_they_may_be_idle() -> None:
    """The keepalive option is answered over TCP, in tenths of a second, and not over UDP (RFC 7828, section 3.3)."""
    asking = query("www.example.net")
    asking.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType(11), b"")])
    async with running(full(), limits=TcpLimits(idle=12.5)) as (_, address, _, _):
        assert [item.to_wire() for item in (await tcp(address, asking)).options] == [(125).to_bytes(2)]
        assert (await udp(address, asking)).options == ()
        assert (await tcp(address, query("www.example.net"))).options == ()


@pytest.mark.parametrize("ask", [udp, tcp])
async def test_addresses_take_turns(ask: Ask) -> None:
    """Each answer starts with another address of the RRset."""
    async with running(full()) as (_, address, _, _):
        firsts = {str((await ask(address, query("www.example.net"))).answer[0][0]) for _ in range(40)}
    assert firsts == {"192.0.2.1", "192.0.2.2"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("ask", [udp, tcp])
async def test_cookies_are_made_for_the_address_of_the_client(host: str, ask: Ask) -> None:
    """Over UDP and TCP, IPv4 and IPv6, with the time of the server's clock."""
    if host == "::1" and not _has_ipv6():
        pytest.skip("no IPv6 on the loopback interface")
    cookies = Cookies(bytes(16))
    asking = query("www.example.net")
    asking.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.COOKIE, bytes(8))])
    async with running(full(), host=host, setup=Setup(bytes(16))) as (_, address, _, clock):
        (told,) = (await ask(address, asking)).options
        cookie = told.to_wire() or b""
        made = int.from_bytes(cookie[12:16])
        assert cookie == cookies.option(ip_address(host).packed, bytes(8), made)[4:]
        assert made == int(clock.time()) or (WORKERS and time.time() - 60 < made <= time.time())


async def test_rubbish_on_tcp_ends_the_connection() -> None:
    """A message that is no query at all closes the connection."""
    async with running(full()) as (_, address, _, _):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"\x00\x03abc")
        assert await closed(reader)
        writer.close()


async def test_aclose_is_quick_and_frees_the_port() -> None:
    """With clients that are quiet, and one that takes nothing, closing takes under 1 s and the port is free again."""
    authority = full()
    async with running(authority) as (server, address, seen, _):
        quiet = await asyncio.open_connection(*address)
        stuck = await deaf_client(address)
        await until_stalled(seen)
        assert server.connections == 2
        started = time.monotonic()
        await server.aclose()
        assert time.monotonic() - started < patience()
        assert server.connections == 0
        again = DnsServer(authority)
        await again.listen([address])
        await again.aclose()
        quiet[1].close()
        stuck.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_a_port_in_use_is_told_with_address_port_and_remedy(kind: socket.SocketKind) -> None:
    """The error names transport, address, port, reason and remedy; nothing stays open."""
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        server = DnsServer(Authority())
        transport = "UDP" if kind is socket.SOCK_DGRAM else "TCP"
        told = f"DNS over {transport}: cannot listen on 127.0.0.1 port {port}: Address already in use; stop .* port"
        with pytest.raises(ListenError, match=told):
            await server.listen([LOOPBACK, ("127.0.0.1", port)])
        assert server.addresses == ()


async def test_two_servers_on_one_port_are_told_apart() -> None:
    """A second Homing on the same port is an error, not a silent sharing of the queries."""
    async with running(Authority()) as (_, address, _, _):
        with pytest.raises(ListenError):
            await DnsServer(Authority()).listen([address])


@pytest.mark.parametrize("pair", [("192.0.2.1", 0), ("localhost", 0), ("127.0.0.1", 70000), ("", 0)])
async def test_an_address_that_cannot_be_is_told(pair: tuple[str, int]) -> None:
    """Addresses of other machines, names and impossible ports are ListenErrors with a remedy."""
    with pytest.raises(ListenError, match=r"cannot listen on .*; (choose|write)"):
        await DnsServer(Authority()).listen([pair])
