"""The journal of a zone: what changed from each serial to the next, for incremental transfers (RFC 1995). Pure."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from homing.dns.message import read_name
from homing.errors import MessageError, ModelError
from homing.model.name import Name
from homing.model.rrset import RRset, RRType, rrset
from homing.model.zone import Zone, ZoneDiff, diff, serial_gt

_CHECKSUM = 4
"""Octets of the CRC-32 that ends a stored step."""

_SERIAL_END = 20
"""Octets from an SOA's serial to its end (RFC 1035, section 3.3.13)."""


@dataclass(frozen=True, slots=True)
class Step:
    """What leads from one version of a zone to the next: single records, gathered in RRsets, and the SOA of both."""

    old_soa: RRset
    removed: tuple[RRset, ...]
    added: tuple[RRset, ...]
    new_soa: RRset

    @property
    def before(self) -> int:
        """The serial this step starts from."""
        return soa_serial(self.old_soa)

    @property
    def after(self) -> int:
        """The serial this step leads to."""
        return soa_serial(self.new_soa)

    @property
    def records(self) -> int:
        """How many records a transfer of this step sends."""
        return 2 + sum(len(item.rdatas) for item in (*self.removed, *self.added))

    @property
    def size(self) -> int:
        """Octets of its records in wire form without compression: what the journal's bound counts."""
        return sum(
            (len(item.name.wire) + 10) * len(item.rdatas) + sum(map(len, item.rdatas))
            for item in (self.old_soa, *self.removed, self.new_soa, *self.added)
        )


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """What a journal keeps at most: ``records`` and ``octets``, SOAs counted. The oldest steps go first."""

    records: int = 20_000
    octets: int = 4 << 20


