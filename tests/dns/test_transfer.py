"""Transfers as octets, read by dnspython."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.dns.message import BadQuery, Query, parse_query
from homing.dns.transfers.journal import Journal
from homing.dns.transfers.transfer import (
    MESSAGE_SIZE,
    Access,
    Kind,
    Record,
    Rule,
    axfr_records,
    client_serial,
    ixfr_records,
    messages,
)
from homing.errors import ModelError
from homing.model.name import parse_name
from homing.model.rrset import RRType, rrset
from homing.model.zone import Zone, succeed, zone
from tests.dns.test_journal import CONTENTS, SERIALS, Content, history, journal_of
from tests.dns.zones import ORIGIN, RRSETS, SERIAL, SOA, addresses

OWN = zone(ORIGIN, SERIAL, SOA, RRSETS)


def query(rtype: str = "AXFR", serial: int | None = None, *, edns: bool = False) -> tuple[bytes, Query]:
    """The query of a transfer."""
    message = dns.message.make_query("example.net", rtype, use_edns=0 if edns else False)
    if serial is not None:
        soa = f". . {serial} 0 0 0 0"
        message.authority.append(dns.rrset.from_text("example.net.", 0, "IN", "SOA", soa))
    wire = message.to_wire()
    return wire, parse_query(wire)


def read(wires: Iterable[bytes]) -> list[Record]:
    """The records of all messages in their order, as dnspython reads them, in the model's terms."""
    found: list[Record] = []
    for wire in wires:
        message = dns.message.from_wire(wire, one_rr_per_rrset=True, ignore_trailing=False)
        assert not message.authority
        for item in message.answer:
            rdata = item[0].to_wire(origin=dns.name.root)
            assert rdata is not None
            found.append((parse_name(item.name.to_text()), int(item.rdtype), item.ttl, rdata))
    return found


def content(version: Zone) -> Counter[Record]:
    """The records of a zone but its SOA."""
    return Counter((item.name, item.type, item.ttl, rdata) for item in version.rrsets() for rdata in item.rdatas)


def soa(version: Zone) -> Record:
    """The SOA record."""
    item = version.soa_rrset
    return (item.name, item.type, item.ttl, item.rdatas[0])


def followed(old: Zone, records: list[Record]) -> Counter[Record]:
    """What a secondary with the old version has after an answer to IXFR (RFC 1995, section 4)."""
    if len(records) == 1:
        return content(old)
    assert records[0] == records[-1]
    if len(records) == 2 or records[1][1] != RRType.SOA:
        return Counter(records[1:-1])
    held, removing = content(old), False
    for record in records[1:-1]:
        if record[1] == RRType.SOA:
            removing = not removing
        elif removing:
            assert held.pop(record) == 1
        else:
            assert record not in held
            held[record] = 1
    assert not removing
    return held


@pytest.mark.parametrize("edns", [False, True])
def test_axfr_is_the_zone_between_two_soas(edns: bool) -> None:
    """Every record comes once, the SOA first and last, case kept, in messages of up to 16 KB."""
    _, asked = query(edns=edns)
    wires = list(messages(asked, axfr_records(OWN)))
    records = read(wires)
    assert records[0] == records[-1] == soa(OWN)
    assert Counter(records[1:-1]) == content(OWN)
    assert len(wires) > 3
    assert all(len(wire) <= MESSAGE_SIZE for wire in wires)
    assert all(len(wire) > MESSAGE_SIZE * 0.9 for wire in wires[:-1])
    first = dns.message.from_wire(wires[0], one_rr_per_rrset=True)
    assert first.question
    assert (first.edns == 0) == edns


@given(st.integers(0, 700), st.integers(200, 2000))
def test_room_is_left_for_signatures(reserve: int, limit: int) -> None:
    """No message is longer than the limit less the reserve while its records fit, and nothing gets lost."""
    _, asked = query()
    small = zone(ORIGIN, 1, SOA, [item for item in RRSETS if len(item.rdatas) < 100])
    room = max(limit + reserve, reserve + 200)
    wires = list(messages(asked, axfr_records(small), reserve=reserve, limit=room))
    assert all(len(wire) <= room - reserve for wire in wires)
    assert Counter(read(wires)[1:-1]) == content(small)


