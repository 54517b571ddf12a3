"""Responses as octets: name compression, truncation, EDNS. Pure.

The question is echoed as it was asked, and every owner that equals a name already written points there, so the case of
the question comes back with the answer (0x20). All that stands behind the question is the same whatever its case, so
that it can be kept for the next who asks: names in rdata are compressed only against names that come from a zone, and
only where the case is equal, so that a target keeps the case it was given; and only in types of RFC 1035 (RFC 3597,
section 4).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from homing.dns.edns import Edns
from homing.dns.message import (
    EDNS_UDP_SIZE,
    EDNS_VERSION,
    HEADER_SIZE,
    MAX_SIZE,
    Answer,
    Query,
    Question,
    Rcode,
    RRClass,
    read_name,
)
from homing.errors import MessageError
from homing.model.name import Name
from homing.model.rrset import FAMILIES, RRset, RRType

_QR, _AA, _TC, _RD = 0x8000, 0x0400, 0x0200, 0x0100
_OPT_SIZE = 11
_POINTER = 0xC000
_MAX_POINTER = 0x3FFF

_NAMES_IN_RDATA = {RRType.NS: (0, 1), RRType.CNAME: (0, 1), RRType.SOA: (0, 2), 12: (0, 1), 15: (2, 1)}
"""Where names may be compressed in rdata, by type: octets before them, and how many; 12 is PTR, 15 is MX."""


def render(query: Query, answer: Answer, *, udp: bool, options: bytes = b"", turn: int = 0) -> bytes:
    """The response to a query; with EDNS its last record is the OPT, which holds the encoded ``options``.

    Over UDP an answer that does not fit is sent empty with TC, so the client comes back by TCP (RFC 2181, section 9).
    Over TCP, where nothing comes after, an RRset is cut to the records that fit into 65535 octets. Additional
    RRsets that do not fit are left out; when a referral's glue does not over UDP, TC says so (RFC 9471, section 3.1).
    The address RRsets of the answer start at record ``turn``, counted in circles, and so does what is cut from them.
    """
    edns, question = query.edns, query.question
    limit = (query.udp_limit if udp else MAX_SIZE) - (_OPT_SIZE + len(options) if edns is not None else 0)
    writer = _Writer(question, limit)
    flags = _QR | (_AA if answer.authoritative else 0) | (_RD if query.recursion_desired else 0)
    if writer.section(0, answer.answer, turn=turn) and writer.section(1, answer.authority):
        if not writer.section(2, answer.additional, whole=True) and udp and _is_referral(answer):
            flags |= _TC
    elif udp:
        writer = _Writer(question, limit)
        flags |= _TC
    return writer.message(query.id, flags, answer.rcode, edns, options)


def _is_referral(answer: Answer) -> bool:
    return any(rrset.type == RRType.NS for rrset in answer.authority)


def render_error(
    packet: bytes, rcode: Rcode, question: Question | None = None, edns: Edns | None = None, options: bytes = b""
) -> bytes:
    """The response to a packet that is no query to look up but has a header: no records, opcode and RD echoed."""
    flags = _QR | int.from_bytes(packet[2:4]) & (0x7800 | _RD)
    return _Writer(question, EDNS_UDP_SIZE).message(int.from_bytes(packet[:2]), flags, rcode, edns, options)


class _Writer:
    """Builds one message; ``limit`` is octets without the OPT record. Records have the class of the question."""

    def __init__(self, question: Question | None, limit: int) -> None:
        self._out = bytearray(HEADER_SIZE)
        self._limit = limit
        self._counts = [0, 0, 0]
        self._folded: dict[tuple[bytes, ...], int] = {}
        self._from_zone: dict[tuple[bytes, ...], int] = {}
        self._class = RRClass.CH if question is not None and question.cls == RRClass.CH else RRClass.IN
        self._questions = int(question is not None)
        if question is not None:
            self._ask(question)

    def section(self, index: int, rrsets: Iterable[RRset], *, whole: bool = False, turn: int = 0) -> bool:
        """Write a section; False when it did not fit, what did fit being kept: ``whole`` RRsets, or single records.

        After that no more is written: names are known that were cut off.
        """
        out, limit = self._out, self._limit
        for rrset in rrsets:
            start, count = len(out), self._counts[index]
            for rdata in _turned(rrset, turn):
                mark = len(out)
                self._name(rrset.name, rrset.name.key, self._folded)
                if rrset.type in _NAMES_IN_RDATA:
                    out += struct.pack("!HHI", rrset.type, self._class, rrset.ttl)
                    self._rdata_with_names(rdata, *_NAMES_IN_RDATA[rrset.type])
                else:
                    out += struct.pack("!HHIH", rrset.type, self._class, rrset.ttl, len(rdata))
                    out += rdata
                if len(out) > limit:
                    del out[start if whole else mark :]
                    if whole:
                        self._counts[index] = count
                    return False
                self._counts[index] += 1
        return True

    def message(self, ident: int, flags: int, rcode: Rcode, edns: Edns | None, options: bytes) -> bytes:
        """The finished message."""
        answers, authorities, additionals = self._counts
        if edns is not None:
            additionals += 1
            extended = rcode >> 4 << 24 | EDNS_VERSION << 16 | (0x8000 if edns.dnssec_ok else 0)
            self._out += struct.pack("!BHHIH", 0, RRType.OPT, EDNS_UDP_SIZE, extended, len(options))
            self._out += options
        struct.pack_into(
            "!6H", self._out, 0, ident, flags | rcode & 0x0F, self._questions, answers, authorities, additionals
        )
        return bytes(self._out)

    def _ask(self, question: Question) -> None:
        out, key = self._out, question.name.key
        for index, label in enumerate(question.name.labels):
            self._folded[key[index:]] = len(out)
            out.append(len(label))
            out += label
        out += struct.pack("!BHH", 0, question.type, question.cls)

    def _rdata_with_names(self, rdata: bytes, position: int, count: int) -> None:
        """The length, then the rdata."""
        out = self._out
        names: list[Name] = []
        start, end = len(out), position
        try:
            for _ in range(count):
                name, end = read_name(rdata, end)
                names.append(name)
        except MessageError:  # not what its type says; it goes out as it came
            out += len(rdata).to_bytes(2)
            out += rdata
            return
        out += b"\0\0"
        out += rdata[:position]
        for name in names:
            self._name(name, name.labels, self._from_zone)
        out += rdata[end:]
        struct.pack_into("!H", out, start, len(out) - start - 2)

    def _name(self, name: Name, labels: tuple[bytes, ...], known: dict[tuple[bytes, ...], int]) -> None:
        """Write a name, ending in a pointer where its last ``labels`` are known."""
        out = self._out
        offset, end = None, len(labels)
        for index in range(end):
            offset = known.get(labels[index:])
            if offset is not None:
                end = index
                break
        # An owner that ends in a pointer may end in the question.
        from_zone = offset is None or known is self._from_zone
        for index in range(end):
            here, label = len(out), name.labels[index]
            if here <= _MAX_POINTER:
                self._folded.setdefault(name.key[index:], here)
                if from_zone:
                    self._from_zone.setdefault(name.labels[index:], here)
            out.append(len(label))
            out += label
        out += b"\0" if offset is None else (_POINTER | offset).to_bytes(2)


def _turned(rrset: RRset, turn: int) -> tuple[bytes, ...]:
    """The records in the order in which they go out."""
    rdatas = rrset.rdatas
    start = turn % len(rdatas) if turn and rrset.type in FAMILIES else 0
    return (*rdatas[start:], *rdatas[:start]) if start else rdatas
