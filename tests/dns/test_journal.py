"""The journal of a zone."""

from __future__ import annotations

import contextlib
import itertools
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing.dns.transfers.journal import Journal, JournalLimits, Step, condense, decode_step, encode_step, soa_serial
from homing.dns.transfers.transfer import Record
from homing.errors import HomingError, ModelError
from homing.model.name import parse_name
from homing.model.rrset import RRset, RRType, rrset
from homing.model.zone import Zone, serial_add, zone
from tests.dns.zones import ORIGIN, SOA, addresses

Content = dict[tuple[str, int], tuple[int, frozenset[int]]]

KEYS = st.tuples(st.sampled_from(["a", "b", "C", "d.e"]), st.sampled_from([RRType.A, 65280]))
VALUES = st.tuples(st.sampled_from([0, 60, 300]), st.frozensets(st.integers(0, 5), min_size=1))
CONTENTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=6), min_size=2, max_size=6)
SERIALS = st.integers(0, 2**32 - 1)


def version(serial: int, content: Content) -> Zone:
    """A version with this content."""
    sets = [
        rrset(parse_name(f"{label}.example.net"), rtype, ttl, [bytes((192, 0, 2, value)) for value in values])
        for (label, rtype), (ttl, values) in content.items()
    ]
    return zone(ORIGIN, serial, SOA, sets)


def history(start: int, contents: Sequence[Content]) -> list[Zone]:
    """Versions that follow each other."""
    return [version(serial_add(start, index), content) for index, content in enumerate(contents)]


def records(sets: Iterable[RRset]) -> Counter[Record]:
    """The single records."""
    return Counter((item.name, item.type, item.ttl, rdata) for item in sets for rdata in item.rdatas)


def applied(old: Zone, steps: Iterable[Step]) -> Counter[Record]:
    """The records of a version after these steps; removing what is not there, or adding what is, fails."""
    content = records(old.rrsets())
    for step in steps:
        for record in records(step.removed):
            assert content[record] == 1
            del content[record]
        for record in records(step.added):
            assert record not in content
            content[record] = 1
    return content


def journal_of(versions: Sequence[Zone], limits: JournalLimits | None = None) -> Journal:
    """The journal of a history."""
    journal = Journal(limits)
    for old, new in itertools.pairwise(versions):
        journal.append(old, new)
    return journal


@given(SERIALS, CONTENTS)
def test_the_steps_since_any_version_lead_to_the_newest(start: int, contents: list[Content]) -> None:
    """Applied to the version they start from, the steps give the newest one, through the wrap of serials too."""
    versions = history(start, contents)
    journal = journal_of(versions)
    for old in versions:
        steps = journal.since(old.serial)
        assert steps is not None
        assert applied(old, steps) == records(versions[-1].rrsets())
        if steps:
            assert steps[0].old_soa == old.soa_rrset
            assert steps[-1].new_soa == versions[-1].soa_rrset


@given(SERIALS, CONTENTS)
def test_a_condensed_step_leads_as_far(start: int, contents: list[Content]) -> None:
    """One step that sums up all has the same effect with no more records."""
    versions = history(start, contents)
    steps = journal_of(versions).since(start)
    assert steps
    one = condense(steps)
    assert applied(versions[0], [one]) == records(versions[-1].rrsets())
    assert one.records <= sum(step.records for step in steps)
    assert (one.before, one.after) == (versions[0].serial, versions[-1].serial)


@given(SERIALS, CONTENTS, st.integers(0, 40), st.integers(0, 2000))
def test_the_bounds_hold(start: int, contents: list[Content], most: int, octets: int) -> None:
    """Neither records nor octets exceed the limits, and what is left still ends at the newest version."""
    versions = history(start, contents)
    journal = journal_of(versions, JournalLimits(most, octets))
    assert journal.records == sum(step.records for step in journal.steps) <= most
    assert journal.octets == sum(step.size for step in journal.steps) <= octets
    for old in versions[:-1]:
        steps = journal.since(old.serial)
        assert steps is None or applied(old, steps) == records(versions[-1].rrsets())


@given(SERIALS, CONTENTS)
def test_it_comes_back_from_the_store(start: int, contents: list[Content]) -> None:
    """Octets written and read give the same steps."""
    journal = journal_of(history(start, contents))
    assert Journal(steps=[decode_step(encode_step(item)) for item in journal.steps]).steps == journal.steps


@settings(max_examples=500)
@given(st.data())
def test_damaged_octets_are_refused(data: st.DataObject) -> None:
    """A step with any octet changed or cut off is a ModelError, and no octets raise anything else."""
    (step,) = journal_of(history(7, [{("a", 1): (60, frozenset({1}))}, {("b", 1): (60, frozenset({2}))}])).steps
    whole = encode_step(step)
    place = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    for damaged in (whole[:place], whole[:place] + bytes((whole[place] ^ flip,)) + whole[place + 1 :]):
        with pytest.raises(ModelError):
            decode_step(damaged)


@settings(max_examples=500)
@given(st.data())
def test_octets_with_a_right_checksum_raise_only_errors_of_the_house(data: st.DataObject) -> None:
    """Whatever a step holds, reading it ends in a step or in a HomingError."""
    (step,) = journal_of(history(7, [{("a", 1): (60, frozenset({1}))}, {}])).steps
    whole = encode_step(step)[:-4]
    changed = bytearray(whole)
    for place, octet in data.draw(st.lists(st.tuples(st.integers(4, len(whole) - 1), st.integers(0, 255)), max_size=5)):
        changed[place] = octet
    changed = changed[: data.draw(st.integers(4, len(whole)))]
    with contextlib.suppress(HomingError):
        decode_step(bytes(changed) + struct.pack("!I", zlib.crc32(changed)))


def test_single_records_move_not_whole_rrsets() -> None:
    """Of an RRset that changes by one record with the same TTL, one record goes and one comes."""
    old = zone(ORIGIN, 1, SOA, addresses("www.example.net", "192.0.2.1", "192.0.2.2"))
    new = zone(ORIGIN, 2, SOA, addresses("www.example.net", "192.0.2.2", "192.0.2.3"))
    step = Journal().append(old, new)
    assert [item.values for item in step.removed] == [("192.0.2.1",)]
    assert [item.values for item in step.added] == [("192.0.2.3",)]


def test_a_serial_that_is_not_known_has_no_steps() -> None:
    """Serials before the first, behind the newest, and of an empty journal give None."""
    journal = journal_of(history(10, [{}, {("a", 1): (60, frozenset({1}))}]))
    assert journal.since(9) is None
    assert journal.since(12) is None
    assert journal.since(11) == ()
    assert Journal().since(1) is None


def test_a_gap_forgets_what_was_before() -> None:
    """A step that does not start where the last ended is the first of a new journal."""
    versions = history(1, [{}, {("a", 1): (60, frozenset({1}))}, {}, {("b", 1): (60, frozenset({1}))}])
    journal = Journal()
    journal.append(versions[0], versions[1])
    journal.append(versions[2], versions[3])
    assert journal.since(1) is None
    assert journal.since(3) is not None


def test_a_serial_that_goes_back_is_refused() -> None:
    """A journal of a zone never leads backwards (RFC 1982)."""
    with pytest.raises(ModelError):
        Journal().append(version(2, {}), version(1, {}))
    assert soa_serial(Journal().append(version(2**32 - 1, {}), version(0, {})).new_soa) == 0