@pytest.mark.parametrize("size", [*range(MESSAGE_SIZE - 90, MESSAGE_SIZE + 1, 10), 60000])
def test_a_record_of_nearly_the_whole_message_is_sent(size: int) -> None:
    """A record that does not fit into 16 KB with its name has a message of its own."""
    item = rrset(parse_name("large.of.its.own.example.net"), 65280, 60, [b"x" * size, b"y" * size])
    large = zone(ORIGIN, 1, SOA, [item, *RRSETS[:4]])
    _, asked = query()
    assert Counter(read(messages(asked, axfr_records(large)))[1:-1]) == content(large)


@given(SERIALS, CONTENTS)
def test_ixfr_leads_from_every_version_to_the_newest(start: int, contents: list[Content]) -> None:
    """A secondary with any version has the newest afterwards, whether by steps, by their sum or by the whole zone."""
    versions = history(start, contents)
    journal = journal_of(versions)
    newest = versions[-1]
    for old in versions:
        wire, asked = query("IXFR", old.serial)
        assert client_serial(wire, asked) == old.serial
        kind, records = ixfr_records(newest, old.serial, journal.since(old.serial))
        got = read(messages(asked, records))
        assert got[0] == soa(newest)
        assert followed(old, got) == content(newest)
        assert (kind is Kind.CURRENT) == (len(got) == 1) == (old is newest)


def test_several_differences_come_in_their_order() -> None:
    """Three changes of a zone that is larger than they are come as three differences."""
    journal, version = Journal(), OWN
    for index in range(3):
        new = succeed(version, [*OWN.rrsets(), *addresses("moving.example.net", f"192.0.2.{index + 1}")])
        journal.append(version, new)
        version = new
    kind, records = ixfr_records(version, OWN.serial, journal.since(OWN.serial))
    got = list(records)
    assert kind is Kind.STEPS
    assert sum(record[1] == RRType.SOA for record in got) == 2 + 2 * 3
    assert followed(OWN, got) == content(version)


def test_more_steps_than_zone_are_summed_up() -> None:
    """A record that flips 50 times in a small zone is one difference."""
    base = zone(ORIGIN, 1, SOA, addresses("a.example.net", *(f"192.0.2.{i}" for i in range(1, 9))))
    journal, version = Journal(), base
    for index in range(50):
        new = succeed(version, [*base.rrsets(), *addresses("b.example.net", f"198.51.100.{index}")])
        journal.append(version, new)
        version = new
    kind, records = ixfr_records(version, 1, journal.since(1))
    got = list(records)
    assert kind is Kind.STEPS
    assert len(got) == 2 + 2 + 1
    assert followed(base, got) == content(version)


def test_without_steps_ixfr_is_the_whole_zone() -> None:
    """A serial that the journal does not know gets what AXFR gives."""
    kind, records = ixfr_records(OWN, SERIAL - 1, None)
    assert kind is Kind.WHOLE
    assert Counter(records) == Counter(axfr_records(OWN))


def test_a_newer_client_is_current() -> None:
    """A client with a newer serial gets the SOA alone (RFC 1995, section 2)."""
    kind, records = ixfr_records(OWN, SERIAL + 1, None)
    assert kind is Kind.CURRENT
    assert list(records) == [soa(OWN)]


def test_an_ixfr_without_soa_is_malformed() -> None:
    """The client's version must be told (RFC 1995, section 3)."""
    wire = dns.message.make_query("example.net", dns.rdatatype.IXFR).to_wire()
    wire = wire[:8] + b"\0\0" + wire[10:]
    end = wire.index(b"\x00\xfb\x00\x01") + 4
    with pytest.raises(BadQuery):
        client_serial(wire[:end], parse_query(wire[:end]))


def test_access_goes_by_network_and_key() -> None:
    """One rule must allow the client: its network, where given, and its key, where given; nobody by default."""
    key, other = parse_name("key"), parse_name("other")
    inside, outside = ip_address("192.0.2.1"), ip_address("198.51.100.1")
    assert not Access().allows(inside, key)
    network = Rule(networks=(ip_network("192.0.2.0/24"),))
    assert Access((network,)).allows(inside, None)
    assert Access((network,)).allows(ip_address("::ffff:192.0.2.1"), None)
    assert not Access((network,)).allows(outside, key)
    both = Access((Rule(network.networks, key),))
    assert both.allows(inside, key)
    assert not both.allows(inside, None)
    assert not both.allows(inside, other)
    assert not both.allows(outside, key)
    assert Access((network, Rule(key=key))).allows(outside, key)
    with pytest.raises(ModelError):
        Rule()
