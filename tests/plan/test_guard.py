"""The guard: publishing is suspicious."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.model.address import parse_address
from homing.model.name import parse_name
from homing.model.rrset import RRset, address_rrsets
from homing.plan import GuardPolicy, Plan, Published, diff, guard
from homing.records import want_addresses

NOW = 1_700_000_000.0


def _zone(count: int) -> Published:
    sets: dict[tuple[str, object, int], RRset] = {}
    for number in range(count):
        name = parse_name(f"host{number}.example.org")
        for item in address_rrsets(name, 60, [parse_address(f"8.8.4.{number % 250}")]):
            sets["gandi", name, item.type] = item
    return sets  # type: ignore[return-value]


def _removing(total: int, removed: int) -> Plan:
    published = _zone(total)
    kept = [want_addresses(key[0], key[1], 60, item.addresses) for key, item in list(published.items())[removed:]]
    return diff(published, kept, listed=frozenset({"gandi"}))


@given(st.integers(1, 60), st.data())
def test_mass_removals_wait(total: int, data: st.DataObject) -> None:
    """From 10 names up, removing all or more than 30 % is held; less passes."""
    removed = data.draw(st.integers(0, total))
    plan = guard(_removing(total, removed), GuardPolicy(published={"gandi": total}), NOW)
    too_much = total >= 10 and (removed == total or removed > 0.3 * total) and removed > 0
    assert bool(plan.held) is too_much
    assert len(plan.held) == (removed if too_much else 0)


def test_a_person_approves_by_the_hash() -> None:
    """``--accept HASH`` lets exactly that plan pass."""
    plan = _removing(20, 20)
    policy = GuardPolicy(published={"gandi": 20})
    assert guard(plan, policy, NOW).held
    assert plan.hash in guard(plan, policy, NOW).held[0].held
    assert not guard(plan, replace(policy, accept=plan.hash), NOW).held
    assert guard(_removing(20, 19), replace(policy, accept=plan.hash), NOW).held


def test_an_equal_second_look_passes() -> None:
    """A held plan passes once it was seen long enough ago."""
    plan = _removing(20, 20)
    policy = GuardPolicy(published={"gandi": 20}, first_seen={plan.hash: NOW}, second_look=600)
    assert guard(plan, policy, NOW + 599).held
    assert not guard(plan, policy, NOW + 600).held


def test_positive_statements_are_not_judged() -> None:
    """Removing every name is fine when each removal is stated, not inferred from a list."""
    published = _zone(20)
    stated = [replace(want_addresses(key[0], key[1], 60, ()), absent=frozenset({key[2]})) for key in published]
    plan = guard(diff(published, stated), GuardPolicy(published={"gandi": 20}), NOW)
    assert len(plan.passing) == 20


@pytest.mark.parametrize("address", ["192.168.1.1", "100.64.1.1", "127.0.0.1", "fd00::1", "fe80::1", "2001:db8::1"])
def test_only_global_addresses_go_to_a_public_provider(address: str) -> None:
    """Law 7; a provider that only the house reads takes them, and so does one whose user accepts them."""
    name = parse_name("www.example.org")
    want = want_addresses("gandi", name, 60, [parse_address(address)])
    public = GuardPolicy(public=frozenset({"gandi"}))
    (held,) = guard(diff({}, [want]), public, NOW).held
    assert address in held.held
    assert not guard(diff({}, [want]), GuardPolicy(), NOW).held
    accepted = replace(want, accepted=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert not guard(diff({}, [accepted]), public, NOW).held


def test_a_hold_from_outside_is_told() -> None:
    """A lockout's sentence is the reason on the change; other names pass."""
    wants = [want_addresses("gandi", parse_name(f"{x}.example.org"), 60, [parse_address("8.8.8.8")]) for x in "ab"]
    policy = GuardPolicy(holds={("gandi", parse_name("a.example.org")): "badauth"})
    plan = guard(diff({}, wants), policy, NOW)
    assert [(item.name.text, item.held) for item in plan.changes] == [
        ("a.example.org", "badauth"),
        ("b.example.org", ""),
    ]
