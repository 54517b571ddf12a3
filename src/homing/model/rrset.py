"""RRsets (RFC 9499, section 5): all records of one name and type, with one TTL."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from homing.errors import ModelError
from homing.model.address import Address, Family
from homing.model.name import Name

MAX_TTL = 2**31 - 1
"""Seconds (RFC 2181, section 8)."""


class RRType(enum.IntEnum):
    """The record types Homing knows by name; RRsets carry plain numbers, so any other is served too (RFC 3597)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    HINFO = 13
    TXT = 16
    AAAA = 28
    DNAME = 39
    OPT = 41
    DS = 43
    ANY = 255


ADDRESS_TYPES = {Family.V4: RRType.A, Family.V6: RRType.AAAA}
FAMILIES: dict[int, Family] = {RRType.A: Family.V4, RRType.AAAA: Family.V6}
_TYPE_NAMES = {member.value: member.name for member in RRType}


def type_name(rtype: int) -> str:
    """A record type as people write it: ``AAAA``, or ``TYPE65280`` when it has no name here (RFC 3597, section 5)."""
    return _TYPE_NAMES.get(rtype) or f"TYPE{rtype}"


@dataclass(frozen=True, slots=True)
class RRset:
    """All records of one name and type. ``rdatas`` are in wire form, uncompressed, sorted and without repeats.

    ``ttl`` is in seconds. Build one by ``rrset()``, which sorts.
    """

    name: Name
    type: int
    ttl: int
    rdatas: tuple[bytes, ...]

    @property
    def key(self) -> tuple[Name, int]:
        """What makes the set one of a kind in its zone."""
        return (self.name, self.type)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of an A or AAAA RRset, else an empty tuple."""
        if self.type == RRType.A:
            return tuple(IPv4Address(rdata) for rdata in self.rdatas)
        if self.type == RRType.AAAA:
            return tuple(IPv6Address(rdata) for rdata in self.rdatas)
        return ()

    @property
    def values(self) -> tuple[str, ...]:
        r"""The records in presentation form; unknown types as ``\# LENGTH HEX`` (RFC 3597, section 5)."""
        if self.type in FAMILIES:
            return tuple(str(address) for address in self.addresses)
        return tuple(f"\\# {len(rdata)} {rdata.hex()}" for rdata in self.rdatas)

    def same_data(self, other: RRset | None) -> bool:
        """Whether both hold the same records, whatever the TTL."""
        return other is not None and self.rdatas == other.rdatas


def rrset(name: Name, rtype: int, ttl: int, rdatas: Iterable[bytes]) -> RRset:
    """An RRset with its records sorted and without repeats. Raises ModelError when empty or the TTL is off."""
    if not 0 <= ttl <= MAX_TTL:
        raise ModelError(f"TTL {ttl} of {name} is not between 0 and {MAX_TTL} seconds")
    unique = tuple(sorted(set(rdatas)))
    if not unique:
        raise ModelError(f"an RRset of {name} has no records")
    return RRset(name, rtype, ttl, unique)


def address_rrsets(name: Name, ttl: int, addresses: Iterable[Address]) -> tuple[RRset, ...]:
    """The A RRset, then the AAAA RRset, of a name; a family without addresses has none."""
    by_family: dict[Family, list[bytes]] = {Family.V4: [], Family.V6: []}
    for address in addresses:
        by_family[Family(address.version)].append(address.packed)
    return tuple(rrset(name, ADDRESS_TYPES[family], ttl, packed) for family, packed in by_family.items() if packed)


def txt_rdata(*strings: bytes) -> bytes:
    """TXT rdata of character strings of up to 255 octets each (RFC 1035, section 3.3.14)."""
    if any(len(string) > 255 for string in strings):
        raise ModelError("a TXT string is longer than 255 octets")
    return b"".join(bytes((len(string),)) + string for string in strings)
