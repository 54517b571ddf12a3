"""No packet makes the pure part raise, and every response is well formed and within its limit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing.dns.cookie import Cookies
from homing.dns.message import EDNS_UDP_SIZE, HEADER_SIZE, MAX_SIZE, BadQuery, parse_query
from homing.dns.respond import Manner, respond
from homing.model.name import Name
from tests.dns.fuzzing import liars, packets, truncations
from tests.dns.zones import names, sample

ZONES = sample()

MANNER = Manner(Cookies(bytes(16)), b"ns-a", "homing", "ns-a")
CLIENT = bytes((192, 0, 2, 7))

PACKETS = int(os.environ.get("HOMING_FUZZ_PACKETS", "150000"))
"""Mutated packets of a run; a million takes half a minute."""

READ_EVERY = 50
"""Of so many packets one has its response read by dnspython, which takes most of the time."""

MAX_SECONDS = 0.1
"""Of processor time for any packet; the usual one takes 20 µs, a message of 65535 octets 5 ms."""


def check(packet: bytes, *, udp: bool) -> None:
    """One packet through the whole pure part."""
    reply = respond(packet, ZONES, udp=udp, client=CLIENT, now=1_700_000_000, manner=MANNER, turn=3)
    if reply is None:
        assert len(packet) < HEADER_SIZE or packet[2] & 0x80
        return
    read = dns.message.from_wire(reply.message)
    assert reply.message[:2] == packet[:2]
    assert read.flags & dns.flags.QR
    try:
        query = parse_query(packet)
    except BadQuery:
        assert len(reply.message) <= 512
        return
    assert len(reply.message) <= (query.udp_limit if udp else 65535)
    assert (read.edns >= 0) is (query.edns is not None)
    assert read.question[0].name.labels[:-1] == query.question.name.labels


@pytest.mark.usefixtures("untraced")
def test_mutated_packets_never_raise() -> None:
    """Broken queries without end are dropped or answered, with their ID, within the limit, in little time."""
    slowest = 0.0
    for number, packet in enumerate(packets(PACKETS, seed=1035)):
        udp = bool(number % 8)
        started = time.thread_time()
        reply = respond(packet, ZONES, udp=udp, client=CLIENT, now=1_700_000_000, manner=MANNER, turn=number)
        slowest = max(slowest, time.thread_time() - started)
        if reply is not None:
            assert reply.message[:2] == packet[:2]
            assert len(reply.message) <= (EDNS_UDP_SIZE if udp else MAX_SIZE)
        if number % READ_EVERY == 0:
            check(packet, udp=udp)
    assert slowest < MAX_SECONDS


@pytest.mark.parametrize("made", [truncations, liars])
def test_each_truncation_and_each_lie_is_answered(made: Callable[[], Iterator[bytes]]) -> None:
    """Queries cut at every octet, and counts that promise other records than there are."""
    for packet in made():
        check(packet, udp=True)


@pytest.mark.parametrize(
    "name", [b"\xc0\x0c", b"\xc0\x0e\xc0\x0c", b"\1a\xc0\x0c", b"\xc0\xff", b"\xff\xff", b"\xc0", b"\x80", b"\x41"]
)
@pytest.mark.parametrize("behind", [False, True])
def test_pointer_loops_lead_nowhere(name: bytes, behind: bool) -> None:
    """Pointers to themselves, to each other and beyond the end, in the question and as the owner of a record."""
    record = b"\0\1\0\1\0\0\0\0\0\0"
    question = b"\3www\7example\3net\0\0\1\0\1" + name + record if behind else name + b"\0\1\0\1"
    check(b"\x12\x34\0\0\0\1\0\0\0\0\0" + bytes((behind,)) + question, udp=True)


@given(st.binary(max_size=600), st.booleans())
def test_random_packets_never_raise(packet: bytes, udp: bool) -> None:
    """Nor do octets without any sense."""
    check(packet, udp=udp)


labels = st.lists(st.binary(min_size=1, max_size=63), max_size=6).filter(lambda row: sum(map(len, row)) < 240)
asked = st.one_of(labels.map(lambda row: Name(tuple(row))), st.sampled_from(names(ZONES)))


@settings(deadline=None)
@given(
    asked,
    st.integers(0, 65535) | st.sampled_from([1, 2, 5, 6, 15, 28, 255]),
    st.sampled_from([1, 1, 3, 255]),
    st.none() | st.integers(0, 65535),
    st.booleans(),
)
def test_well_formed_queries_are_always_answered(
    name: Name, rtype: int, cls: int, payload: int | None, udp: bool
) -> None:
    """Any name, type, class and EDNS size gets a response that keeps the limit."""
    header = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00" + bytes((payload is not None,))
    opt = b"" if payload is None else b"\x00\x00\x29" + payload.to_bytes(2) + bytes(6)
    packet = header + name.wire + rtype.to_bytes(2) + cls.to_bytes(2) + opt
    assert parse_query(packet).question.name.labels == name.labels
    check(packet, udp=udp)


@pytest.mark.parametrize("size", [4096, 65535])
def test_the_worst_packets_are_cheap(size: int) -> None:
    """Counts that lie and rows of labels cost no more than a look at the packet."""
    header = b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x02"
    rows = (b"\x01a" * size, b"\x00" * size, b"\xc0\x0c" * size, b"\x00\x00\x01\x00\x01" + b"\x01a" * size)
    started = time.process_time()
    for body in rows:
        assert respond((header + body)[:size], ZONES, udp=False) is not None
    assert time.process_time() - started < 0.1
