"""Responses as octets: name compression, truncation, EDNS. Pure.

The question is echoed as it was asked, and every owner that equals a name already written points there, so the case of
the question comes back with the answer (0x20). Names in rdata are compressed only where the case is equal, so that a
target keeps the case it was given; and only in types of RFC 1035 (RFC 3597, section 4).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from homing.dns.message import (
    EDNS_UDP_SIZE,
    EDNS_VERSION,
    HEADER_SIZE,
    MAX_SIZE,
    Answer,
    Edns,
    Query,
    Question,
    Rcode,
    RRClass,
    read_name,
)
from homing.errors import MessageError
from homing.model.name import Name
from homing.model.rrset import RRset, RRType

_QR, _AA, _TC, _RD = 0x8000, 0x0400, 0x0200, 0x0100
_OPT_SIZE = 11
_POINTER = 0xC000
_MAX_POINTER = 0x3FFF

_NAMES_IN_RDATA = {RRType.NS: (0, 1), RRType.CNAME: (0, 1), RRType.SOA: (0, 2), 12: (0, 1), 15: (2, 1)}
"""Where names may be compressed in rdata, by type: octets before them, and how many; 12 is PTR, 15 is MX."""


def render(query: Query, answer: Answer, *, udp: bool) -> bytes:
    """The response to a query.

    Over UDP an answer that does not fit is sent empty with TC, so the client comes back by TCP (RFC 2181, section 9).
    Over TCP, where nothing comes after, an RRset is cut to the records that fit into 65535 octets. Additional
    RRsets that do not fit are left out; when a referral's glue does not over UDP, TC says so (RFC 9471, section 3.1).
    """
    limit = query.udp_limit if udp else MAX_SIZE
    writer = _Writer(query.question, limit - (_OPT_SIZE if query.edns else 0))
    flags = _QR | (_AA if answer.authoritative else 0) | (_RD if query.recursion_desired else 0)
    complete = writer.section(0, answer.answer) and writer.section(1, answer.authority)
    if complete:
        if not writer.section(2, answer.additional, whole=True) and udp and _is_referral(answer):
            flags |= _TC
    elif udp:
        writer = _Writer(query.question, limit)
        flags |= _TC
    return writer.message(query.id, flags, answer.rcode, query.edns)


def _is_referral(answer: Answer) -> bool:
    return any(rrset.type == RRType.NS for rrset in answer.authority)


def render_error(packet: bytes, rcode: Rcode, question: Question | None = None, edns: Edns | None = None) -> bytes:
    """The response to a packet that is no query to look up but has a header: no records, opcode and RD echoed."""
    flags = _QR | int.from_bytes(packet[2:4]) & (0x7800 | _RD)
    return _Writer(question, EDNS_UDP_SIZE).message(int.from_bytes(packet[:2]), flags, rcode, edns)


class _Writer:
    """Builds one message; ``limit`` is octets without the OPT record."""

    def __init__(self, question: Question | None, limit: int) -> None:
        self._out = bytearray(HEADER_SIZE)
        self._limit = limit
        self._counts = [0, 0, 0]
        self._exact: dict[tuple[bytes, ...], int] = {}
        self._folded: dict[tuple[bytes, ...], int] = {}
        self._questions = int(question is not None)
        if question is not None:
            self._name(question.name, exact=False)
            self._out += struct.pack("!2H", question.type, question.cls)

    def section(self, index: int, rrsets: Iterable[RRset], *, whole: bool = False) -> bool:
        """Write a section; False when it did not fit, what did fit being kept: ``whole`` RRsets, or single records."""
        for rrset in rrsets:
            start, count = len(self._out), self._counts[index]
            for rdata in rrset.rdatas:
                mark = len(self._out)
                self._record(rrset, rdata)
                if len(self._out) > self._limit:
                    del self._out[start if whole else mark :]
                    if whole:
                        self._counts[index] = count
                    return False
                self._counts[index] += 1
        return True

    def message(self, ident: int, flags: int, rcode: Rcode, edns: Edns | None) -> bytes:
        """The finished message."""
        answers, authorities, additionals = self._counts
        if edns is not None:
            additionals += 1
            extended = rcode >> 4 << 24 | EDNS_VERSION << 16 | (0x8000 if edns.dnssec_ok else 0)
            self._out += struct.pack("!BHHIH", 0, RRType.OPT, EDNS_UDP_SIZE, extended, 0)
        struct.pack_into(
            "!6H", self._out, 0, ident, flags | rcode & 0x0F, self._questions, answers, authorities, additionals
        )
        return bytes(self._out)

    def _record(self, rrset: RRset, rdata: bytes) -> None:
        self._name(rrset.name, exact=False)
        self._out += struct.pack("!HHIH", rrset.type, RRClass.IN, rrset.ttl, len(rdata))
        if rrset.type not in _NAMES_IN_RDATA:
            self._out += rdata
            return
        start = len(self._out)
        self._rdata_with_names(rdata, *_NAMES_IN_RDATA[rrset.type])
        struct.pack_into("!H", self._out, start - 2, len(self._out) - start)

    def _rdata_with_names(self, rdata: bytes, position: int, count: int) -> None:
        names: list[Name] = []
        before, end = rdata[:position], position
        try:
            for _ in range(count):
                name, end = read_name(rdata, end)
                names.append(name)
        except MessageError:  # not what its type says; it goes out as it came
            self._out += rdata
            return
        self._out += before
        for name in names:
            self._name(name, exact=True)
        self._out += rdata[end:]

    def _name(self, name: Name, *, exact: bool) -> None:
        labels = name.labels if exact else name.key
        known = self._exact if exact else self._folded
        for index, label in enumerate(name.labels):
            offset = known.get(labels[index:])
            if offset is not None:
                self._out += (_POINTER | offset).to_bytes(2)
                return
            here = len(self._out)
            if here <= _MAX_POINTER:
                self._exact.setdefault(name.labels[index:], here)
                self._folded.setdefault(name.key[index:], here)
            self._out.append(len(label))
            self._out += label
        self._out.append(0)
