"""RFC 2136 against Knot and BIND, and against servers that answer badly."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.tsig
import dns.update
import pytest

from homing.effects.secret import secret_from_text
from homing.errors import ConfigError, ProviderBusy, ProviderError, ProviderLocked, ProviderRefused
from homing.model.address import Family
from homing.model.name import Name, parse_name
from homing.providers.rfc2136 import Rfc2136
from homing.providers.signed_dns import host_port
from tests import dns_servers
from tests.ports import free_port
from tests.providers.changes import change

A, B, C = "203.0.113.7", "198.51.100.23", "192.0.2.99"
SIX = "2001:db8::7"
FQDN = "www.example.net"


@pytest.fixture(params=["knot_server", "named_server"])
def peer(request: pytest.FixtureRequest) -> dns_servers.Server:
    found: dns_servers.Server = request.getfixturevalue(request.param)
    return found


def provider(
    server: str,
    *,
    key: str = dns_servers.KEY,
    key_name: str = dns_servers.KEY_NAME,
    algorithm: str = "hmac-sha256",
    zone: Name | None = None,
    timeout: float = 5.0,
) -> Rfc2136:
    secret = secret_from_text(key, "file tsig.key")
    return Rfc2136("dns", server=server, key_name=key_name, key=secret, algorithm=algorithm, zone=zone, timeout=timeout)


@pytest.mark.peers
async def test_an_update_is_atomic(peer: dns_servers.Server) -> None:
    """When one family's prerequisite fails, the other family is not changed either."""
    fqdn = "atomic.example.net"
    await provider(peer.server).apply(change(fqdn, [], A, SIX))
    stale = change(fqdn, [A, "2001:db8::dead"], B, "2001:db8::beef")
    with pytest.raises(ProviderBusy) as raised:
        await provider(peer.server).apply(stale)
    assert raised.value.code == "changed-meanwhile"
    assert await peer.addresses(fqdn) == {A, SIX}


@pytest.mark.peers
async def test_another_s_change_is_not_overwritten(peer: dns_servers.Server) -> None:
    """A name that holds something else than was read stays as it is, whether it was there or not."""
    fqdn = "raced.example.net"
    await provider(peer.server).apply(change(fqdn, [], C))
    for before in ([], [A]):
        with pytest.raises(ProviderBusy, match="somebody else changed"):
            await provider(peer.server).apply(change(fqdn, before, B))
    assert await peer.addresses(fqdn) == {C}


@pytest.mark.peers
async def test_several_addresses_make_one_rrset(peer: dns_servers.Server) -> None:
    """An RRset of three addresses is written, read and replaced as a whole."""
    fqdn = "many.example.net"
    wanted = change(fqdn, [], A, B, C)
    await provider(peer.server).apply(wanted)
    assert await provider(peer.server).read(parse_name(fqdn)) == wanted.wanted
    await provider(peer.server).apply(change(fqdn, [A, B, C], B))
    assert await peer.addresses(fqdn) == {B}


@pytest.mark.peers
async def test_a_ttl_alone_can_change(peer: dns_servers.Server) -> None:
    """The same address with another TTL is an update."""
    fqdn = "ttl.example.net"
    await provider(peer.server).apply(change(fqdn, [], A))
    await provider(peer.server).apply(change(fqdn, [A], A, ttl=77))
    assert [rrset.ttl for rrset in await provider(peer.server).read(parse_name(fqdn))] == [77]


@pytest.mark.peers
async def test_a_removed_name_reads_as_nothing(peer: dns_servers.Server) -> None:
    """A name whose families both go is gone."""
    fqdn = "gone.example.net"
    await provider(peer.server).apply(change(fqdn, [], A, SIX))
    await provider(peer.server).apply(change(fqdn, [A, SIX], gone=[Family.V4, Family.V6]))
    assert await provider(peer.server).read(parse_name(fqdn)) == ()


@pytest.mark.peers
async def test_the_zone_may_be_set(peer: dns_servers.Server) -> None:
    """With ``zone`` nothing is looked up; a name outside is refused without a request."""
    fqdn = "zoned.example.net"
    dns_provider = provider(peer.server, zone=parse_name("example.net"))
    await dns_provider.apply(change(fqdn, [], A))
    assert await peer.addresses(fqdn) == {A}
    with pytest.raises(ProviderRefused, match=r"not in zone example\.net"):
        await dns_provider.apply(change("www.example.org", [], A))


