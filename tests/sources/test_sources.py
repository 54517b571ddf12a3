"""What a name should hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homing.model.address import Address, Family, parse_address
from homing.sources import InterfaceSource, StaticSource, View, WanSource

V4, V6 = parse_address("8.8.8.8"), parse_address("2a00:1:2:3::99")
families = st.frozensets(st.sampled_from(Family), min_size=1)
views = st.dictionaries(st.sampled_from(Family), st.none()).map(
    lambda known: View({family: V4 if family is Family.V4 else V6 for family in known})
)


@given(families, views)
def test_the_wan_source_never_speaks_of_what_is_not_known(wanted: frozenset[Family], view: View) -> None:
    """Law 1: it holds the known addresses of its families and states no absence."""
    sourced = WanSource(wanted).addresses(view)
    assert set(sourced.addresses) == {view.wan[family] for family in wanted if family in view.wan}
    assert not sourced.none_of
    assert bool(sourced.missing) is not bool(sourced.addresses)


def test_a_host_id_moves_with_the_prefix() -> None:
    """U6: the site's prefix with the host's own low half; IPv4 is untouched."""
    source = WanSource(frozenset(Family), host_id=0x10)
    assert source.addresses(View({Family.V4: V4, Family.V6: V6})).addresses == (V4, parse_address("2a00:1:2:3::10"))


def test_static_addresses_state_the_family_they_leave_out() -> None:
    """What a person wrote is positive: the other family is none."""
    assert StaticSource((V4,)).addresses(View()).none_of == {Family.V6}


def test_own_addresses_are_filtered_for_the_world() -> None:
    """A public provider gets no private address; the own zone gets all; no address at all is told, not published."""
    own: tuple[Address, ...] = (parse_address("192.168.1.2"), V6)
    both = frozenset(Family)
    assert InterfaceSource(both).addresses(View(own=own)).addresses == (V6,)
    assert InterfaceSource(both, public=False).addresses(View(own=own)).addresses == own
    assert InterfaceSource(both).addresses(View(own=own[:1])).missing
    assert not InterfaceSource(both).addresses(View(own=own[:1])).none_of
