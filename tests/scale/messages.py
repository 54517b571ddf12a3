"""Queries and what stands in their answers, read here and not by what is tested."""

from __future__ import annotations

import struct
from dataclasses import dataclass

A, SOA, AAAA, OPT = 1, 6, 28, 41
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3

_IN = 1
_EDNS = bytes((0, 0, OPT, 0x04, 0xD0, 0, 0, 0, 0, 0, 0))
"""An OPT record that allows 1,232 octets."""

_HEADER = 12


@dataclass(frozen=True, slots=True)
class Answer:
    """A code and addresses; ``fault`` says what no server may do, empty where nothing is wrong with the form."""

    rcode: int
    addresses: frozenset[bytes] = frozenset()
    is_truncated: bool = False
    fault: str = ""


def make_query(name: str, rtype: int, *, edns: bool = True) -> bytes:
    """A query in class IN; the id is 0."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    question = labels + b"\0" + struct.pack("!2H", rtype, _IN)
    return bytes((0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, int(edns))) + question + (_EDNS if edns else b"")


def read_answer(query: bytes, wire: bytes, ttl: int) -> Answer:
    """What an authoritative server answered; the id is not looked at."""
    try:
        return _read(query, wire, ttl)
    except (IndexError, struct.error):
        return Answer(-1, fault="cut off")


def _read(query: bytes, wire: bytes, ttl: int) -> Answer:
    flags, questions, answers, authorities, additionals = struct.unpack_from("!5H", wire, 2)
    rcode, end = flags & 15, _skip(query, _HEADER) + 4
    if not flags & 0x8000 or flags & 0x7800 or questions != 1 or wire[_HEADER:end] != query[_HEADER:end]:
        return Answer(rcode, fault="no answer to this question")
    if flags & 0x0200:
        return Answer(rcode, is_truncated=True)
    rtype, fault = int.from_bytes(query[end - 4 : end - 2]), "" if flags & 0x0400 else "not authoritative"
    addresses, types, at = set[bytes](), list[int](), end
    for number in range(answers + authorities + additionals):
        owner, at = at, _skip(wire, at)
        kind, of_class, seconds, size = struct.unpack_from("!2HIH", wire, at)
        data, at = wire[at + 10 : at + 10 + size], at + 10 + size
        if number >= answers:
            types.append(kind)
            continue
        if (
            (kind, of_class, seconds) != (rtype, _IN, ttl)
            or wire[owner : owner + 2] != b"\xc0\x0c"
            or data in addresses
        ):
            fault = "another record than was asked for, another TTL, or one twice"
        addresses.add(data)
    if at != len(wire):
        fault = "octets after the end"
    if (OPT in types) != (query[11] == 1):
        fault = "EDNS where there was none, or none where there was"
    if not addresses and rcode in (NOERROR, NXDOMAIN) and SOA not in types:
        fault = "nothing, and no SOA"
    return Answer(rcode, frozenset(addresses), fault=fault)


def _skip(wire: bytes, at: int) -> int:
    """The place after a name."""
    while wire[at]:
        if wire[at] >= 0xC0:
            return at + 2
        at += wire[at] + 1
    return at + 1