@pytest.mark.peers
async def test_a_cname_is_told_and_left_alone(peer: dns_servers.Server) -> None:
    """Servers ignore an address beside a CNAME silently; Homing does not."""
    with pytest.raises(ProviderRefused, match="CNAME"):
        await provider(peer.server).read(parse_name("alias.example.net"))
    with pytest.raises(ProviderRefused, match="CNAME"):
        await provider(peer.server).apply(change("alias.example.net", [], A))


@pytest.mark.peers
@pytest.mark.parametrize(
    ("key_name", "key", "algorithm"),
    [
        ("nobody", dns_servers.KEY, "hmac-sha256"),
        (dns_servers.KEY_NAME, dns_servers.OTHER_KEY, "hmac-sha256"),
        (dns_servers.KEY_NAME, dns_servers.KEY, "hmac-sha512"),
    ],
)
async def test_a_wrong_key_locks_the_account(peer: dns_servers.Server, key_name: str, key: str, algorithm: str) -> None:
    """Unknown name, wrong secret and wrong algorithm need a person; the secret is not told."""
    wrong = provider(peer.server, key_name=key_name, key=key, algorithm=algorithm)
    with pytest.raises(ProviderLocked, match="BAD") as raised:
        await wrong.apply(change(FQDN, [], A))
    assert (raised.value.account, raised.value.seconds) == (True, None)
    assert key not in str(raised.value)


@pytest.mark.peers
async def test_a_key_without_the_right_locks(peer: dns_servers.Server) -> None:
    """A key that may not update is told so, and the zone stays as it is."""
    fqdn = "denied.example.net"
    with pytest.raises(ProviderLocked):
        await provider(peer.server, key_name="readonly").apply(change(fqdn, [], A))
    assert await peer.addresses(fqdn) == frozenset()


@pytest.mark.peers
async def test_a_zone_the_server_lacks_is_no_success(peer: dns_servers.Server) -> None:
    """Neither asked for nor set is another zone accepted."""
    with pytest.raises(ProviderError):
        await provider(peer.server).apply(change("www.example.org", [], A))
    with pytest.raises(ProviderLocked, match="NOTAUTH"):
        await provider(peer.server, zone=parse_name("example.org")).apply(change("www.example.org", [], A))


Reply = Callable[[bytes, dns.tsig.Key], bytes]


