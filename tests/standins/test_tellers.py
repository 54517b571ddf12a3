"""The stand-ins that tell an address speak the wire of the real ones, as independent clients see it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from ipaddress import IPv4Address, IPv6Address

import dns.asyncquery
import dns.message
import dns.rcode
import dns.rdataclass
import pytest
from aioice import stun

from homing.effects.http import HttpClient, HttpError
from homing.model.address import Address, Family
from homing.standins import CheckIpServer, Endpoint, Fault, Listen, StandInInternet, StunServer, WhoamiServer
from homing.standins.faults import Kind, answer
from homing.standins.listen import has_ipv6_loopback
from tests.waiting import patience

ADDRESSES: dict[Family, Address] = {
    Family.V4: IPv4Address("84.17.33.10"),
    Family.V6: IPv6Address("2a01:4f8:77:1::10"),
}
needs_ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")


def wan(family: Family) -> Address:
    """The address of a family."""
    return ADDRESSES[family]


def binding() -> stun.Message:
    """A Binding request as aioice makes it."""
    return stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)


async def ask_udp(endpoint: Endpoint, request: bytes, limit: float = 2.0) -> bytes:
    """One datagram there and one back. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (endpoint.host, endpoint.port))
        await loop.sock_sendall(sock, request)
        return await asyncio.wait_for(loop.sock_recv(sock, 4096), limit)


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
async def test_stun_tells_the_address_over_udp(host: str) -> None:
    """aioice reads the address of the client's family out of the answer, under the transaction it sent."""
    request = binding()
    async with StunServer((Listen(host),), wan) as server:
        message = stun.parse_message(await ask_udp(server.endpoints[0], bytes(request)))
    assert message.message_class == stun.Class.RESPONSE
    assert message.transaction_id == request.transaction_id
    told, _ = message.attributes["XOR-MAPPED-ADDRESS"]
    assert told == str(wan(Family.V6 if ":" in host else Family.V4))


async def test_stun_tells_over_tcp_at_the_same_port_twice() -> None:
    """A TCP client may ask again over one connection."""
    async with StunServer(wan=wan) as server:
        endpoint = server.endpoints[0]
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        for _ in range(2):
            writer.write(bytes(binding()))
            header = await reader.readexactly(20)
            message = stun.parse_message(header + await reader.readexactly(struct.unpack("!H", header[2:4])[0]))
            assert message.attributes["XOR-MAPPED-ADDRESS"][0] == "84.17.33.10"
        writer.close()
        await writer.wait_closed()


async def test_stun_tells_the_client_its_own_address_by_default() -> None:
    """Without a WAN address to tell, the client's address and port are told."""
    loop = asyncio.get_running_loop()
    async with StunServer() as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", server.endpoints[0].port))
            await loop.sock_sendall(sock, bytes(binding()))
            message = stun.parse_message(await asyncio.wait_for(loop.sock_recv(sock, 2048), 2))
            assert message.attributes["XOR-MAPPED-ADDRESS"] == sock.getsockname()


async def test_stun_can_be_silent_lie_and_know_nothing() -> None:
    """A silent server says nothing, a lying one something else, one without an address an error."""
    async with StunServer(wan=wan) as server:
        endpoint = server.endpoints[0]
        server.silent = True
        with pytest.raises(TimeoutError):
            await ask_udp(endpoint, bytes(binding()), 0.1)
        server.silent = False
        server.wan = lambda _: IPv4Address("8.8.8.8")
        lie = stun.parse_message(await ask_udp(endpoint, bytes(binding())))
        server.wan = lambda _: None
        error = stun.parse_message(await ask_udp(endpoint, bytes(binding())))
    assert lie.attributes["XOR-MAPPED-ADDRESS"][0] == "8.8.8.8"
    assert error.message_class == stun.Class.ERROR


@pytest.mark.parametrize("junk", [b"", b"\0" * 19, b"\0\1\0\4" + b"\0" * 16, b"GET / HTTP/1.1\r\n\r\n" * 3])
async def test_stun_answers_requests_only(junk: bytes) -> None:
    """What is no Binding request gets no answer, and the next request does."""
    async with StunServer(wan=wan) as server:
        with pytest.raises(TimeoutError):
            await ask_udp(server.endpoints[0], junk, 0.05)
        assert await ask_udp(server.endpoints[0], bytes(binding()))


async def test_closing_ends_open_tcp_connections() -> None:
    """A client that stays connected sees the end when the server closes."""
    async with StunServer() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.endpoints[0].port)
        writer.write(bytes(binding()))
        await reader.readexactly(20)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1000), 2)
    writer.close()


@pytest.mark.parametrize(
    ("name", "rtype", "rclass", "said"),
    [
        ("whoami.cloudflare.", "TXT", "CH", '"84.17.33.10"'),
        ("MyIP.opendns.com.", "A", "IN", "84.17.33.10"),
        ("o-o.myaddr.l.google.com.", "TXT", "IN", '"84.17.33.10"'),
    ],
)
async def test_whoami_tells_by_each_operators_name(name: str, rtype: str, rclass: str, said: str) -> None:
    """dnspython accepts the answer to its query, with EDNS and whatever the case, and finds the address in it."""
    query = dns.message.make_query(name, rtype, dns.rdataclass.from_text(rclass), use_edns=0)
    async with WhoamiServer(wan=wan) as server:
        reply = await dns.asyncquery.udp(query, "127.0.0.1", 2, server.endpoints[0].port)
    assert [record.to_text() for rrset in reply.answer for record in rrset] == [said]


