"""A transfer as its client reads it, and what of it is put onto a zone."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable
from dataclasses import replace

import dns.message
import dns.name
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dns.zone
from homing.dns.message import parse_query
from homing.dns.transfers.inbound import (
    Current,
    Inbound,
    Refused,
    Steps,
    Whole,
    applied,
    replaced,
    transfer_query,
    zone_of,
)
from homing.dns.transfers.journal import Step, step
from homing.dns.transfers.transfer import Record, axfr_records, client_serial, ixfr_records, messages
from homing.dns.transfers.tsig import Signer, Verifier, tsig_key
from homing.errors import MessageError, ModelError
from homing.model.rrset import RRType
from homing.model.zone import Zone, diff, succeed, zone
from tests.dns.test_journal import CONTENTS, SERIALS, Content, history, journal_of
from tests.dns.zones import ORIGIN, RRSETS, SERIAL, SOA, addresses

OWN = zone(ORIGIN, SERIAL, SOA, RRSETS)
LATER = succeed(OWN, (*RRSETS, *addresses("new.example.net", "192.0.2.99")))
IDENT = 4711


def answer(held: Zone | None, records: Iterable[Record], limit: int = 16384) -> list[bytes]:
    """The messages of a server that answers with these records."""
    return list(messages(parse_query(transfer_query(IDENT, ORIGIN, held)), records, limit=limit))


def taken(held: Zone | None, packets: Iterable[bytes]) -> Current | Whole | Steps:
    """What a client makes of them, of which none may be too many."""
    inbound = Inbound(IDENT, ORIGIN, held)
    ends = [inbound.take(packet) for packet in packets]
    assert ends == [False] * (len(ends) - 1) + [True]
    assert inbound.result is not None
    return inbound.result


def same(one: Zone, other: Zone) -> bool:
    """Whether two versions are one: content, SOA and serial."""
    return diff(one, other).is_empty and one.soa_rrset == other.soa_rrset


@given(SERIALS, CONTENTS, st.integers(100, 400))
def test_differences_lead_to_what_the_server_has(start: int, contents: list[Content], limit: int) -> None:
    """Each of them, through the wrap of serials too, in as many messages as it takes."""
    versions = history(start, contents)
    journal = journal_of(versions)
    for held in versions[:-1]:
        _, records = ixfr_records(versions[-1], held.serial, journal.since(held.serial))
        found = taken(held, answer(held, records, limit))
        now = held
        if isinstance(found, Whole):
            now = zone_of(ORIGIN, found)
        else:
            assert isinstance(found, Steps)
            for item in found.steps:
                before, (now, changed) = now, applied(now, item)
                assert same(now, next(version for version in versions if version.serial == now.serial))
                known, found_out = step(before, now, changed), step(before, now)
                assert (set(known.removed), set(known.added)) == (set(found_out.removed), set(found_out.added))
        assert same(now, versions[-1])


def test_the_whole_zone_is_taken_as_it_is() -> None:
    """All types, the case of names, many messages; the same by AXFR, and by IXFR where the server knows no steps."""
    for held in (None, replace(OWN, serial=1)):
        found = taken(held, answer(held, axfr_records(OWN)))
        assert isinstance(found, Whole)
        got = zone_of(ORIGIN, found)
        assert same(got, OWN)
        assert [str(name) for name in got.nodes] == [str(name) for name in OWN.nodes]
    assert replaced(replace(OWN, serial=1), got).is_empty
    with pytest.raises(ModelError, match="not above"):
        replaced(LATER, got)
    bare = zone(ORIGIN, 7, SOA, ())
    found = taken(None, answer(None, axfr_records(bare)))
    assert isinstance(found, Whole)
    assert same(zone_of(ORIGIN, found), bare)


def test_nothing_newer_is_one_soa() -> None:
    """With the serial of the client, or an older one: the server is behind."""
    assert taken(OWN, answer(OWN, ixfr_records(OWN, SERIAL, None)[1])) == Current(SERIAL)
    assert taken(LATER, answer(LATER, ixfr_records(OWN, LATER.serial, None)[1])) == Current(SERIAL)


def test_the_query_is_understood() -> None:
    """By our own server and by dnspython."""
    query = transfer_query(IDENT, ORIGIN, OWN)
    assert client_serial(query, parse_query(query)) == SERIAL
    read = dns.message.from_wire(query)
    assert (read.question[0].rdtype, read.authority[0][0].serial) == (dns.rdatatype.IXFR, SERIAL)
    assert dns.message.from_wire(transfer_query(IDENT, ORIGIN, None)).question[0].rdtype == dns.rdatatype.AXFR


def test_what_another_server_writes_is_read() -> None:
    """Names compressed as dnspython does."""
    text = "@ 60 SOA ns1 admin 9 1 2 3 4\n@ 60 NS ns1\n@ 60 MX 10 mail\nmail 60 A 192.0.2.1\nw 60 CNAME mail\n"
    theirs = dns.zone.from_text(text, ORIGIN.text)
    response = dns.message.make_response(dns.message.from_wire(transfer_query(IDENT, ORIGIN, None)))
    soa = theirs.get_rrset("@", "SOA")
    assert soa is not None
    rest = [
        dns.rrset.from_rdata(name.derelativize(theirs.origin or dns.name.root), ttl, rdata)
        for name, ttl, rdata in theirs.iterate_rdatas()
        if rdata.rdtype != dns.rdatatype.SOA
    ]
    soa.name = soa.name.derelativize(theirs.origin or dns.name.root)
    response.answer += [soa, *rest, soa]
    found = taken(None, [response.to_wire(origin=theirs.origin)])
    assert isinstance(found, Whole)
    got = zone_of(ORIGIN, found)
    assert (got.serial, len(got.rrsets())) == (9, 4)


STEP = step(OWN, LATER)
WWW = addresses("www.example.net", "192.0.2.1", "192.0.2.2")


@pytest.mark.parametrize(
    "wrong",
    [
        replace(STEP, old_soa=LATER.soa_rrset),
        replace(STEP, new_soa=OWN.soa_rrset),
        replace(STEP, new_soa=replace(OWN, serial=SERIAL - 1).soa_rrset),
        replace(STEP, removed=addresses("gone.example.net", "192.0.2.1")),
        replace(STEP, removed=addresses("www.example.net", "192.0.2.9")),
        replace(STEP, removed=addresses("www.example.net", "192.0.2.1", ttl=61)),
        replace(STEP, removed=(*WWW, *WWW)),
        replace(STEP, added=WWW),
        replace(STEP, added=addresses("www.example.net", "192.0.2.9", ttl=61)),
        replace(STEP, added=addresses("www.example.org", "192.0.2.9")),
        replace(STEP, added=addresses("alias.example.net", "192.0.2.9")),
    ],
)
def test_a_difference_that_does_not_fit_is_refused(wrong: Step) -> None:
    """It begins elsewhere, leads back, removes what is not there, adds what is, or makes no zone."""
    with pytest.raises(ModelError):
        applied(OWN, wrong)


def test_a_refusal_says_why() -> None:
    """As its response code."""
    packet = bytearray(answer(None, axfr_records(OWN))[0])
    packet[3] |= 5
    with pytest.raises(Refused) as told:
        Inbound(IDENT, ORIGIN, None).take(bytes(packet))
    assert told.value.rcode == 5


def test_records_that_are_no_transfer_are_refused() -> None:
    """Without an SOA in front, with one too many, of another zone, with steps that do not join, going on too long."""
    whole = list(axfr_records(OWN))
    soa, later = whole[0], next(axfr_records(LATER))
    elsewhere = (parse_query(transfer_query(1, WWW[0].name, None)).question.name, *soa[1:])
    for records in (
        whole[1:],
        [*whole[:3], later, *whole[3:]],
        [elsewhere, *whole[1:]],
        [*whole, whole[1]],
        [later, soa, soa, later],
        [later, soa, later, whole[1], soa, later, later],
    ):
        inbound = Inbound(IDENT, ORIGIN, OWN)
        with contextlib.suppress(MessageError):
            for packet in answer(OWN, records):
                inbound.take(packet)
            assert inbound.result is None


@given(st.randoms(use_true_random=False), st.integers(1, 5))
def test_damaged_messages_raise_nothing_but_message_errors(chance: random.Random, count: int) -> None:
    """Whatever octets are changed; what comes out of it is put onto a zone, or refused."""
    packets = answer(OWN, ixfr_records(LATER, SERIAL, (STEP,))[1])
    inbound = Inbound(IDENT, ORIGIN, OWN)
    with contextlib.suppress(MessageError, ModelError):
        for packet in packets:
            damaged = bytearray(packet)
            for _ in range(count):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            inbound.take(bytes(damaged)[: chance.choice([None, len(damaged) - 1])])
        if isinstance(inbound.result, Steps):
            for item in inbound.result.steps:
                applied(OWN, item)
        elif isinstance(inbound.result, Whole):
            zone_of(ORIGIN, inbound.result)


@given(st.binary(max_size=200))
def test_any_octets_raise_nothing_but_message_errors(packet: bytes) -> None:
    """Behind a header that fits."""
    header = IDENT.to_bytes(2) + b"\x84\0\0\0\0\3\0\0\0\0"
    with contextlib.suppress(MessageError):
        Inbound(IDENT, ORIGIN, OWN).take(header + packet)


def test_every_message_of_a_stream_is_checked() -> None:
    """One that is changed, left out, sent twice, not signed, or of another question does not hold."""
    key = tsig_key("k", "hmac-sha256", "c2VjcmV0IG9mIHRoZSB0ZXN0cyB3aXRoIDMyIGJ5dGVzISE=")
    request = Signer(key)
    request.sign(transfer_query(IDENT, ORIGIN, None), 1000)
    signer = Signer(key, request.mac)
    plain = answer(None, axfr_records(OWN))
    first, second, third, *_ = [signer.sign(packet, 1000) for packet in plain]

    def fails(*packets: bytes, mac: bytes = request.mac, now: float = 1000) -> bool:
        verifier = Verifier(key, mac)
        try:
            for packet in packets:
                verifier.check(packet, now)
        except MessageError:
            return True
        return False

    assert not fails(first, second, third)
    assert Verifier(key, request.mac).check(first, 1200) == plain[0]
    assert fails(first, third)
    assert fails(first, first)
    assert fails(second)
    assert fails(first, plain[1])
    assert fails(first[:100] + bytes([first[100] ^ 1]) + first[101:])
    assert fails(first, mac=b"x" * 32)
    assert fails(first, now=2000)
    other = Signer(tsig_key("other", "hmac-sha256", "c2VjcmV0"), request.mac)
    assert fails(other.sign(plain[0], 1000))


def test_a_soa_that_cannot_be_read_is_refused() -> None:
    """Shorter than its numbers."""
    packet = answer(None, [(ORIGIN, int(RRType.SOA), 60, OWN.soa_rrset.rdatas[0][:-1])])[0]
    with pytest.raises(MessageError):
        Inbound(IDENT, ORIGIN, None).take(packet)
