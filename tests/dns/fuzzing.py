"""Packets that nobody should send: mutations of queries of every kind, and messages built to mislead a parser."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import dns.edns
import dns.message
import dns.opcode
import dns.tsig
import dns.tsigkeyring
import dns.update

MAX_PACKET = 4096
"""Octets of a mutated packet at most."""

LONGEST = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61 + b"\0"
"""A name of 255 octets."""


def _seeds() -> list[bytes]:
    plain = [("www.example.net", "A"), ("c0.example.net", "ANY"), ("example.net", "NS"), ("crowd.example.net", "AAAA")]
    queries = [dns.message.make_query(name, rtype, use_edns=False) for name, rtype in plain]
    queries.append(dns.message.make_query("many.example.net", "A", use_edns=0, payload=4096, want_dnssec=True))
    queries.append(dns.message.make_query("example.net", "IXFR"))
    queries.append(dns.message.make_query("version.bind", "TXT", "CH"))
    for code, data in ((10, bytes(8)), (10, bytes(24)), (3, b""), (11, b""), (8, b"\0\1\0\0"), (65001, bytes(40))):
        option = dns.edns.GenericOption(dns.edns.OptionType(code), data)
        queries.append(dns.message.make_query("alias.example.net", "A", use_edns=0, options=[option, option]))
    queries.append(dns.message.make_query("www.example.net", "A", use_edns=1))
    signed = dns.message.make_query("www.example.net", "A", use_edns=0)
    signed.use_tsig(dns.tsigkeyring.from_text({"key.": "c2VjcmV0"}))
    notify = dns.message.make_query("example.net", "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    update = dns.update.UpdateMessage("example.net")
    update.add("new", 60, "A", "192.0.2.1")
    wires = [message.to_wire() for message in (*queries, signed, notify, update)]
    soa = b"\xc0\x0c\0\6\0\1\0\0\0\0\0\x16\0\0" + bytes(20)
    header = b"\x12\x34\1\0\0\1\0\0\0\1\0\0"
    wires.append(header + b"\7example\3net\0\0\xfb\0\1" + soa)
    wires.append(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + LONGEST + b"\0\1\0\1")
    wires.append(b"\x12\x34\0\0\0\0\0\0\0\0\0\1\0\0\x29\4\xd0\0\0\0\0\0\x0c\0\x0a\0\x08" + bytes(8))
    return wires


SEEDS = _seeds()


def mutate(packet: bytes, chance: random.Random) -> bytes:
    """A packet with a few octets changed, cut, doubled or put in."""
    octets = bytearray(packet)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(octets) + 1)
        match chance.randrange(11):
            case 0 | 8 | 9 | 10 if octets:
                octets[at % len(octets)] = chance.randrange(256)
            case 1 if octets:
                octets[at % len(octets)] = chance.choice((0, 0x3F, 0x40, 0xC0, 0xFF))
            case 2:
                del octets[at:]
            case 3:
                octets[at:at] = chance.randbytes(chance.randint(1, 12))
            case 4:
                octets[at:at] = octets[:at]
            case 5 if len(octets) >= 12:  # counts that lie
                octets[4 + 2 * chance.randrange(4) + 1] = chance.choice((0, 1, 2, 3, 16, 255))
            case 6:  # pointers: to themselves, to each other, forward, into the header
                octets[at:at] = struct.pack("!H", 0xC000 | chance.choice((at, max(at - 2, 0), at + 2, 0, 12, 0x3FFF)))
            case _:
                octets[at:at] = chance.choice((LONGEST, b"\0\0\x29\4\xd0\0\0\0\0\0\0", b"\1a" * 127, SEEDS[0][12:]))
    return bytes(octets[:MAX_PACKET])


def packets(count: int, seed: int) -> Iterator[bytes]:
    """So many mutated packets, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        yield mutate(chance.choice(SEEDS), chance)


def truncations() -> Iterator[bytes]:
    """Every seed cut at every octet."""
    for wire in SEEDS:
        for size in range(len(wire)):
            yield wire[:size]


def liars() -> Iterator[bytes]:
    """Every seed with every count of 0 to 3, and with great ones, in each place."""
    for wire in SEEDS:
        for place in range(4, 12, 2):
            for count in (0, 1, 2, 3, 16, 17, 255, 65535):
                yield wire[:place] + count.to_bytes(2) + wire[place + 2 :]
