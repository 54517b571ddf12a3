"""The holder of the zones: readiness, atomic swaps, serials."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.dns.authority import Authority, Change
from homing.dns.lookup import Zones
from homing.dns.message import Rcode
from homing.errors import ModelError
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType
from homing.model.zone import Zone, ZoneDiff, serial_add, succeed, zone
from tests.dns.zones import ORIGIN, SOA, addresses, ask

FIRST = zone(ORIGIN, 7, SOA, addresses("www.example.net", "192.0.2.1"))


def test_everything_is_servfail_until_a_zone_was_ever_known() -> None:
    """Before the first zone every name of class IN is SERVFAIL; after it, what is outside is REFUSED."""
    authority = Authority()
    before = authority.ready
    assert {ask(authority.zones, name).rcode for name in ("www.example.net", "example.org", ".")} == {Rcode.SERVFAIL}
    authority.publish(FIRST)
    assert (before, authority.ready) == (False, True)
    assert ask(authority.zones, "www.example.net").rcode is Rcode.NOERROR
    assert ask(authority.zones, "example.org").rcode is Rcode.REFUSED


def test_another_class_is_refused_before_too() -> None:
    """Class CHAOS needs no zone to be refused."""
    assert ask(Authority().zones, "version.bind", 16, 3).rcode is Rcode.REFUSED


def test_zones_named_beforehand_fail_one_by_one() -> None:
    """With the zones named, the ones still unknown stay SERVFAIL while others are served."""
    authority = Authority([ORIGIN, parse_name("other.test")])
    authority.publish(FIRST)
    assert ask(authority.zones, "www.other.test").rcode is Rcode.SERVFAIL
    assert ask(authority.zones, "example.org").rcode is Rcode.REFUSED


def test_a_snapshot_taken_before_stays_as_it_was() -> None:
    """Publishing makes a new snapshot; the old one still answers the old version."""
    authority = Authority()
    authority.publish(FIRST)
    before = authority.zones
    authority.publish(succeed(FIRST, addresses("www.example.net", "192.0.2.2")))
    assert ask(before, "www.example.net").answer[0].values == ("192.0.2.1",)
    assert ask(authority.zones, "www.example.net").answer[0].values == ("192.0.2.2",)


def test_listeners_are_told_of_changes_only() -> None:
    """A listener hears the versions before and after of each change and what differs; nothing of an equal version."""
    authority = Authority()
    heard: list[Change] = []
    stop = authority.listen(heard.append)
    second = succeed(FIRST, ())
    assert [authority.publish(item) for item in (FIRST, FIRST, second)] == [True, False, True]
    authority.withdraw(ORIGIN)
    stop()
    authority.publish(FIRST)
    gone = ZoneDiff(FIRST.rrsets(), ())
    assert heard == [Change(None, FIRST), Change(FIRST, second, gone), Change(second, None)]
    assert {change.origin for change in heard} == {ORIGIN}


def test_a_withdrawn_zone_is_refused() -> None:
    """A zone that is no longer served is REFUSED."""
    authority = Authority()
    authority.publish(FIRST)
    authority.withdraw(ORIGIN)
    assert ask(authority.zones, "www.example.net").rcode is Rcode.REFUSED


@pytest.mark.parametrize(
    "wrong",
    [
        zone(ORIGIN, 7, SOA, ()),
        zone(ORIGIN, 6, SOA, ()),
        zone(ORIGIN, 8, SOA, FIRST.rrsets()),
        zone(ORIGIN, serial_add(7, 2**31 - 1) + 1, SOA, ()),
    ],
)
def test_serial_and_content_change_together(wrong: Zone) -> None:
    """A changed zone with an old or equal serial, and a grown serial without a change, are not published."""
    authority = Authority()
    authority.publish(FIRST)
    with pytest.raises(ModelError, match="serial"):
        authority.publish(wrong)
    assert authority.zone(ORIGIN) is FIRST


def test_many_zones_change_in_one_swap_or_not_at_all() -> None:
    """Listeners hear each change; when one zone of many is wrong, all stay as they were."""
    authority = Authority()
    authority.publish(FIRST)
    others = [zone(parse_name(f"{label}.test"), 1, SOA, ()) for label in "ab"]
    heard: list[Change] = []
    authority.listen(heard.append)
    assert authority.replace((FIRST, *others), (parse_name("unknown.test"),)) == 2
    assert authority.replace((), (ORIGIN,)) == 0
    assert heard == [Change(None, others[0]), Change(None, others[1]), Change(FIRST, None)]
    before = authority.zones
    wrong = zone(others[0].origin, 1, SOA, addresses("a.test", "192.0.2.1"))
    with pytest.raises(ModelError, match="with a change of content"):
        authority.replace((FIRST, wrong))
    assert authority.zones is before


def test_in_a_swap_a_serial_may_grow_alone_and_zones_may_be_awaited() -> None:
    """An operator who raises the serial of a file sees it served; a zone that is awaited is SERVFAIL."""
    authority = Authority()
    authority.publish(FIRST)
    late = parse_name("late.test")
    assert authority.replace((zone(ORIGIN, 8, SOA, FIRST.rrsets()),), (), (late,)) == 1
    served = authority.zone(ORIGIN)
    assert served is not None
    assert served.serial == 8
    assert ask(authority.zones, "www.late.test").rcode is Rcode.SERVFAIL
    authority.replace((), (late,))
    assert ask(authority.zones, "www.late.test").rcode is Rcode.REFUSED


contents = st.lists(
    st.sampled_from([addresses(f"{label}.example.net", f"192.0.2.{last}")[0] for label in "ab" for last in (1, 2)]),
    unique_by=lambda item: item.key,
    max_size=2,
)


@given(st.lists(contents, max_size=12), st.sampled_from([1, 2**31 - 3, 2**32 - 3]))
def test_the_serial_grows_with_content_and_only_then(versions: list[list[RRset]], start: int) -> None:
    """Along any row of contents the serial grows by one at each difference, across its end too."""
    authority = Authority()
    current = zone(ORIGIN, start, SOA, ())
    authority.publish(current)
    held: set[RRset] = set()
    for content in versions:
        changed = set(content) != held
        held = set(content)
        new = succeed(current, content)
        assert authority.publish(new) is changed
        assert new.serial == serial_add(current.serial, int(changed))
        current = new


ORIGINS = [parse_name(text) for text in (".", "test", "a.test", "b.test", "deep.a.test")]


@given(st.frozensets(st.sampled_from(ORIGINS)), st.lists(st.tuples(st.sampled_from(ORIGINS), st.booleans())))
def test_zones_changed_one_by_one_answer_like_zones_built_whole(
    awaited: frozenset[Name], edits: list[tuple[Name, bool]]
) -> None:
    """Whatever comes and goes, and whatever was awaited."""
    zones = Zones(awaited=awaited)
    for origin, comes in edits:
        zones = zones.with_zone(zone(origin, 1, SOA, ())) if comes else zones.without(origin)
        built = Zones(zones.loaded, zones.awaited)
        assert zones == built
        for known in ORIGINS:
            for name in (known, known.prefixed("www")):
                assert (zones.find(name), zones.find(name, RRType.DS)) == (
                    built.find(name),
                    built.find(name, RRType.DS),
                )
