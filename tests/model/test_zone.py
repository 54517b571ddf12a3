"""Zones, differences and serials."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.errors import ModelError
from homing.model.address import parse_address
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType, address_rrsets, rrset
from homing.model.zone import Soa, amend, diff, serial_add, serial_gt, succeed, zone

ORIGIN = parse_name("example.org")
SOA = Soa(parse_name("ns1.example.org"), parse_name("hostmaster.example.org"))

rrsets = st.dictionaries(
    st.sampled_from(["www", "mail", "a.b.c", "deep.www"]),
    st.sets(st.ip_addresses(v=4), min_size=1, max_size=3),
).map(
    lambda found: [
        item
        for label, addresses in found.items()
        for item in address_rrsets(parse_name(f"{label}.example.org"), 30, addresses)
    ]
)


@pytest.mark.parametrize(
    ("a", "b", "newer"),
    [
        (1, 0, True),
        (0, 1, False),
        (44, 0, True),
        (0, 2**32 - 1, True),
        (2**31 - 1, 0, True),
        (2**31, 0, False),
        (7, 7, False),
    ],
)
def test_serials_compare_by_rfc_1982(a: int, b: int, newer: bool) -> None:
    """RFC 1982, section 3.2, with its undefined case told as not newer."""
    assert serial_gt(a, b) is newer


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**31 - 1))
def test_adding_makes_a_newer_serial(serial: int, count: int) -> None:
    """RFC 1982, section 3.1: s + n > s for any n that is allowed."""
    assert serial_gt(serial_add(serial, count), serial)


@given(rrsets, rrsets)
def test_serial_grows_with_content_and_only_then(before: list[RRset], after: list[RRset]) -> None:
    """C7: equal content keeps the version, other content is one serial on."""
    old = zone(ORIGIN, 41, SOA, before)
    new = succeed(old, after)
    assert set(new.rrsets()) == set(after)
    assert new.serial == (41 if set(before) == set(after) else 42)


@given(rrsets, rrsets)
def test_amending_gives_what_building_anew_gives(before: list[RRset], after: list[RRset]) -> None:
    """C7: a version made by its differences has the same nodes, empty non-terminals too, as one made of all RRsets."""
    old = zone(ORIGIN, 41, SOA, before)
    changes: dict[tuple[Name, int], RRset | None] = {item.key: None for item in before}
    changes.update((item.key, item) for item in after)
    new, change = amend(old, changes)
    assert new == succeed(old, after)
    assert (set(change.removed), set(change.added)) == tuple(map(set, (diff(old, new).removed, diff(old, new).added)))
    assert (new is old) is change.is_empty


keys = st.tuples(
    st.sampled_from(["", "www.", "WWW.", "a.b.c.", "B.c.", "c.", "x.www.", "*.c.", "a.B.C."]),
    st.sampled_from([RRType.A, RRType.NS, RRType.CNAME, RRType.DNAME, RRType.TXT]),
)
edits = st.lists(st.dictionaries(keys, st.tuples(st.integers(0, 2), st.integers(1, 2)), max_size=4), max_size=8)


@given(edits)
def test_any_row_of_amendments_is_what_building_anew_gives(
    rows: list[dict[tuple[str, RRType], tuple[int, int]]],
) -> None:
    """Or both refuse it: with aliases, wildcards, names above others that come and go, and any case of names."""
    version = zone(ORIGIN, 2**32 - 3, SOA, ())
    for row in rows:
        changes: dict[tuple[Name, int], RRset | None] = {}
        for (label, rtype), (count, ttl) in row.items():
            name = parse_name(f"{label}example.org")
            changes[name, rtype] = rrset(name, rtype, ttl, [b"%d" % n for n in range(count)]) if count else None
        wanted = {item.key: item for item in version.rrsets()}
        for key, item in changes.items():
            wanted.pop(key, None)
            if item is not None:
                wanted[key] = item
        try:
            anew = succeed(version, wanted.values())
        except ModelError:
            with pytest.raises(ModelError):
                amend(version, changes)
            continue
        amended, change = amend(version, changes)
        assert amended == anew
        assert set(amended.nodes) == set(anew.nodes)
        assert amended.records == anew.records == 1 + sum(len(item.rdatas) for item in anew.rrsets())
        found = diff(version, amended)
        assert (set(change.removed), set(change.added)) == (set(found.removed), set(found.added))
        version = amended


def test_amending_refuses_contradictions() -> None:
    """What no zone may hold comes into none by a change, unless the same change takes the reason away."""
    name = parse_name("www.example.org")
    a = rrset(name, RRType.A, 30, [b"\x01\x02\x03\x04"])
    cname = rrset(name, RRType.CNAME, 30, [ORIGIN.wire])
    outside = rrset(parse_name("example.com"), RRType.A, 30, [b"\x01\x02\x03\x04"])
    old = zone(ORIGIN, 1, SOA, [a])
    for wrong in (cname, outside):
        with pytest.raises(ModelError):
            amend(old, {wrong.key: wrong})
    assert amend(old, {a.key: None, cname.key: cname})[0].rrsets() == (cname,)


@given(rrsets, rrsets)
def test_a_difference_leads_from_one_version_to_the_next(before: list[RRset], after: list[RRset]) -> None:
    """Old without what is removed, with what is added, is new."""
    old, new = zone(ORIGIN, 1, SOA, before), zone(ORIGIN, 2, SOA, after)
    change = diff(old, new)
    assert set(old.rrsets()) - set(change.removed) | set(change.added) == set(new.rrsets())


def test_empty_non_terminals_exist() -> None:
    """RFC 8020: a name with names below it exists."""
    version = zone(ORIGIN, 1, SOA, address_rrsets(parse_name("a.b.example.org"), 30, [parse_address("192.0.2.1")]))
    assert parse_name("b.example.org") in version.nodes
    assert not version.nodes[parse_name("b.example.org")]


def test_negative_answers_live_for_the_lesser_of_ttl_and_minimum() -> None:
    """RFC 2308, section 3."""
    version = zone(ORIGIN, 1, Soa(SOA.mname, SOA.rname, minimum=5, ttl=300), ())
    assert (version.soa_rrset.ttl, version.negative_soa.ttl) == (300, 5)


def test_contradictions_are_refused() -> None:
    """A zone holds neither foreign names, nor an RRset twice, nor a CNAME beside other records."""
    name = parse_name("www.example.org")
    a = rrset(name, RRType.A, 30, [b"\x01\x02\x03\x04"])
    cname = rrset(name, RRType.CNAME, 30, [ORIGIN.wire])
    for wrong in ([a, a], [a, cname], [rrset(parse_name("example.com"), RRType.A, 30, [b"\x01\x02\x03\x04"])]):
        with pytest.raises(ModelError):
            zone(ORIGIN, 1, SOA, wrong)


def test_thousands_of_names_leave_in_one_pass() -> None:
    """What many names leaving costs grows with their number, not with its square; empty names above go along."""
    origin = parse_name("large.test")
    names = [parse_name(f"www.n{n}.large.test") for n in range(4000)]
    start = zone(origin, 1, SOA, [rrset(name, RRType.A, 60, [bytes(4)]) for name in names])
    began = time.process_time()
    found, gone = amend(start, {(name, int(RRType.A)): None for name in names[1:]})
    assert time.process_time() - began < 0.5
    assert len(gone.removed) == 3999
    assert set(found.nodes) == {origin, names[0], parse_name("n0.large.test")}