async def test_whoami_has_no_address_of_the_other_family_and_refuses_other_names() -> None:
    """AAAA asked over IPv4 is NODATA; a name of nobody is REFUSED."""
    async with WhoamiServer(wan=wan) as server:
        port = server.endpoints[0].port
        other = await dns.asyncquery.udp(dns.message.make_query("myip.opendns.com.", "AAAA"), "127.0.0.1", 2, port)
        unknown = await dns.asyncquery.udp(dns.message.make_query("www.example.org.", "A"), "127.0.0.1", 2, port)
    assert (other.rcode(), other.answer) == (dns.rcode.NOERROR, [])
    assert unknown.rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("query", [b"", b"\0" * 11, b"\1\1\0\0\0\1\0\0\0\0\0\0\7", b"\1\1\0\0\0\7" + b"\0" * 12])
async def test_whoami_survives_broken_queries(query: bytes) -> None:
    """What is no query does not stop the server."""
    async with WhoamiServer(wan=wan) as server:
        endpoint = server.endpoints[0]
        with contextlib.suppress(TimeoutError):
            assert (await ask_udp(endpoint, query, 0.05))[3] & 0x0F == dns.rcode.FORMERR
        good = dns.message.make_query("myip.opendns.com.", "A")
        assert (await dns.asyncquery.udp(good, "127.0.0.1", 2, endpoint.port)).answer


@pytest.mark.parametrize(
    ("path", "said"),
    [("/", "84.17.33.10\n"), ("/json", '{"ip": "84.17.33.10"}'), ("/?format=json", '{"ip": "84.17.33.10"}')],
)
async def test_checkip_tells_as_text_and_json(path: str, said: str) -> None:
    """The path chooses the form."""
    async with CheckIpServer(wan=wan) as server, HttpClient() as client:
        assert (await client.request("GET", server.endpoints[0].url(path), timeout=2 * patience())).text == said


async def test_checkip_tells_as_trace() -> None:
    """Cloudflare's trace has a line with the address."""
    async with CheckIpServer(wan=wan) as server, HttpClient() as client:
        reply = await client.request("GET", server.endpoints[0].url("/cdn-cgi/trace"), timeout=2 * patience())
    assert "ip=84.17.33.10" in reply.text.splitlines()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(Kind.HANG), "timeout"),
        (Fault(Kind.RESET), "reset"),
        (Fault(Kind.DRIP, body="84.17.33.10", seconds=0.5), "timeout"),
        (Fault(Kind.FLOOD), "too-large"),
        (Fault(Kind.REDIRECT), "redirects"),
    ],
)
async def test_a_scripted_fault_is_had_until_it_is_cleared(fault: Fault, code: str) -> None:
    """The client sees the fault, then the right answer; closing waits for no fault to end."""
    async with CheckIpServer(wan=wan) as server, HttpClient() as client:
        server.faults.add(fault, times=None)
        url = server.endpoints[0].url()
        with pytest.raises(HttpError) as caught:
            await client.request("GET", url, timeout=0.3 * patience(), max_redirects=3)
        server.faults.clear()
        assert (await client.request("GET", url, timeout=2 * patience())).text == "84.17.33.10\n"
    assert caught.value.code == code


async def test_faults_go_by_their_key_and_number() -> None:
    """A fault with a key meets only requests that bear it, as often as told."""
    async with CheckIpServer(wan=wan) as server, HttpClient() as client:
        server.faults.add(answer("no", 500), key="/json", times=2)
        paths = ("/", "/json", "/json", "/json")
        got = [await client.request("GET", server.endpoints[0].url(path), timeout=2 * patience()) for path in paths]
    assert [reply.status for reply in got] == [200, 500, 500, 200]


async def test_the_internet_moves() -> None:
    """All operators tell the WAN address of now, and each has its own endpoint."""
    async with StandInInternet(IPv4Address("84.17.33.10")) as internet, HttpClient() as client:
        observers = (*internet.stun_observers, *internet.http_observers, *internet.whoami_observers)
        ipv4 = [observer for observer in observers if observer.family is Family.V4]
        assert len({observer.endpoint for observer in ipv4}) == len({observer.operator for observer in ipv4}) == 6
        internet.move(IPv4Address("84.17.39.77"))
        for observer in internet.http_observers:
            if observer.family is Family.V4:
                reply = await client.request("GET", observer.endpoint.url("/json"), timeout=2 * patience())
                assert json.loads(reply.body) == {"ip": "84.17.39.77"}
        message = stun.parse_message(await ask_udp(ipv4[0].endpoint, bytes(binding())))
    assert message.attributes["XOR-MAPPED-ADDRESS"][0] == "84.17.39.77"