@asynccontextmanager
async def answering(reply: Reply) -> AsyncIterator[str]:
    """A DNS server over TCP whose answer is made by ``reply``; an empty one closes the connection."""
    key = dns.tsig.Key(dns_servers.KEY_NAME, base64.b64decode(dns_servers.KEY), "hmac-sha256")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        wire = reply(await reader.readexactly(length), key)
        writer.write(struct.pack("!H", len(wire)) + wire if wire else b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def rcode(code: dns.rcode.Rcode, *, signed: bool = True, error: int = 0) -> Reply:
    """A response with this code."""

    def reply(wire: bytes, key: dns.tsig.Key) -> bytes:
        query = dns.message.from_wire(wire, keyring=key)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        response.set_rcode(code)
        if signed:
            response.use_tsig(key, tsig_error=error)
            response.request_mac = query.mac or b""
        else:
            response.tsig = None
            response.want_tsig_sign = False
            response.request_mac = b""
        return response.to_wire()

    return reply


ZONED = parse_name("example.net")


@pytest.mark.parametrize(
    ("code", "kind", "account"),
    [
        (dns.rcode.NOTAUTH, ProviderLocked, True),
        (dns.rcode.REFUSED, ProviderLocked, False),
        (dns.rcode.SERVFAIL, ProviderBusy, None),
        (dns.rcode.FORMERR, ProviderRefused, None),
        (dns.rcode.NOTIMP, ProviderRefused, None),
        (dns.rcode.NOTZONE, ProviderRefused, None),
    ],
)
@pytest.mark.parametrize("signed", [True, False])
async def test_response_codes(
    code: dns.rcode.Rcode, kind: type[ProviderError], account: bool | None, signed: bool
) -> None:
    """Each code has its meaning, whether the error is signed or not."""
    async with answering(rcode(code, signed=signed)) as server:
        with pytest.raises(ProviderError) as raised:
            await provider(server, zone=ZONED).apply(change(FQDN, [], A))
    assert type(raised.value) is kind
    assert raised.value.code == code.name
    assert getattr(raised.value, "account", None) is account


async def test_an_unsigned_success_is_none() -> None:
    """Whoever sits in between cannot claim that an update was made, or that a name is gone."""
    async with answering(rcode(dns.rcode.NOERROR, signed=False)) as server:
        with pytest.raises(ProviderBusy) as raised:
            await provider(server, zone=ZONED).apply(change(FQDN, [], A))
        assert raised.value.code == "bad-answer"
        with pytest.raises(ProviderBusy):
            await provider(server, zone=ZONED).read(parse_name(FQDN))
    async with answering(rcode(dns.rcode.NXDOMAIN, signed=False)) as server:
        with pytest.raises(ProviderError):
            await provider(server, zone=ZONED).read(parse_name(FQDN))


async def test_badtime_is_tried_again_and_mentions_the_clock() -> None:
    """A clock that is off is no reason to lock: it may be set any moment."""
    async with answering(rcode(dns.rcode.NOTAUTH, error=dns.rcode.BADTIME)) as server:
        with pytest.raises(ProviderBusy, match="clock") as raised:
            await provider(server, zone=ZONED).apply(change(FQDN, [], A))
    assert raised.value.code == "BADTIME"


@pytest.mark.parametrize(
    "wire", [b"\0", b"\0" * 11, b"\xff" * 40, b"\0" * 65535], ids=["one octet", "short", "noise", "huge"]
)
async def test_nonsense_means_busy(wire: bytes) -> None:
    """What cannot be read is tried again later."""
    async with answering(lambda *_: wire) as server:
        with pytest.raises(ProviderBusy) as raised:
            await provider(server, zone=ZONED).apply(change(FQDN, [], A))
    assert raised.value.code == "bad-answer"


async def test_an_answer_to_another_question_means_busy() -> None:
    """An old answer with a valid signature of its own is not taken for this one."""

    def replay(wire: bytes, key: dns.tsig.Key) -> bytes:
        other = dns.message.make_query("example.org", "SOA")
        other.use_tsig(key)
        asked = dns.message.from_wire(other.to_wire(), keyring=key)
        return dns.message.make_response(asked).to_wire()

    async with answering(replay) as server:
        with pytest.raises(ProviderBusy):
            await provider(server, zone=ZONED).apply(change(FQDN, [], A))


async def test_a_closed_connection_means_busy() -> None:
    """A server that hangs up is tried again later; so is one that is not there."""
    async with answering(lambda *_: b"") as server:
        with pytest.raises(ProviderBusy) as raised:
            await provider(server, zone=ZONED).apply(change(FQDN, [], A))
    assert raised.value.code == "reset"
    with pytest.raises(ProviderBusy) as raised:
        await provider(f"127.0.0.1:{free_port()}", zone=ZONED).apply(change(FQDN, [], A))
    assert raised.value.code == "connect"


async def test_a_resolver_is_not_taken_for_the_server_of_the_zone() -> None:
    """An answer without AA says nothing of what the zone holds."""

    def reply(wire: bytes, key: dns.tsig.Key) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(wire, keyring=key))
        return response.to_wire()

    async with answering(reply) as server:
        with pytest.raises(ProviderRefused, match="does not hold the zone"):
            await provider(server, zone=ZONED).read(parse_name(FQDN))


async def test_a_key_that_is_not_base64_locks_before_anything_is_sent() -> None:
    """The error says where the key is, not what it is."""
    with pytest.raises(ProviderLocked, match=r"file tsig\.key is not Base64") as raised:
        await provider("127.0.0.1:9", key="not base64!").read(parse_name(FQDN))
    assert "not base64!" not in str(raised.value)
    assert raised.value.account


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("ns1.example.net", ("ns1.example.net", 53)),
        ("ns1.example.net:5353", ("ns1.example.net", 5353)),
        ("192.0.2.1:54", ("192.0.2.1", 54)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]:54", ("2001:db8::1", 54)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
    ],
)
def test_servers_are_written_in_the_usual_ways(server: str, expected: tuple[str, int]) -> None:
    """Host or address, with or without a port."""
    assert host_port(server, "providers.dns.server") == expected


@pytest.mark.parametrize("server", ["", ":53", "host:", "host:0", "host:99999", "host:x", "http://host/", "a b"])
def test_wrong_servers_are_told(server: str) -> None:
    """A server that cannot be right is an error naming the key."""
    with pytest.raises(ConfigError, match=r"providers\.dns\.server"):
        provider(server)


def test_an_unknown_algorithm_is_told() -> None:
    """The error lists the known ones."""
    with pytest.raises(ConfigError, match="hmac-sha256"):
        provider("ns1.example.net", algorithm="rot13")
