"""Queries as octets: what is read, refused and dropped; what comes back, read by dnspython."""

from __future__ import annotations

import struct

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import pytest

from homing.dns.lookup import Zones
from homing.dns.message import BadQuery, Rcode, Verdict, judge, parse_query
from homing.dns.respond import respond
from homing.model.name import parse_name
from homing.model.rrset import RRType, rrset
from homing.model.zone import zone
from tests.dns.zones import ORIGIN, SOA, addresses, exchange, sample, serving

ZONES = sample()
QNAME = b"\x03www\x07example\x03net\x00"
A_IN = b"\x00\x01\x00\x01"
OPT = b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"


def packet(body: bytes, *, counts: tuple[int, int, int, int] = (1, 0, 0, 0), flags: int = 0) -> bytes:
    """A message with this header."""
    return struct.pack("!6H", 4711, flags, *counts) + body


def reply_to(query: bytes, *, udp: bool = True, zones: Zones = ZONES) -> dns.message.Message:
    """The response, read by dnspython."""
    reply = respond(query, zones, udp=udp)
    assert reply is not None
    return dns.message.from_wire(reply.message)


def test_a_query_is_read_with_its_case() -> None:
    """Name, type, class, ID and RD come out as they went in."""
    query = parse_query(packet(b"\x03wWw\x07eXample\x03Net\x00" + A_IN, flags=0x0100))
    assert (query.id, query.recursion_desired, query.edns, query.signed) == (4711, True, None, False)
    assert query.question.name.labels == (b"wWw", b"eXample", b"Net")


def test_the_edns_of_a_query_is_read() -> None:
    """Version, payload size and DO are read; options of any kind are passed over."""
    built = dns.message.make_query("www.example.net", "A", payload=4000, want_dnssec=True)
    built.use_edns(0, dns.flags.DO, 4000, options=[dns.edns.GenericOption(dns.edns.OptionType(65001), b"abc")])
    edns = parse_query(built.to_wire()).edns
    assert edns is not None
    assert (edns.version, edns.payload, edns.dnssec_ok) == (0, 4000, True)


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        (packet(QNAME + A_IN), Verdict.ANSWER),
        (b"", Verdict.DROP),
        (packet(b"")[:11], Verdict.DROP),
        (packet(QNAME + A_IN, flags=0x8000), Verdict.DROP),
        (packet(QNAME + A_IN, flags=4 << 11), Verdict.REFUSED),
        (packet(QNAME + A_IN, flags=5 << 11), Verdict.REFUSED),
        (packet(QNAME + A_IN, flags=1 << 11), Verdict.NOTIMP),
        (packet(QNAME + A_IN, flags=15 << 11), Verdict.NOTIMP),
        (packet(b"", counts=(0, 0, 0, 0)), Verdict.FORMERR),
        (packet((QNAME + A_IN) * 2, counts=(2, 0, 0, 0)), Verdict.FORMERR),
        (packet(QNAME + A_IN, counts=(1, 1, 0, 0)), Verdict.FORMERR),
        (packet(QNAME + A_IN, counts=(1, 0, 2, 0)), Verdict.FORMERR),
        (packet(QNAME + A_IN, counts=(1, 0, 0, 3)), Verdict.FORMERR),
    ],
)
def test_the_header_decides(query: bytes, verdict: Verdict) -> None:
    """Each header has its verdict."""
    assert judge(query) is verdict


def test_a_verdict_is_no_bool() -> None:
    """Using a verdict as a condition is an error."""
    with pytest.raises(TypeError):
        bool(Verdict.ANSWER)


LABEL63 = b"\x3f" + b"a" * 63


@pytest.mark.parametrize(
    "query",
    [
        packet(b""),
        packet(b"\x03ww"),
        packet(QNAME),
        packet(QNAME + b"\x00\x01\x00"),
        packet(b"\xc0\x0c" + A_IN),
        packet(b"\x03www\xc0\x0c" + A_IN),
        packet(b"\x40" + b"a" * 64 + b"\x00" + A_IN),
        packet(LABEL63 * 4 + b"\x00" + A_IN),
        packet(QNAME + A_IN + b"\x00"),
        packet(QNAME + A_IN, counts=(1, 0, 0, 1)),
        packet(QNAME + A_IN + OPT * 2, counts=(1, 0, 0, 2)),
        packet(QNAME + A_IN + b"\x01a" + OPT, counts=(1, 0, 0, 1)),
        packet(QNAME + A_IN + b"\xc0\x0c" + OPT[1:], counts=(1, 0, 0, 1)),
        packet(QNAME + A_IN + OPT[:-1] + b"\x01", counts=(1, 0, 0, 1)),
        packet(QNAME + A_IN + OPT[:-1] + b"\x03\x00\x0a\x00", counts=(1, 0, 0, 1)),
        packet(QNAME + A_IN + OPT[:-1] + b"\x05\x00\x0a\x00\x02a", counts=(1, 0, 0, 1)),
        packet(QNAME + A_IN + OPT, counts=(1, 0, 1, 0)),
    ],
)
def test_malformed_queries_are_formerr(query: bytes) -> None:
    """Whatever is not exactly a query of one question is FORMERR, with the ID of the query."""
    with pytest.raises(BadQuery) as raised:
        parse_query(query)
    assert raised.value.verdict is Verdict.FORMERR
    reply = reply_to(query)
    assert (reply.rcode(), reply.id, reply.answer) == (dns.rcode.FORMERR, 4711, [])


