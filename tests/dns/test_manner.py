"""What a response says beside the zones: cookies, NSID, extended errors, class CHAOS."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from homing.dns.cookie import RENEWAL_AGE, Cookies
from homing.dns.lookup import Zones
from homing.dns.message import Rcode
from homing.dns.respond import PLAIN, Manner, Reply, respond
from homing.errors import ModelError
from homing.model.name import parse_name
from tests.dns.zones import sample

ZONES = sample()
CLIENT = bytes((192, 0, 2, 7))
NOW = 1_700_000_000
COOKIE = bytes(range(8))
COOKIES = Cookies(bytes(range(16)))
MANNER = Manner(cookies=COOKIES, nsid=b"ns-a", version="homing", identity="ns-a.example.net")
FRESH = COOKIES.option(CLIENT, COOKIE, NOW)[4:]


def ask(
    fqdn: str,
    rtype: str = "A",
    *options: dns.edns.Option,
    rdclass: str = "IN",
    edns: int | None = 0,
    manner: Manner = MANNER,
    zones: Zones = ZONES,
) -> dns.message.Message:
    """The response to a query with these options, read by dnspython."""
    query = dns.message.make_query(
        fqdn, rtype, rdclass, use_edns=edns if edns is not None else False, options=list(options)
    )
    return read(respond(query.to_wire(), zones, udp=True, client=CLIENT, now=NOW, manner=manner))


def read(reply: Reply | None) -> dns.message.Message:
    """A response, read by dnspython."""
    assert reply is not None
    return dns.message.from_wire(reply.message)


def raw(*data: bytes, counts: bytes = b"\0\0\0\0\0\0\0\1", flags: bytes = b"\0\0") -> bytes:
    """A query without a question and with COOKIE options of these octets."""
    rdata = b"".join(b"\0\x0a" + len(item).to_bytes(2) + item for item in data)
    return b"\x12\x34" + flags + counts + b"\0\0\x29\x04\xd0\0\0\0\0" + len(rdata).to_bytes(2) + rdata


def cookie(data: bytes) -> dns.edns.Option:
    """A COOKIE option."""
    return dns.edns.GenericOption(dns.edns.OptionType.COOKIE, data)


def told(response: dns.message.Message, code: int) -> list[bytes]:
    """The data of the options with a code."""
    return [item.to_wire() or b"" for item in response.options if item.otype == code]


def test_a_client_cookie_gets_a_server_cookie() -> None:
    """The query is answered, and the client told its cookie (RFC 7873, section 5.2.3)."""
    response = ask("www.example.net", "A", cookie(COOKIE))
    assert (response.rcode(), len(response.answer)) == (dns.rcode.NOERROR, 1)
    assert told(response, 10) == [FRESH]


def test_a_good_cookie_comes_back() -> None:
    """It stays until it is due for a new one."""
    young = COOKIES.option(CLIENT, COOKIE, NOW - RENEWAL_AGE)[4:]
    old = COOKIES.option(CLIENT, COOKIE, NOW - RENEWAL_AGE - 1)[4:]
    assert told(ask("www.example.net", "A", cookie(young)), 10) == [young]
    assert told(ask("www.example.net", "A", cookie(old)), 10) == [FRESH]


@pytest.mark.parametrize("server", [bytes(8), bytes(16), bytes(32), FRESH[8:-1] + b"\0"])
def test_a_wrong_server_cookie_counts_as_none(server: bytes) -> None:
    """The query is answered as one with a client cookie alone."""
    response = ask("www.example.net", "A", cookie(COOKIE + server))
    assert (response.rcode(), len(response.answer), told(response, 10)) == (dns.rcode.NOERROR, 1, [FRESH])


@pytest.mark.parametrize("size", [0, 1, 7, 9, 15, 41, 60])
def test_a_cookie_of_a_wrong_length_is_formerr(size: int) -> None:
    """No cookie has that length (RFC 7873, section 5.2.2); the response has an OPT."""
    response = ask("www.example.net", "A", cookie(bytes(size)))
    assert (response.rcode(), response.edns, response.answer) == (dns.rcode.FORMERR, 0, [])


def test_only_the_first_cookie_counts() -> None:
    """Another one behind it is ignored, whatever its length (RFC 7873, section 5.2)."""
    response = ask("www.example.net", "A", cookie(COOKIE), cookie(b"abc"))
    assert told(response, 10) == [FRESH]


def test_without_cookies_there_are_none() -> None:
    """A server that has no secret, or a client without an address, ignores the option."""
    assert told(ask("www.example.net", "A", cookie(COOKIE), manner=PLAIN), 10) == []
    wire = dns.message.make_query("www.example.net", "A", use_edns=0, options=[cookie(COOKIE)]).to_wire()
    assert told(read(respond(wire, ZONES, udp=True, manner=MANNER)), 10) == []


@pytest.mark.parametrize(
    ("data", "rcode"), [(COOKIE, Rcode.NOERROR), (FRESH, Rcode.NOERROR), (COOKIE + bytes(16), Rcode.BADCOOKIE)]
)
def test_a_query_for_a_cookie_alone(data: bytes, rcode: Rcode) -> None:
    """Without a question a client asks for its cookie, or whether it is good (RFC 7873, section 5.4)."""
    response = read(respond(raw(data), ZONES, udp=True, client=CLIENT, now=NOW, manner=MANNER))
    assert (int(response.rcode()), response.question, told(response, 10)) == (rcode, [], [FRESH])


def test_a_query_for_a_cookie_alone_has_a_version_too() -> None:
    """Of another version of EDNS it is BADVERS."""
    packet = raw(COOKIE).replace(b"\x04\xd0\0\0", b"\x04\xd0\0\1")
    response = read(respond(packet, ZONES, udp=True, client=CLIENT, now=NOW, manner=MANNER))
    assert (response.rcode(), response.edns) == (dns.rcode.BADVERS, 0)


@pytest.mark.parametrize(
    ("packet", "manner"),
    [
        (raw(COOKIE), PLAIN),
        (raw(), MANNER),
        (raw(COOKIE) + b"\0", MANNER),
        (raw(COOKIE, counts=b"\0\0\0\0\0\0\0\2") + b"\0\0\x01\0\x01\0\0\0\0\0\0", MANNER),
        (raw(b"abc"), MANNER),
    ],
)
def test_no_question_is_formerr_but_for_cookies(packet: bytes, manner: Manner) -> None:
    """Where there is no cookie to ask for, or more than that, one question belongs into a query."""
    response = read(respond(packet, ZONES, udp=True, client=CLIENT, now=NOW, manner=manner))
    assert (response.rcode(), response.edns) == (dns.rcode.FORMERR, 0)


def test_the_identity_of_the_server_is_told_on_demand() -> None:
    """NSID (RFC 5001) comes to those who ask and only where it is set."""
    nsid = dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")
    assert told(ask("www.example.net", "A", nsid), 3) == [b"ns-a"]
    assert told(ask("www.example.net"), 3) == []
    assert told(ask("www.example.net", "A", nsid, manner=PLAIN), 3) == []


def test_the_cookie_stands_last() -> None:
    """Behind NSID and extended error, so that the rest can be kept without it."""
    nsid = dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")
    response = ask("www.example.org", "A", cookie(COOKIE), nsid)
    assert [item.otype for item in response.options] == [15, 3, 10]


@pytest.mark.parametrize(
    ("fqdn", "rtype", "rdclass", "zones", "rcode", "reason"),
    [
        ("www.example.net", "A", "IN", Zones(awaited=frozenset((parse_name("example.net"),))), Rcode.SERVFAIL, 14),
        ("www.example.org", "A", "IN", ZONES, Rcode.REFUSED, 20),
        ("example.net", "AXFR", "IN", ZONES, Rcode.REFUSED, 18),
        ("www.example.net", "A", "HS", ZONES, Rcode.REFUSED, 21),
        ("gone.example.net", "A", "IN", ZONES, Rcode.NXDOMAIN, None),
        ("www.example.net", "A", "IN", ZONES, Rcode.NOERROR, None),
    ],
)
def test_reasons_are_told_where_they_help(
    fqdn: str, rtype: str, rdclass: str, zones: Zones, rcode: Rcode, reason: int | None
) -> None:
    """Extended errors (RFC 8914) say why SERVFAIL or REFUSED."""
    response = ask(fqdn, rtype, rdclass=rdclass, zones=zones)
    assert int(response.rcode()) == rcode
    assert told(response, 15) == ([] if reason is None else [reason.to_bytes(2)])
    assert ask(fqdn, rtype, rdclass=rdclass, zones=zones, edns=None).edns == -1


@pytest.mark.parametrize(
    ("fqdn", "text"),
    [
        ("version.bind", "homing"),
        ("VERSION.server", "homing"),
        ("id.server", "ns-a.example.net"),
        ("hostname.bind", "ns-a.example.net"),
    ],
)
def test_the_server_tells_about_itself_when_told_to(fqdn: str, text: str) -> None:
    """TXT in class CHAOS, TTL 0; REFUSED where nothing is set, and for all else of that class."""
    found = ask(fqdn, "TXT", rdclass="CH").answer
    assert [item.to_text() for item in found] == [f'{fqdn}. 0 CH TXT "{text}"']
    assert ask(fqdn, "TXT", rdclass="CH", manner=PLAIN).rcode() == dns.rcode.REFUSED
    assert ask(fqdn, "A", rdclass="CH").rcode() == dns.rcode.REFUSED
    assert ask(f"x.{fqdn}", "TXT", rdclass="CH").rcode() == dns.rcode.REFUSED
    assert ask(fqdn, "TXT").rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("values", [{"nsid": bytes(129)}, {"version": "v" * 256}, {"identity": "ü" * 128}])
def test_a_manner_is_short(values: dict[str, bytes | str]) -> None:
    """What does not fit beside any question, or into a TXT string, is an error."""
    with pytest.raises(ModelError):
        Manner(**values)  # type: ignore[arg-type]


OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
QUESTION = b"\3www\7example\3net\0\0\1\0\1"


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        (b"\x12\x34\0\0\0\2\0\0\0\0\0\1" + QUESTION * 2 + OPT, Rcode.FORMERR),
        (b"\x12\x34\0\0\0\1\0\1\0\0\0\1" + QUESTION + b"\0\0\1\0\1\0\0\0\0\0\0" + OPT, Rcode.FORMERR),
        (b"\x12\x34\0\0\0\1\0\0\0\0\0\1" + b"\xc0\x0c\0\1\0\1" + OPT, Rcode.FORMERR),
        (b"\x12\x34\0\0\0\1\0\0\0\0\0\1" + QUESTION + OPT + b"\0", Rcode.FORMERR),
        (b"\x12\x34\x20\0\0\1\0\0\0\0\0\1" + QUESTION + OPT, Rcode.REFUSED),
        (b"\x12\x34\x28\0\0\1\0\0\0\0\0\1" + QUESTION + OPT, Rcode.REFUSED),
        (b"\x12\x34\x08\0\0\1\0\0\0\0\0\1" + QUESTION + OPT, Rcode.NOTIMP),
    ],
)
def test_edns_is_answered_with_edns_whatever_is_wrong(packet: bytes, rcode: Rcode) -> None:
    """An OPT that can be found brings one back (RFC 6891, section 7), and none comes without."""
    for query, edns in ((packet, 0), (packet[:11] + b"\0" + packet[12:].replace(OPT, b""), -1)):
        reply = respond(query, ZONES, udp=True, client=CLIENT, now=NOW, manner=MANNER)
        assert reply is not None
        response = dns.message.from_wire(reply.message)
        assert (reply.rcode, int(response.rcode()), response.edns) == (rcode, rcode, edns)


def test_an_unknown_version_of_edns_gets_a_cookie_too() -> None:
    """BADVERS with EDNS version 0, of the flags none but DO (RFC 6891, sections 6.1.3 and 6.1.4)."""
    query = dns.message.make_query("www.example.net", "A", use_edns=1, ednsflags=0xFFFF, options=[cookie(COOKIE)])
    query.ednsflags = query.ednsflags & 0xFF00FFFF | 1 << 16
    response = read(respond(query.to_wire(), ZONES, udp=True, client=CLIENT, now=NOW, manner=MANNER))
    assert (response.rcode(), response.edns, told(response, 10)) == (dns.rcode.BADVERS, 0, [FRESH])
    assert response.ednsflags & 0xFFFF == dns.flags.DO
