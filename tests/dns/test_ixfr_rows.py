"""IXFR as octets: applied to the version that the client has, it gives the newest, record for record."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import dns.message
import dns.rdatatype
from hypothesis import given, settings
from hypothesis import strategies as st

from homing.dns.message import parse_query
from homing.dns.transfers.journal import Journal, Step, condense
from homing.dns.transfers.transfer import Kind, Record, ixfr_records, messages
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType, rrset
from homing.model.zone import Soa, Zone, amend, serial_add, succeed, zone

ORIGIN = parse_name("example.org")
SOA = Soa(parse_name("ns1.example.org"), parse_name("hostmaster.example.org"))
LABELS = ("www", "WWW", "a.b.c", "c", "B.c", "n1", "n2")
Edit = dict[tuple[str, RRType], tuple[int, int]]

edits = st.lists(
    st.tuples(
        st.dictionaries(
            st.tuples(st.sampled_from(LABELS), st.sampled_from([RRType.A, RRType.TXT, RRType.NS])),
            st.tuples(st.integers(0, 40), st.integers(1, 2)),
            max_size=4,
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def flat(sets: Iterable[RRset]) -> set[tuple[Name, int, int, bytes]]:
    """Single records."""
    return {(item.name, item.type, item.ttl, rdata) for item in sets for rdata in item.rdatas}


def whole(version: Zone) -> set[tuple[Name, int, int, bytes]]:
    """All records of a version."""
    return flat((version.soa_rrset, *version.rrsets()))


def rdata_of(rtype: RRType, number: int) -> bytes:
    """Different data for each number."""
    if rtype == RRType.A:
        return bytes((192, 0, 2, number))
    return parse_name(f"n{number}.example.net").wire if rtype == RRType.NS else b"\x02%02d" % number


def versions(start: int, rows: list[tuple[Edit, bool]]) -> list[Zone]:
    """Each next version; where told so, the SOA changes too."""
    made = [zone(ORIGIN, start, SOA, ())]
    for row, touch in rows:
        changes: dict[tuple[Name, int], RRset | None] = {}
        for (label, rtype), (count, ttl) in row.items():
            name = parse_name(f"{label}.example.org")
            data = [rdata_of(rtype, number) for number in range(count)]
            changes[name, rtype] = rrset(name, rtype, ttl, data) if count else None
        new, _ = amend(made[-1], changes)
        if touch:
            old = made[-1]
            soa = Soa(SOA.mname, SOA.rname, minimum=old.soa.minimum + 1)
            new = succeed(old, new.rrsets(), soa)
        if new is not made[-1]:
            made.append(new)
    return made


def received(old: Zone, records: list[Record]) -> set[tuple[Name, int, int, bytes]]:
    """What a client makes of an IXFR (RFC 1995, section 4), which refuses what does not fit."""
    soa, held = records[0], whole(old)
    assert records[-1] == soa
    removing = False
    for record in records[1:-1]:
        if record[1] == RRType.SOA:
            removing = not removing
        if removing:
            held.remove(record)
        else:
            assert record not in held
            held.add(record)
    assert soa in held
    return held


@settings(max_examples=200)
@given(st.sampled_from([1, 2**31 - 2, 2**32 - 3]), edits)
def test_steps_lead_any_client_to_the_newest_version(start: int, rows: list[tuple[Edit, bool]]) -> None:
    """TTLs that change, RRsets replaced, the SOA alone, names that come and go: condensed or not."""
    made = versions(start, rows)
    journal = Journal()
    for old, new in itertools.pairwise(made):
        journal.append(old, new)
    newest = made[-1]
    for old in made[:-1]:
        steps = journal.since(old.serial)
        assert steps
        for given_steps in (steps, (condense(steps),)):
            kind, records = ixfr_records(newest, old.serial, given_steps)
            found = list(records)
            if kind is Kind.STEPS:
                assert received(old, found) == whole(newest)
            else:
                assert set(found) == whole(newest)
        assert received(old, sent((condense(steps),), newest)) == whole(newest)
    assert ixfr_records(newest, newest.serial, ())[0] is Kind.CURRENT
    assert ixfr_records(newest, serial_add(newest.serial, 5), None)[0] is Kind.CURRENT


def sent(steps: tuple[Step, ...], newest: Zone) -> list[Record]:
    """The records of a transfer of these steps, whatever their number."""
    found: list[Record] = []
    for item in steps:
        for sets in ((item.old_soa, *item.removed), (item.new_soa, *item.added)):
            found += [(each.name, each.type, each.ttl, rdata) for each in sets for rdata in each.rdatas]
    (rdata,) = newest.soa_rrset.rdatas
    soa = (ORIGIN, int(RRType.SOA), newest.soa.ttl, rdata)
    return [soa, *found, soa]


@settings(max_examples=50)
@given(edits, st.sampled_from([300, 600, 16384]))
def test_messages_carry_every_record_whatever_their_size(rows: list[tuple[Edit, bool]], limit: int) -> None:
    """As another implementation reads them, each within its limit."""
    newest = versions(1, rows)[-1]
    query = parse_query(dns.message.make_query("example.org", "AXFR").to_wire())
    records = [(item.name, item.type, item.ttl, rdata) for item in newest.rrsets() for rdata in item.rdatas]
    count = 0
    for packet in messages(query, records, limit=limit):
        assert len(packet) <= limit
        read = dns.message.from_wire(packet, xfr=True, one_rr_per_rrset=True)
        count += len(read.answer)
    assert count == len(records)