class Journal:
    """The steps of one zone that are remembered, oldest first, each starting where the one before ended."""

    def __init__(self, limits: JournalLimits | None = None, steps: Iterable[Step] = ()) -> None:
        self._limits = limits or JournalLimits()
        self._steps: deque[Step] = deque()
        self._records = self._octets = 0
        for item in steps:
            self.add(item)

    def __len__(self) -> int:
        """How many steps are remembered."""
        return len(self._steps)

    @property
    def records(self) -> int:
        """How many records are held."""
        return self._records

    @property
    def octets(self) -> int:
        """Octets held, as ``Step.size`` counts them."""
        return self._octets

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, oldest first."""
        return tuple(self._steps)

    def append(self, old: Zone, new: Zone, known: ZoneDiff | None = None) -> Step:
        """Remember what leads from ``old`` to ``new``; ``known`` as for ``step``.

        Raises ModelError when the serial did not grow (RFC 1982).
        """
        item = step(old, new, known)
        self.add(item)
        return item

    def add(self, item: Step) -> None:
        """Remember a step; one that does not follow the last makes the journal forget all before."""
        if self._steps and self._steps[-1].new_soa != item.old_soa:
            self.clear()
        self._steps.append(item)
        self._records += item.records
        self._octets += item.size
        while self._steps and (self._records > self._limits.records or self._octets > self._limits.octets):
            gone = self._steps.popleft()
            self._records -= gone.records
            self._octets -= gone.size

    def clear(self) -> None:
        """Forget everything."""
        self._steps.clear()
        self._records = self._octets = 0

    def since(self, serial: int) -> tuple[Step, ...] | None:
        """The steps from a serial to the newest version; () when it is the newest, None when it is not known."""
        if not self._steps:
            return None
        if self._steps[-1].after == serial:
            return ()
        if not serial_gt(self._steps[-1].after, serial):
            return None
        for index in range(len(self._steps) - 1, -1, -1):
            if self._steps[index].before == serial:
                return tuple(islice(self._steps, index, None))
        return None


def soa_serial(soa: RRset) -> int:
    """The serial in an SOA RRset whose rdata is whole."""
    return int.from_bytes(soa.rdatas[0][-_SERIAL_END : 4 - _SERIAL_END])


def step(old: Zone, new: Zone, known: ZoneDiff | None = None) -> Step:
    """What leads from one version to the next, record by record; ``known`` is what differs, when that is known.

    Raises ModelError when the serial did not grow.
    """
    if old.origin != new.origin or not serial_gt(new.serial, old.serial):
        raise ModelError(f"no step leads from {old.origin} {old.serial} to {new.origin} {new.serial}")
    change = known if known is not None else diff(old, new)
    before = {item.key: item for item in change.removed}
    after = {item.key: item for item in change.added}
    removed = _without(change.removed, after)
    added = _without(change.added, before)
    return Step(old.soa_rrset, removed, added, new.soa_rrset)


def condense(steps: tuple[Step, ...]) -> Step:
    """One step that leads as far as all of these; they follow each other, at least one (RFC 1995, section 5)."""
    net: dict[tuple[Name, int, int, bytes], int] = {}
    for item in steps:
        for sign, sets in ((-1, item.removed), (1, item.added)):
            for member in sets:
                for rdata in member.rdatas:
                    key = (member.name, member.type, member.ttl, rdata)
                    net[key] = net.get(key, 0) + sign
    removed = gather(key for key, count in net.items() if count < 0)
    added = gather(key for key, count in net.items() if count > 0)
    return Step(steps[0].old_soa, removed, added, steps[-1].new_soa)


def encode_step(item: Step) -> bytes:
    """A step for the store."""
    out = bytearray()
    for sets in ((item.old_soa,), item.removed, (item.new_soa,), item.added):
        out += struct.pack("!I", len(sets))
        for member in sets:
            out += member.name.wire + struct.pack("!HII", member.type, member.ttl, len(member.rdatas))
            for rdata in member.rdatas:
                out += struct.pack("!H", len(rdata)) + rdata
    return bytes(out) + struct.pack("!I", zlib.crc32(out))


def decode_step(stored: bytes) -> Step:
    """A step from the store. Raises ModelError when the octets are damaged."""
    data = stored[:-_CHECKSUM]
    if struct.pack("!I", zlib.crc32(data)) != stored[-_CHECKSUM:]:
        raise ModelError("a step of a journal is damaged: its checksum does not hold")
    groups: list[tuple[RRset, ...]] = []
    position = 0
    try:
        for _ in range(4):
            (count,) = struct.unpack_from("!I", data, position)
            position += 4
            members: list[RRset] = []
            for _ in range(count):
                member, position = _decode_rrset(data, position)
                members.append(member)
            groups.append(tuple(members))
    except (struct.error, MessageError) as error:
        raise ModelError(f"a step of a journal is damaged: {error}") from None
    old_soa, removed, new_soa, added = groups
    soas = (*old_soa, *new_soa)
    if position != len(data) or len(old_soa) != 1 or len(new_soa) != 1:
        raise ModelError("a step of a journal is damaged: it is not one old and one new SOA with records between")
    if any(soa.type != RRType.SOA or len(soa.rdatas[0]) < _SERIAL_END + 2 for soa in soas):
        raise ModelError("a step of a journal is damaged: its SOA is none")
    found = Step(old_soa[0], removed, added, new_soa[0])
    if not serial_gt(found.after, found.before):
        raise ModelError("a step of a journal is damaged: its serial does not grow")
    return found


def _decode_rrset(data: bytes, position: int) -> tuple[RRset, int]:
    name, position = read_name(data, position)
    rtype, ttl, count = struct.unpack_from("!HII", data, position)
    position += 10
    rdatas: list[bytes] = []
    for _ in range(count):
        (size,) = struct.unpack_from("!H", data, position)
        position += 2 + size
        if position > len(data):
            raise MessageError("a record runs over the end")
        rdatas.append(data[position - size : position])
    return rrset(name, rtype, ttl, rdatas), position


def _without(sets: Iterable[RRset], others: dict[tuple[Name, int], RRset]) -> tuple[RRset, ...]:
    """These RRsets without the records that another of the same name, type and TTL holds too."""
    kept: list[RRset] = []
    for item in sets:
        other = others.get(item.key)
        rdatas = item.rdatas
        if other is not None and other.ttl == item.ttl:
            rdatas = tuple(sorted(set(rdatas) - set(other.rdatas)))
        if rdatas:
            kept.append(RRset(item.name, item.type, item.ttl, rdatas))
    return tuple(kept)


def gather(records: Iterable[tuple[Name, int, int, bytes]]) -> tuple[RRset, ...]:
    found: dict[tuple[Name, int, int], list[bytes]] = {}
    for name, rtype, ttl, rdata in records:
        found.setdefault((name, rtype, ttl), []).append(rdata)
    return tuple(rrset(*key, rdatas) for key, rdatas in found.items())
