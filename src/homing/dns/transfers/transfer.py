"""Zone transfers as octets: AXFR (RFC 5936) and IXFR (RFC 1995), message by message. Pure.

Who may transfer is decided by ``Access``; which zone and which journal, and when, by ``primary``.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from homing.dns.message import EDNS_UDP_SIZE, HEADER_SIZE, MAX_SIZE, BadQuery, Query, RRClass, Verdict, read_name
from homing.dns.transfers.journal import Step, condense
from homing.errors import MessageError, ModelError
from homing.model.address import Address
from homing.model.name import Name
from homing.model.rrset import RRset, RRType
from homing.model.zone import Zone, serial_gt

IXFR, AXFR = 251, 252

MESSAGE_SIZE = 16 * 1024
"""Octets at which a message of a transfer is sent: as far as a compression pointer reaches (RFC 5936, section 3.4)."""

_FEW = 64
"""Records of steps that are sent as they are, without counting those of the zone."""

_OPT_SIZE = 11
NAMES_IN_RDATA = {RRType.NS: (0, 1), RRType.CNAME: (0, 1), RRType.SOA: (0, 2), 12: (0, 1), 15: (2, 1)}
"""Where names may be compressed in rdata (RFC 3597, section 4): octets before them and how many; 12 PTR, 15 MX."""

Record = tuple[Name, int, int, bytes]
"""Owner, type, TTL in seconds, rdata."""


class Kind(enum.StrEnum):
    """What a client that asked for a transfer gets."""

    WHOLE = "axfr"
    STEPS = "ixfr"
    CURRENT = "current"
    """The SOA alone: there is nothing newer."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may transfer: clients in one of the networks, where some are given, with the key, where one is given."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    key: Name | None = None

    def __post_init__(self) -> None:
        if not self.networks and self.key is None:
            raise ModelError("a rule for transfers names neither a network nor a key; it would let everybody in")

    def allows(self, client: Address, key: Name | None) -> bool:
        """Whether the client is meant."""
        if self.key is not None and key != self.key:
            return False
        return not self.networks or any(client in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Access:
    """The clients that may transfer zones: those that one rule allows. Without rules nobody."""

    rules: tuple[Rule, ...] = ()

    def allows(self, client: Address, key: Name | None) -> bool:
        """Whether a client that signed with this key may transfer. An IPv4 address inside IPv6 counts as IPv4."""
        mapped = getattr(client, "ipv4_mapped", None)
        return any(rule.allows(mapped or client, key) for rule in self.rules)


def client_serial(packet: bytes, query: Query) -> int:
    """The serial of the version that the client of an IXFR has, from a packet that ``parse_query`` has read.

    Raises BadQuery when the SOA is missing (RFC 1995, section 3).
    """
    (authorities,) = struct.unpack_from("!H", packet, 8)
    position = HEADER_SIZE + len(query.question.name.wire) + 4
    if authorities == 1:
        while packet[position] and packet[position] < 0xC0:
            position += 1 + packet[position]
        position += 2 if packet[position] else 1
        rtype, cls, _, size = struct.unpack_from("!HHIH", packet, position)
        position += 10 + size
        if rtype == RRType.SOA and cls == RRClass.IN and size >= 22:
            return int.from_bytes(packet[position - 20 : position - 16])
    raise BadQuery(Verdict.FORMERR, "an IXFR without the SOA of its client", question=query.question, edns=query.edns)


def axfr_records(zone: Zone) -> Iterator[Record]:
    """The whole zone between two copies of its SOA (RFC 5936, section 2.2)."""
    yield from _records((zone.soa_rrset,))
    yield from _records(zone.rrsets())
    yield from _records((zone.soa_rrset,))


def ixfr_records(zone: Zone, serial: int, steps: tuple[Step, ...] | None) -> tuple[Kind, Iterator[Record]]:
    """What brings a client from a serial to this version (RFC 1995, section 4).

    The SOA alone when the client has this version or a newer one; the steps, or one step that sums them up when they
    are many and more than the zone; the whole zone when there are no steps or even their sum is more than the zone.
    """
    soa = zone.soa_rrset
    if serial == zone.serial or serial_gt(serial, zone.serial):
        return Kind.CURRENT, _records((soa,))
    if not steps or steps[-1].new_soa != soa:
        return Kind.WHOLE, axfr_records(zone)
    records = sum(item.records for item in steps)
    if records > _FEW and records > (whole := 2 + sum(len(item.rdatas) for item in zone.rrsets())):
        steps = (condense(steps),)
        if steps[0].records > whole:
            return Kind.WHOLE, axfr_records(zone)
    return Kind.STEPS, _ixfr(soa, steps)


def _ixfr(soa: RRset, steps: Iterable[Step]) -> Iterator[Record]:
    yield from _records((soa,))
    for item in steps:
        yield from _records((item.old_soa, *item.removed, item.new_soa, *item.added))
    yield from _records((soa,))


def messages(
    query: Query, records: Iterable[Record], *, reserve: int = 0, limit: int = MESSAGE_SIZE
) -> Iterator[bytes]:
    """The responses that carry these records, the question and OPT in the first; ``reserve`` octets are left in each.

    A message is longer than ``limit`` octets only where a single record is; then never longer than 65535.
    """
    writer = _Writer(query, first=True)
    room = limit - reserve
    for record in records:
        if not writer.put(record, room):
            if writer.count:
                yield writer.finish()
            writer = _Writer(query, first=writer.first and not writer.count)
            if not writer.put(record, MAX_SIZE - reserve):
                raise MessageError(f"a record of {record[0]} does not fit into a message of a transfer")
    yield writer.finish()


class _Writer:
    """One message under construction. Names are compressed where their case is equal, so that all case is kept."""

    def __init__(self, query: Query, *, first: bool) -> None:
        self.count = 0
        self._query = query
        self.first = first
        self._out = bytearray(HEADER_SIZE)
        self._known: dict[tuple[bytes, ...], int] = {}
        if first:
            self._name(query.question.name)
            self._out += struct.pack("!2H", query.question.type, query.question.cls)
        self._edns = _OPT_SIZE if first and query.edns is not None else 0

    def put(self, record: Record, limit: int) -> bool:
        """Write a record; False, and nothing can be written any more, when the message would exceed ``limit``."""
        name, rtype, ttl, rdata = record
        out = self._out
        mark = len(out)
        if mark + len(rdata) > limit:
            return False
        self._name(name)
        out += struct.pack("!HHIH", rtype, RRClass.IN, ttl, len(rdata))
        where = NAMES_IN_RDATA.get(rtype)
        if where is None:
            out += rdata
        else:
            start = len(out)
            self._rdata(rdata, *where)
            struct.pack_into("!H", out, start - 2, len(out) - start)
        if len(out) + self._edns > limit:
            del out[mark:]
            return False
        self.count += 1
        return True

    def finish(self) -> bytes:
        """The message."""
        query = self._query
        if self._edns and query.edns is not None:
            flags = 0x8000 if query.edns.dnssec_ok else 0
            self._out += struct.pack("!BHHIH", 0, RRType.OPT, EDNS_UDP_SIZE, flags, 0)
        header = 0x8400 | (0x0100 if query.recursion_desired else 0)
        additionals = 1 if self._edns else 0
        struct.pack_into("!6H", self._out, 0, query.id, header, int(self.first), self.count, 0, additionals)
        return bytes(self._out)

    def _rdata(self, rdata: bytes, position: int, count: int) -> None:
        names: list[Name] = []
        end = position
        try:
            for _ in range(count):
                name, end = read_name(rdata, end)
                names.append(name)
        except MessageError:  # not what its type says; it goes out as it came
            self._out += rdata
            return
        self._out += rdata[:position]
        for name in names:
            self._name(name)
        self._out += rdata[end:]

    def _name(self, name: Name) -> None:
        labels, known, out = name.labels, self._known, self._out
        for index, label in enumerate(labels):
            rest = labels[index:]
            offset = known.get(rest)
            if offset is not None:
                out += (0xC000 | offset).to_bytes(2)
                return
            if len(out) <= 0x3FFF:
                known[rest] = len(out)
            out.append(len(label))
            out += label
        out.append(0)


def _records(sets: Iterable[RRset]) -> Iterator[Record]:
    for item in sets:
        for rdata in item.rdatas:
            yield item.name, item.type, item.ttl, rdata
