"""Plans: applying a difference gives the wanted state, and a second time there is none."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from homing.model.address import parse_address
from homing.model.name import parse_name
from homing.model.rrset import RRset, RRType, address_rrsets
from homing.plan import Action, Published, diff
from homing.plan.diff import apply
from homing.records import Want, want_addresses

names = st.sampled_from([parse_name(f"{label}.example.org") for label in ("www", "mail", "vpn")])
providers = st.sampled_from(["strato", "gandi"])
addresses = st.sets(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), max_size=4)
ttls = st.sampled_from([60, 300])


def _published(sets: Iterable[tuple[str, RRset]]) -> Published:
    return {(provider, item.name, item.type): item for provider, item in sets}


@st.composite
def states(draw: st.DrawFn) -> Published:
    found: dict[tuple[str, object], tuple[RRset, ...]] = {}
    for _ in range(draw(st.integers(0, 4))):
        provider, name = draw(providers), draw(names)
        found[provider, name] = address_rrsets(name, draw(ttls), draw(addresses))
    return _published((key[0], item) for key, sets in found.items() for item in sets)


@st.composite
def wants(draw: st.DrawFn) -> list[Want]:
    from homing.model.address import Family

    found = {}
    for _ in range(draw(st.integers(0, 4))):
        provider, name = draw(providers), draw(names)
        none_of = draw(st.sets(st.sampled_from(Family)))
        found[provider, name] = want_addresses(provider, name, draw(ttls), draw(addresses), none_of=none_of)
    return list(found.values())


@given(states(), wants())
def test_applying_a_plan_gives_what_is_wanted(published: Published, wanted: list[Want]) -> None:
    """Every wanted RRset is there afterwards, every absent type is not."""
    after = apply(published, diff(published, wanted))
    for want in wanted:
        assert all(after[want.provider, want.name, item.type] == item for item in want.rrsets)
        assert not any((want.provider, want.name, rtype) in after for rtype in want.absent)


@given(states(), wants())
def test_a_plan_applied_leaves_nothing_to_plan(published: Published, wanted: list[Want]) -> None:
    """Twice changes nothing."""
    after = apply(published, diff(published, wanted))
    assert diff(after, wanted).changes == ()


@given(states(), wants())
def test_what_is_not_spoken_of_stays(published: Published, wanted: list[Want]) -> None:
    """Law 1: a type that a want does not name, and a name that nobody wants, keep what they hold."""
    after = apply(published, diff(published, wanted))
    spoken = {(want.provider, want.name, rtype) for want in wanted for rtype in want.types}
    assert {key: item for key, item in after.items() if key not in spoken} == {
        key: item for key, item in published.items() if key not in spoken
    }


@given(states(), wants())
def test_a_full_list_removes_what_nobody_wants(published: Published, wanted: list[Want]) -> None:
    """Where wants are a full list, names nobody wants go, marked as inferred."""
    plan = diff(published, wanted, listed=frozenset({"strato"}))
    after = apply(published, plan)
    kept = {(want.provider, want.name) for want in wanted}
    assert all(key[0] != "strato" or key[:2] in kept for key in after)
    assert all(item.inferred == ((item.provider, item.name) not in kept) for item in plan.changes)


def test_an_unchanged_family_travels_along() -> None:
    """``wanted`` holds both families although only one changes: some providers drop the one not sent."""
    name = parse_name("www.example.org")
    before = address_rrsets(name, 60, [IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")])
    want = want_addresses("strato", name, 60, [parse_address("192.0.2.2")])
    (change,) = diff(_published(("strato", item) for item in before), [want]).changes
    assert [item.type for item in change.changes] == [RRType.A]
    assert {value for item in change.wanted for value in item.values} == {"192.0.2.2", "2001:db8::1"}
    assert change.changes[0].action is Action.REPLACE
    assert str(change.changes[0]) == "A 192.0.2.1 -> 192.0.2.2"


@given(states(), wants(), wants())
def test_a_hash_stands_for_exactly_these_changes(published: Published, one: list[Want], other: list[Want]) -> None:
    """Equal plans have equal hashes, others have others."""
    first, second = diff(published, one), diff(published, other)
    assert (first.hash == second.hash) is (
        [c.changes for c in first.changes] == [c.changes for c in second.changes]
        and [c.provider for c in first.changes] == [c.provider for c in second.changes]
    )
