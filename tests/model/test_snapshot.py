"""Zone versions as plain data and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.errors import ModelError
from homing.model.name import Name
from homing.model.rrset import rrset
from homing.model.snapshot import zone_from_data, zone_to_data
from homing.model.zone import Soa, zone

ORIGIN = Name((b"example", b"net"))
SOA = Soa(ORIGIN.prefixed("ns1"), ORIGIN.prefixed("admin"), minimum=17, ttl=4)
records = st.builds(
    lambda label, rtype, ttl, rdatas: rrset(ORIGIN.prefixed(label), rtype, ttl, rdatas),
    st.binary(min_size=1, max_size=63),
    st.integers(256, 65535),
    st.integers(0, 2**31 - 1),
    st.lists(st.binary(max_size=30), min_size=1, max_size=4),
)


@given(st.lists(records, max_size=6, unique_by=lambda item: item.key), st.integers(0, 2**32 - 1))
def test_a_zone_comes_back_from_json_as_it_was(rrsets: list[Any], serial: int) -> None:
    """Names of any octets, case, TTLs, rdata, SOA and serial survive JSON."""
    before = zone(ORIGIN, serial, SOA, rrsets)
    after = zone_from_data(json.loads(json.dumps(zone_to_data(before))))
    assert after == before
    assert {item.name.labels for item in after.rrsets()} == {item.name.labels for item in before.rrsets()}


GOOD = zone_to_data(zone(ORIGIN, 1, SOA, [rrset(ORIGIN.prefixed("www"), 1, 60, [b"\xc0\x00\x02\x01"])]))


@pytest.mark.parametrize(
    "damage",
    [
        None,
        [],
        {},
        {**GOOD, "format": 2},
        {**GOOD, "serial": "1"},
        {**GOOD, "serial": 2**32},
        {**GOOD, "origin": "other.test."},
        {**GOOD, "origin": 5},
        {**GOOD, "soa": {**GOOD["soa"], "extra": 1}},
        {**GOOD, "soa": {"mname": "a."}},
        {**GOOD, "rrsets": [{"name": "www.example.net."}]},
        {**GOOD, "rrsets": [{**GOOD["rrsets"][0], "rdatas": ["zz"]}]},
        {**GOOD, "rrsets": [{**GOOD["rrsets"][0], "rdatas": []}]},
        {**GOOD, "rrsets": [{**GOOD["rrsets"][0], "type": 70000}]},
        {**GOOD, "rrsets": [{**GOOD["rrsets"][0], "type": "A"}]},
        {**GOOD, "rrsets": GOOD["rrsets"] * 2},
        {**GOOD, "rrsets": 7},
    ],
)
def test_damaged_data_is_a_model_error(damage: Any) -> None:
    """Whatever is not a snapshot is refused with the one error, never another."""
    with pytest.raises(ModelError):
        zone_from_data(damage)
