"""DNS messages as values, and the reading of queries. Pure: octets in, frozen values or a verdict out.

Nothing here follows a compression pointer: a query has no use for one where it matters, so none can lead in circles.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import NoReturn

from homing.dns.edns import Edns, read_opt
from homing.errors import MessageError
from homing.model.name import MAX_LABEL, MAX_WIRE, Name
from homing.model.rrset import RRset, RRType

HEADER_SIZE = 12
"""Octets of a message's header (RFC 1035, section 4.1.1)."""

PLAIN_UDP_SIZE = 512
"""Octets of a UDP answer to a client without EDNS, and the least that one with EDNS takes (RFC 6891, section 6.2.3)."""

EDNS_UDP_SIZE = 1232
"""Octets offered by EDNS and never exceeded over UDP: passes every IPv6 link unfragmented (1280 - 40 - 8)."""

MAX_SIZE = 65535
"""Octets of a message over TCP, by its two octets of length."""

EDNS_VERSION = 0
"""The one version of EDNS there is (RFC 6891)."""

_MAX_ADDITIONAL = 2
"""An OPT and a TSIG or SIG(0) record are all that a query can carry in its additional section."""

_MAX_WALK = 16
"""Questions and records looked at for the OPT of a message that is not a query."""

_TSIG = 250
_IXFR = 251


class Opcode(enum.IntEnum):
    """The opcodes Homing knows by name (RFC 6895, section 2.2)."""

    QUERY = 0
    NOTIFY = 4
    UPDATE = 5


class RRClass(enum.IntEnum):
    """The classes Homing knows by name (RFC 6895, section 3.2)."""

    IN = 1
    CH = 3
    ANY = 255


class Rcode(enum.IntEnum):
    """Response codes, the extended ones too (RFC 6895, section 2.3)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    YXDOMAIN = 6
    NOTAUTH = 9
    BADVERS = 16
    BADCOOKIE = 23


class Verdict(enum.Enum):
    """What to do with a packet, by its header alone."""

    ANSWER = "answer"
    DROP = "drop"
    """Not a query: shorter than a header, or itself a response; answering could start a loop between two servers."""
    FORMERR = "format error"
    NOTIMP = "opcode not implemented"
    REFUSED = "a NOTIFY or UPDATE from a stranger"
    COOKIE = "a query for a server cookie"
    """Without a question, with a COOKIE option (RFC 7873, section 5.4); ``judge`` calls it FORMERR."""

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is neither true nor false; compare it with Verdict.ANSWER")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. ``name`` keeps the case of the query, which the answer echoes."""

    name: Name
    type: int
    cls: int


