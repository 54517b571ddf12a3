"""A transfer as its client sees it: the answer to AXFR or IXFR, read message by message, and put onto a zone. Pure.

What comes is not trusted to fit: every difference must remove what is there and add what is not (RFC 1995).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from homing.dns.message import HEADER_SIZE, Rcode, RRClass, read_name
from homing.dns.transfers.journal import Step, gather, soa_serial
from homing.dns.transfers.transfer import AXFR, IXFR, NAMES_IN_RDATA, Record
from homing.dns.transfers.tsig import name_at
from homing.errors import MessageError, ModelError
from homing.model.name import Name
from homing.model.rrset import RRset, RRType, rrset
from homing.model.zone import Soa, Zone, ZoneDiff, amend, diff, serial_gt, zone

MAX_OCTETS = 64 << 20
"""Octets of an answer."""

MAX_RECORDS = 500_000
"""Records of an answer."""


@dataclass(frozen=True, slots=True)
class Current:
    """There is nothing newer than what the client has; ``serial`` is the server's."""

    serial: int


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole zone: its SOA, and all other records."""

    soa: RRset
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Steps:
    """The differences, oldest first; each begins where the one before ended, the first at the client's serial."""

    steps: tuple[Step, ...]


class Refused(MessageError):  # noqa: N818 - as the errors of homing.errors are named
    """The server does not serve the zone, or not to this client; ``rcode`` says which."""

    def __init__(self, origin: Name, rcode: int) -> None:
        super().__init__(f"the transfer of {origin.text} is refused with response code {rcode}")
        self.rcode = rcode


def transfer_query(ident: int, origin: Name, held: Zone | None) -> bytes:
    """The query for what is newer than the version held (IXFR), or for the whole zone (AXFR)."""
    counts = (1, 0, int(held is not None), 0)
    query = struct.pack("!6H", ident, 0, *counts) + origin.wire
    query += struct.pack("!2H", AXFR if held is None else IXFR, RRClass.IN)
    if held is not None:
        (rdata,) = held.soa_rrset.rdatas
        query += struct.pack("!HHHIH", 0xC000 | HEADER_SIZE, RRType.SOA, RRClass.IN, 0, len(rdata)) + rdata
    return query


class Inbound:
    """Takes the messages of an answer; ``result`` is there once it is whole."""

    def __init__(self, ident: int, origin: Name, held: Zone | None) -> None:
        self.result: Current | Whole | Steps | None = None
        self._ident = ident
        self._origin = origin
        self._serial = None if held is None else held.serial
        self._records: list[Record] = []
        self._octets = 0
        self._soas = 0
        self._is_steps = False

    def take(self, message: bytes) -> bool:
        """Read the next message, its signature checked and taken off; whether it was the last.

        Raises MessageError for what is no answer, is too long, or goes on behind its end; Refused.
        """
        self._octets += len(message)
        if self._octets > MAX_OCTETS:
            raise MessageError(f"a transfer of {self._origin.text} is longer than {MAX_OCTETS} octets")
        if self.result is not None:
            raise MessageError("a message behind the end of a transfer")
        first = not self._records
        for record in read_records(message, self._ident, self._origin):
            if self.result is not None:
                raise MessageError("a record behind the end of a transfer")
            self._take(record)
        if first and len(self._records) == 1:
            self._alone()
        return self.result is not None

    def _alone(self) -> None:
        """The SOA by itself tells that there is nothing newer; else it is a server that sends it ahead."""
        serial = int.from_bytes(self._records[0][3][-20:-16])
        if self._serial is not None and not serial_gt(serial, self._serial):
            self.result = Current(serial)

    def _take(self, record: Record) -> None:
        records = self._records
        if len(records) >= MAX_RECORDS:
            raise MessageError(f"a transfer of {self._origin.text} has more than {MAX_RECORDS} records")
        is_soa = record[1] == RRType.SOA
        if is_soa and record[0] != self._origin:
            raise MessageError(f"an SOA of {record[0]} in a transfer of {self._origin.text}")
        if not records and not is_soa:
            raise MessageError("a transfer does not begin with an SOA")
        ends = is_soa and len(records) > 0 and record == records[0]
        if len(records) == 1 and is_soa and not ends:
            self._is_steps = True
        records.append(record)
        self._soas += is_soa
        if not ends:
            if is_soa and self._soas > 1 and not self._is_steps:
                raise MessageError("a zone with two SOAs is transferred")
            return
        # In steps the new SOA stands at the head of the last additions, too; the end is where removals would begin.
        if not self._is_steps:
            soa, *others = records[:-1]
            self.result = Whole(_set(soa), tuple(others))
        elif self._soas % 2 == 0:
            steps = _steps(records[1:-1])
            if steps[-1].new_soa != _set(record):
                raise MessageError(f"the steps end at {steps[-1].after}, not where the transfer leads to")
            self.result = Steps(steps)


