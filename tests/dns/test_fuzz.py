"""No packet makes the pure part raise, and every response is well formed and within its limit."""

from __future__ import annotations

import random
import time

import dns.flags
import dns.message
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing.dns.message import HEADER_SIZE, BadQuery, parse_query
from homing.dns.respond import respond
from homing.model.name import Name
from tests.dns.zones import names, sample

ZONES = sample()

SEEDS = [
    dns.message.make_query("www.example.net", "A").to_wire(),
    dns.message.make_query("many.example.net", "A", use_edns=0, payload=4096, want_dnssec=True).to_wire(),
    dns.message.make_query("crowd.example.net", "AAAA", use_edns=False).to_wire(),
    dns.message.make_query("c0.example.net", "ANY").to_wire(),
    dns.message.make_query("example.net", "NS").to_wire(),
    dns.message.make_query("example.net", "IXFR").to_wire(),
]


def mutate(packet: bytes, chance: random.Random) -> bytes:
    """A packet with a few octets changed, cut, doubled or put in."""
    octets = bytearray(packet)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(octets) + 1)
        match chance.randrange(5):
            case 0 if octets:
                octets[at % len(octets)] = chance.randrange(256)
            case 1 if octets:
                octets[at % len(octets)] = chance.choice((0, 0x3F, 0x40, 0xC0, 0xFF))
            case 2:
                del octets[at:]
            case 3:
                octets[at:at] = chance.randbytes(chance.randint(1, 12))
            case _:
                octets[at:at] = octets[:at]
    return bytes(octets[:4096])


def check(packet: bytes, *, udp: bool) -> None:
    """One packet through the whole pure part."""
    reply = respond(packet, ZONES, udp=udp)
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


def test_mutated_packets_never_raise() -> None:
    """Thousands of broken queries are dropped or answered, each with a response dnspython can read."""
    chance = random.Random(1035)
    for number in range(6000):
        check(mutate(chance.choice(SEEDS), chance), udp=bool(number % 8))


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
