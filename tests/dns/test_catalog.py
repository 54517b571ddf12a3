"""The catalog zone (RFC 9432)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.dns.transfers.catalog import PTR, catalog_rrsets, catalog_soa, member_id
from homing.errors import ModelError
from homing.model.name import Name, parse_name
from homing.model.rrset import RRType
from homing.model.zone import zone

CATALOG = parse_name("catalog.invalid")
names = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4).map(lambda labels: Name(tuple(labels)))


def test_a_catalog_has_its_version_and_a_name_server() -> None:
    """RFC 9432, sections 4.1 and 4.2: NS invalid., version 2, and members below ``zones``."""
    made = zone(CATALOG, 1, catalog_soa(), catalog_rrsets(CATALOG, [parse_name("example.net")]))
    assert [item.rdatas for item in made.nodes[CATALOG].values() if item.type == RRType.NS] == [(b"\x07invalid\0",)]
    assert made.nodes[CATALOG.prefixed("version")][RRType.TXT].rdatas == (b"\x012",)
    member = CATALOG.prefixed("zones").prefixed(member_id(parse_name("example.net")))
    assert made.nodes[member][PTR].rdatas == (parse_name("example.net").wire,)


@given(st.sets(names), names)
def test_a_member_keeps_its_label_whatever_comes_and_goes(others: set[Name], member: Name) -> None:
    """The label depends on the member's name alone, not on its case, and no two members share one."""
    found = set(catalog_rrsets(CATALOG, [*others, member]))
    assert set(catalog_rrsets(CATALOG, [Name(tuple(label.upper() for label in member.labels))])) <= found
    assert len(found) == 2 + len({*others, member})


def test_a_name_without_room_for_members_is_refused() -> None:
    """A catalog's name must leave 40 octets."""
    with pytest.raises(ModelError):
        catalog_rrsets(Name((b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 40)), [CATALOG])