def read_records(message: bytes, ident: int, origin: Name) -> list[Record]:
    """The records of the answer section, names whole. Raises MessageError for what is no answer; Refused."""
    if len(message) < HEADER_SIZE:
        raise MessageError("a message is shorter than its header")
    got, flags, questions, answers, authorities, _ = struct.unpack_from("!6H", message)
    if got != ident or flags & 0xFA00 != 0x8000 or questions > 1 or authorities:
        raise MessageError("a message is no part of the answer to a transfer")
    if flags & 0x0F != Rcode.NOERROR:
        raise Refused(origin, flags & 0x0F)
    try:
        position = HEADER_SIZE
        if questions:
            name, position = name_at(message, position)
            position += 4
            if name != origin:
                raise MessageError("an answer to another question")
        records: list[Record] = []
        for _ in range(answers):
            record, position = _record(message, position)
            records.append(record)
    except (struct.error, ModelError) as error:
        raise MessageError(f"a record cannot be read: {error}") from None
    return records


def zone_of(origin: Name, whole: Whole) -> Zone:
    """The zone that was transferred whole. Raises ModelError when its records are none of a zone."""
    soa, serial = soa_of(whole.soa)
    return zone(origin, serial, soa, gather(whole.records))


def applied(old: Zone, item: Step) -> tuple[Zone, ZoneDiff]:
    """The version that a step leads to, and what differs. Raises ModelError when the step does not fit the zone."""
    if item.old_soa != old.soa_rrset:
        raise ModelError(f"a step of {old.origin.text} begins at {item.before}, not at the version {old.serial} held")
    soa, serial = soa_of(item.new_soa)
    if not serial_gt(serial, old.serial):
        raise ModelError(f"a step of {old.origin.text} leads from serial {old.serial} back to {serial}")
    changes: dict[tuple[Name, int], RRset | None] = {}

    def now(key: tuple[Name, int]) -> RRset | None:
        return changes[key] if key in changes else old.nodes.get(key[0], _NOTHING).get(key[1])

    for gone in item.removed:
        before = now(gone.key)
        if before is None or before.ttl != gone.ttl or not set(gone.rdatas) <= set(before.rdatas):
            raise ModelError(f"a step of {old.origin.text} removes what is not there at {gone.name}")
        left = set(before.rdatas) - set(gone.rdatas)
        changes[gone.key] = rrset(before.name, before.type, before.ttl, left) if left else None
    for come in item.added:
        before = now(come.key)
        if before is not None and (before.ttl != come.ttl or set(come.rdatas) & set(before.rdatas)):
            raise ModelError(f"a step of {old.origin.text} adds what is there at {come.name}")
        changes[come.key] = rrset(
            come.name, come.type, come.ttl, (*come.rdatas, *(before.rdatas if before is not None else ()))
        )
    new, found = amend(old, changes)
    return replace(new, serial=serial, soa=soa), found


def replaced(old: Zone, new: Zone) -> ZoneDiff:
    """What differs to a version that was transferred whole. Raises ModelError when it is not newer."""
    if not serial_gt(new.serial, old.serial):
        raise ModelError(f"zone {old.origin.text} was transferred with serial {new.serial}, not above {old.serial}")
    return diff(old, new)


def soa_of(item: RRset) -> tuple[Soa, int]:
    """The fields of an SOA RRset, and its serial. Raises ModelError."""
    (rdata,) = item.rdatas
    try:
        mname, position = read_name(rdata, 0)
        rname, position = read_name(rdata, position)
        serial, refresh, retry, expire, minimum = struct.unpack_from("!5I", rdata, position)
    except (MessageError, struct.error) as error:
        raise ModelError(f"an SOA cannot be read: {error}") from None
    return Soa(mname, rname, refresh, retry, expire, minimum, item.ttl), serial


_NOTHING: Mapping[int, RRset] = {}


def _steps(records: Iterable[Record]) -> tuple[Step, ...]:
    """The differences between the outer SOAs: SOA, what goes, SOA, what comes, and so on."""
    parts: list[tuple[RRset, list[Record]]] = []
    for record in records:
        if record[1] == RRType.SOA:
            parts.append((_set(record), []))
        else:
            parts[-1][1].append(record)
    steps: list[Step] = []
    for (old, gone), (new, come) in zip(parts[::2], parts[1::2], strict=True):
        if steps and steps[-1].new_soa != old:
            raise MessageError(f"a step ends at {steps[-1].after}, the next one begins at {soa_serial(old)}")
        try:
            steps.append(Step(old, gather(gone), gather(come), new))
        except ModelError as error:
            raise MessageError(f"a step cannot be read: {error}") from None
    return tuple(steps)


def _set(record: Record) -> RRset:
    name, rtype, ttl, rdata = record
    try:
        return rrset(name, rtype, ttl, (rdata,))
    except ModelError as error:
        raise MessageError(f"a record cannot be read: {error}") from None


def _record(message: bytes, position: int) -> tuple[Record, int]:
    name, position = name_at(message, position)
    rtype, cls, ttl, size = struct.unpack_from("!HHIH", message, position)
    start = position + 10
    end = start + size
    if end > len(message) or cls != RRClass.IN:
        raise MessageError("a record is of another class, or runs over the end of the message")
    where = NAMES_IN_RDATA.get(rtype)
    if where is None:
        return (name, rtype, ttl, message[start:end]), end
    before, count = where
    rdata = message[start : start + before]
    position = start + before
    for _ in range(count):
        inner, position = name_at(message, position)
        rdata += inner.wire
    rest = 20 if rtype == RRType.SOA else 0
    if position + rest != end:
        raise MessageError(f"the data of a record at {name} is not what its type says")
    return (name, rtype, ttl, rdata + message[position:end]), end