def test_the_longest_name_is_read() -> None:
    """A name of 255 octets passes, one of 256 does not."""
    longest = LABEL63 * 3 + b"\x3d" + b"b" * 61 + b"\x00"
    assert len(longest) == 255
    assert parse_query(packet(longest + A_IN)).question.name.wire == longest
    with pytest.raises(BadQuery):
        parse_query(packet(LABEL63 * 3 + b"\x3e" + b"b" * 62 + b"\x00" + A_IN))


def test_malformed_edns_is_told_with_edns() -> None:
    """FORMERR about an OPT carries an OPT itself (RFC 6891, section 7)."""
    assert reply_to(packet(QNAME + A_IN + OPT * 2, counts=(1, 0, 0, 2))).edns == 0


def test_a_future_version_of_edns_is_badvers() -> None:
    """EDNS version 1 gets BADVERS and version 0 (RFC 6891, section 6.1.3)."""
    query = dns.message.make_query("www.example.net", "A")
    query.use_edns(1)
    reply = exchange(ZONES, query)
    assert (reply.rcode(), reply.edns, reply.answer) == (dns.rcode.BADVERS, 0, [])
    assert reply.question == query.question


def test_edns_is_answered_with_edns() -> None:
    """An OPT in the query brings one back, with 1232 octets offered and the DO bit copied."""
    query = dns.message.make_query("www.example.net", "A", use_edns=0, payload=4096, want_dnssec=True)
    reply = exchange(ZONES, query)
    assert (reply.edns, reply.payload, bool(reply.ednsflags & dns.flags.DO)) == (0, 1232, True)
    assert not exchange(ZONES, dns.message.make_query("www.example.net", "A", use_edns=0)).ednsflags & dns.flags.DO


def test_no_edns_is_answered_without() -> None:
    """A query without an OPT gets none."""
    assert exchange(ZONES, dns.message.make_query("www.example.net", "A", use_edns=False)).edns == -1


@pytest.mark.parametrize("opcode", [1, 3, 6, 15])
def test_unknown_opcodes_are_not_implemented(opcode: int) -> None:
    """The opcode comes back with NOTIMP and without AA (RFC 8906, section 8.1.5)."""
    reply = respond(packet(QNAME + A_IN, flags=opcode << 11), ZONES, udp=True)
    assert reply is not None
    flags = int.from_bytes(reply.message[2:4])
    assert (flags >> 11 & 0x0F, flags & 0x0F, flags & 0x0400, len(reply.message)) == (opcode, Rcode.NOTIMP, 0, 12)


@pytest.mark.parametrize("opcode", [dns.opcode.NOTIFY, dns.opcode.UPDATE])
def test_notify_and_update_from_strangers_are_refused(opcode: dns.opcode.Opcode) -> None:
    """NOTIFY and UPDATE are REFUSED, their opcode echoed."""
    reply = reply_to(packet(QNAME + b"\x00\x06\x00\x01", flags=opcode << 11))
    assert (reply.rcode(), reply.opcode()) == (dns.rcode.REFUSED, opcode)


def test_flags_that_mean_nothing_are_cleared() -> None:
    """Of AA, TC, RD, RA, Z, AD and CD in a query only RD comes back."""
    reply = respond(packet(QNAME + A_IN, flags=0x07F0), ZONES, udp=True)
    assert reply is not None
    assert int.from_bytes(reply.message[2:4]) == 0x8500


def test_a_signed_query_is_notauth() -> None:
    """No TSIG key is known, so a signed query is NOTAUTH (RFC 8945, section 5.2.1)."""
    query = dns.message.make_query("www.example.net", "A")
    query.use_tsig(dns.tsigkeyring.from_text({"key.": "c2VjcmV0"}))
    reply = respond(query.to_wire(), ZONES, udp=True)
    assert reply is not None
    assert reply.rcode is Rcode.NOTAUTH


def test_a_record_behind_the_tsig_is_formerr() -> None:
    """A TSIG stands last."""
    tsig = b"\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00"
    reply = reply_to(packet(QNAME + A_IN + tsig + OPT, counts=(1, 0, 0, 2)))
    assert reply.rcode() == dns.rcode.FORMERR


def test_an_ixfr_query_is_read_with_its_soa() -> None:
    """IXFR brings an SOA whose owner is compressed; it is well formed and refused."""
    soa = b"\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x00\x00\x16\x00\x00" + bytes(20)
    reply = reply_to(packet(QNAME + b"\x00\xfb\x00\x01" + soa, counts=(1, 0, 1, 0)))
    assert reply.rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("fqdn", ["wWw.eXAMple.nEt", "gOne.EXAMPLE.net", "tExt.example.NET"])