@dataclass(frozen=True, slots=True)
class Query:
    """A well-formed query. ``signed`` tells of a TSIG record, whose signature nobody has looked at."""

    id: int
    recursion_desired: bool
    question: Question
    edns: Edns | None = None
    signed: bool = False

    @property
    def udp_limit(self) -> int:
        """Octets that an answer over UDP may have."""
        if self.edns is None:
            return PLAIN_UDP_SIZE
        return max(PLAIN_UDP_SIZE, min(self.edns.payload, EDNS_UDP_SIZE))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response says, apart from the query it belongs to."""

    rcode: Rcode
    authoritative: bool = False
    answer: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[RRset, ...] = ()


class BadQuery(MessageError):  # noqa: N818 - says what it is: the query, not an event
    """A packet that is not a query to look up.

    ``verdict`` tells what to do with it and is never ANSWER. ``question`` and ``edns`` hold what could be read before.
    """

    def __init__(
        self, verdict: Verdict, reason: str, *, question: Question | None = None, edns: Edns | None = None
    ) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.question = question
        self.edns = edns


def judge(packet: bytes) -> Verdict:
    """The verdict on a packet by its header (RFC 1035, section 4.1.1; RFC 9619 for the number of questions)."""
    if len(packet) < HEADER_SIZE or packet[2] & 0x80:
        return Verdict.DROP
    opcode = packet[2] >> 3 & 0x0F
    if opcode != Opcode.QUERY:
        return Verdict.REFUSED if opcode in (Opcode.NOTIFY, Opcode.UPDATE) else Verdict.NOTIMP
    questions, answers, authorities, additionals = struct.unpack_from("!4H", packet, 4)
    if questions != 1 or answers or authorities > 1 or additionals > _MAX_ADDITIONAL:
        return Verdict.FORMERR
    return Verdict.ANSWER


def parse_query(packet: bytes) -> Query:
    """Read a query of opcode QUERY to its last octet.

    Raises BadQuery for anything else: other opcodes, not exactly one question, records that do not belong into a query,
    a second OPT or one not owned by the root, octets behind the message (RFC 1035, section 4; RFC 6891, section 6.1).
    """
    verdict = judge(packet)
    if verdict is not Verdict.ANSWER:
        edns = None if verdict is Verdict.DROP else _find_opt(packet)
        if edns is not None and edns.cookie is not None and _asks_nothing(packet):
            verdict = Verdict.COOKIE
        raise BadQuery(verdict, f"header: {verdict.value}", edns=edns)
    try:
        name, end = read_name(packet, HEADER_SIZE)
        rtype, cls = struct.unpack_from("!2H", packet, end)
    except (MessageError, struct.error) as error:
        raise BadQuery(Verdict.FORMERR, f"question: {error}", edns=_find_opt(packet)) from None
    question = Question(name, rtype, cls)
    edns, signed = _read_records(packet, end + 4, question)
    return Query(int.from_bytes(packet[:2]), bool(packet[2] & 0x01), question, edns, signed)


def read_name(wire: bytes, start: int) -> tuple[Name, int]:
    """The uncompressed name at an offset and the offset behind it.

    Raises MessageError for pointers, unknown label types, more than 255 octets, and a name that does not end.
    """
    labels: list[bytes] = []
    position = start
    while True:
        if position >= len(wire):
            raise MessageError("a name runs over the end of the message")
        length = wire[position]
        position += 1
        if not length:
            break
        if length > MAX_LABEL:
            raise MessageError("a compressed name or an unknown label type stands where neither may be")
        labels.append(wire[position : position + length])
        position += length
        if position - start >= MAX_WIRE:
            raise MessageError(f"a name is longer than {MAX_WIRE} octets")
    return Name(tuple(labels)), position


def _read_records(packet: bytes, position: int, question: Question) -> tuple[Edns | None, bool]:
    """The OPT record and whether there is a TSIG, from all that follows the question."""
    edns: Edns | None = None
    signed = False
    authorities, additionals = struct.unpack_from("!2H", packet, 8)

    def refuse(reason: str) -> NoReturn:
        raise BadQuery(Verdict.FORMERR, reason, question=question, edns=edns)

    if authorities and question.type != _IXFR:  # the client's SOA (RFC 1995, section 3)
        refuse("a record in the authority section of a query that is not IXFR")
    for index in range(authorities + additionals):
        is_root = packet[position : position + 1] == b"\0"
        try:
            position = _skip_name(packet, position)
            rtype, cls, ttl, length = struct.unpack_from("!HHIH", packet, position)
        except (MessageError, struct.error) as error:
            refuse(f"record: {error}")
        position += 10 + length
        if position > len(packet):
            refuse("a record runs over the end of the message")
        if signed:
            refuse("a record behind the TSIG (RFC 8945, section 5.1)")
        if index < authorities:
            continue
        if rtype == RRType.OPT:
            if edns is not None or not is_root:
                refuse("a second OPT, or one not owned by the root (RFC 6891, section 6.1)")
            try:
                edns = read_opt(cls, ttl, packet[position - length : position])
            except MessageError as error:
                edns = read_opt(cls, ttl, b"")
                refuse(str(error))
        signed = rtype == _TSIG
    if position != len(packet):
        refuse("octets behind the message")
    return edns, signed


def _skip_name(packet: bytes, position: int) -> int:
    """The offset behind a name that may end in a pointer, which is not followed."""
    start = position
    while position < len(packet) and position - start < MAX_WIRE:
        length = packet[position]
        if length >= 0xC0:
            return position + 2
        if length > MAX_LABEL:
            raise MessageError("an unknown label type")
        position += 1 + length
        if not length:
            return position
    raise MessageError("a name does not end")


def _find_opt(packet: bytes) -> Edns | None:
    """The OPT of a message that is malformed or no query, so that its response has one too (RFC 6891, section 7)."""
    questions, *records = struct.unpack_from("!4H", packet, 4)
    position = HEADER_SIZE
    if questions + sum(records) > _MAX_WALK:
        return None
    try:
        for _ in range(questions):
            position = _skip_name(packet, position) + 4
        for _ in range(sum(records)):
            is_root = packet[position : position + 1] == b"\0"
            position = _skip_name(packet, position)
            rtype, cls, ttl, length = struct.unpack_from("!HHIH", packet, position)
            position += 10 + length
            if rtype == RRType.OPT and is_root:
                return _read_or_bare(cls, ttl, packet[position - length : position])
    except (MessageError, struct.error):
        pass
    return None


def _read_or_bare(payload: int, ttl: int, rdata: bytes) -> Edns:
    try:
        return read_opt(payload, ttl, rdata)
    except MessageError:
        return read_opt(payload, ttl, b"")


def _asks_nothing(packet: bytes) -> bool:
    """Whether a message with an OPT is a query of just that, to its last octet."""
    size = HEADER_SIZE + 11 + int.from_bytes(packet[HEADER_SIZE + 9 : HEADER_SIZE + 11])
    return not packet[2] & 0x78 and packet[4:HEADER_SIZE] == bytes(7) + b"\x01" and len(packet) == size