def test_the_case_of_the_question_is_echoed(fqdn: str) -> None:
    """Question and owners have the case that was asked with (0x20), in negative answers too."""
    query = dns.message.make_query(fqdn, "A")
    reply = exchange(ZONES, query)
    assert reply.question[0].name.to_text() == fqdn + "."
    for section in (reply.answer, reply.authority):
        for found in section:
            assert (fqdn + ".").endswith(found.name.to_text())


def test_the_target_of_a_cname_keeps_its_own_case() -> None:
    """Names in rdata are not bent to the case of the question."""
    reply = exchange(ZONES, dns.message.make_query("alias.EXAMPLE.NET", "CNAME"))
    assert str(reply.answer[0][0]) == "WWW.Example.net."


def test_responses_are_compressed() -> None:
    """Owners point to any name already written, names of NS, SOA, CNAME and MX to those behind the question."""
    reply = respond(packet(QNAME + A_IN), ZONES, udp=True)
    assert reply is not None
    assert len(reply.message) == 12 + len(QNAME) + 4 + 2 * 16
    for rtype, size in (("NS", 130), ("SOA", 86)):
        built = dns.message.make_query("example.net", rtype, use_edns=False)
        found = respond(built.to_wire(), ZONES, udp=True)
        assert found is not None
        assert len(found.message) == size
    mail = exchange(ZONES, dns.message.make_query("mail.example.net", "MX"))
    assert str(mail.answer[0][0]) == "10 www.example.net."


def test_unknown_types_go_out_as_they_are() -> None:
    """A type without a name is served octet by octet (RFC 3597)."""
    reply = exchange(ZONES, dns.message.make_query("odd.example.net", "TYPE65280"))
    assert str(reply.answer[0][0]) == "\\# 3 010203"


@pytest.mark.parametrize(
    ("payload", "limit"), [(None, 512), (100, 512), (600, 600), (1231, 1231), (1400, 1232), (4096, 1232)]
)
def test_udp_is_truncated_to_the_size_of_the_client(payload: int | None, limit: int) -> None:
    """99 addresses exceed every UDP limit: TC, no records, and never more octets than allowed."""
    query = dns.message.make_query("many.example.net", "A", use_edns=False)
    if payload is not None:
        query.use_edns(0, 0, payload)
    reply = respond(query.to_wire(), ZONES, udp=True)
    assert reply is not None
    assert len(reply.message) <= limit
    read = dns.message.from_wire(reply.message)
    assert read.flags & dns.flags.TC
    assert (read.answer, read.edns) == ([], -1 if payload is None else 0)


def test_the_limit_is_used_to_its_last_octet() -> None:
    """A response of exactly the client's size is not truncated, one octet less room truncates it."""
    query = dns.message.make_query("crowd20.example.net", "A", use_edns=0, payload=1232)
    zones = _crowd(count=40)
    size = len(exchange(zones, query, udp=False).to_wire())
    for payload, truncated in ((size, False), (size - 1, True)):
        query.use_edns(0, 0, payload)
        assert bool(exchange(zones, query).flags & dns.flags.TC) is truncated


def test_tcp_is_not_truncated() -> None:
    """The same answer is whole over TCP."""
    reply = exchange(ZONES, dns.message.make_query("many.example.net", "A"), udp=False)
    assert (len(reply.answer[0]), bool(reply.flags & dns.flags.TC)) == (99, False)


def test_tcp_carries_as_many_addresses_as_fit() -> None:
    """5,000 IPv6 addresses exceed a TCP message: as many as fit into 65535 octets are told."""
    reply = respond(dns.message.make_query("crowd.example.net", "AAAA").to_wire(), ZONES, udp=False)
    assert reply is not None
    assert 65535 - 28 < len(reply.message) <= 65535
    assert len(dns.message.from_wire(reply.message).answer[0]) > 2300


def test_glue_that_does_not_fit_is_left_out() -> None:
    """Additional RRsets give way without TC (RFC 2181, section 9)."""
    zones = _servers(count=12)
    reply = exchange(zones, dns.message.make_query("example.net", "NS", use_edns=False))
    assert (len(reply.answer[0]), bool(reply.flags & dns.flags.TC)) == (12, False)
    assert 0 < len(reply.additional) < 12


def _crowd(count: int) -> Zones:
    return serving(
        zone(ORIGIN, 1, SOA, addresses("crowd20.example.net", *(f"192.0.2.{i}" for i in range(1, count + 1))))
    )


def _servers(count: int) -> Zones:
    names = [f"server-{i}.example.net" for i in range(count)]
    glue = [item for name in names for item in addresses(name, "192.0.2.1", "2001:db8::1")]
    servers = rrset(ORIGIN, RRType.NS, 60, [parse_name(name).wire for name in names])
    return serving(zone(ORIGIN, 1, SOA, [servers, *glue]))
