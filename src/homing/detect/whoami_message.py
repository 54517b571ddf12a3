"""Pure: the one DNS question and answer that a whoami service needs (RFC 1035, section 4), bounds checked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from homing.errors import MessageError, ModelError
from homing.model.address import Address, parse_address
from homing.model.name import Name

TYPE_A = 1
TYPE_TXT = 16
TYPE_AAAA = 28
CLASS_IN = 1
CLASS_CH = 3

MAX_ANSWERS = 16
"""Records of an answer that are looked at."""

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_RESPONSE, _OPCODE, _TRUNCATED, _RCODE = 0x8000, 0x7800, 0x0200, 0x000F
_RCODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_SUBNET = b"edns0-client-subnet"


def build_query(identifier: int, name: Name, rdtype: int, rdclass: int) -> bytes:
    """A query with recursion desired (RFC 1035, section 4.1)."""
    return _HEADER.pack(identifier, 0x0100, 1, 0, 0, 0) + name.wire + struct.pack("!HH", rdtype, rdclass)


def read_answer(query: bytes, data: bytes) -> Address | None:
    """The one address that an answer to ``query`` holds; None when the packet does not answer it.

    TXT strings that begin with ``edns0-client-subnet`` are left out: they tell of the resolver's question.
    Raises MessageError, whose text goes on from ``the server``.
    """
    question = query[_HEADER.size :]
    if len(data) < _HEADER.size or data[:2] != query[:2]:
        return None
    _, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    echoed = data[_HEADER.size : _HEADER.size + len(question)]
    if not flags & _RESPONSE or flags & _OPCODE:
        return None
    rcode = flags & _RCODE
    if rcode and not (questions and echoed.lower() != question.lower()):
        raise MessageError(f"refused the question ({_RCODES.get(rcode, f'code {rcode}')})")
    if questions != 1 or echoed.lower() != question.lower():
        return None
    if flags & _TRUNCATED:
        raise MessageError("sent a truncated answer")
    rdtype, rdclass = struct.unpack("!HH", question[-4:])
    found = {
        address
        for kind, owner_class, rdata in _records(data, _HEADER.size + len(question), answers, question[:-4])
        if kind == rdtype and owner_class == rdclass
        for address in _addresses(rdtype, rdata)
    }
    if len(found) != 1:
        raise MessageError("sent several addresses" if found else "sent an answer without an address")
    return found.pop()


def _records(data: bytes, offset: int, count: int, owner: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, class and data of the records that belong to the owner."""
    if count > MAX_ANSWERS:
        raise MessageError(f"sent more than {MAX_ANSWERS} records")
    for _ in range(count):
        name, offset = _name(data, offset)
        if offset + _RECORD.size > len(data):
            raise MessageError("sent a truncated record")
        kind, owner_class, _, length = _RECORD.unpack_from(data, offset)
        offset += _RECORD.size
        if offset + length > len(data):
            raise MessageError("sent a truncated record")
        if name.lower() == owner.lower():
            yield kind, owner_class, data[offset : offset + length]
        offset += length


def _name(data: bytes, offset: int) -> tuple[bytes, int]:
    """An owner name in uncompressed wire form and where it ends; pointers go strictly back (section 4.1.4)."""
    wire, end, limit = bytearray(), 0, offset
    while True:
        if offset >= len(data) or len(wire) > 255:
            raise MessageError("sent a malformed name")
        length = data[offset]
        if length >= 0xC0:
            target = int.from_bytes(data[offset : offset + 2], "big") & 0x3FFF
            if offset + 2 > len(data) or target >= limit:
                raise MessageError("sent a malformed name")
            end = end or offset + 2
            offset = limit = target
            continue
        if length > 63 or offset + 1 + length > len(data):
            raise MessageError("sent a malformed name")
        wire += data[offset : offset + 1 + length]
        offset += 1 + length
        if not length:
            return bytes(wire), end or offset


def _addresses(rdtype: int, rdata: bytes) -> Iterator[Address]:
    if rdtype != TYPE_TXT:
        if len(rdata) != (4 if rdtype == TYPE_A else 16):
            raise MessageError("sent an address of a wrong length")
        yield IPv4Address(rdata) if rdtype == TYPE_A else IPv6Address(rdata)
        return
    offset = 0
    strings: list[bytes] = []
    while offset < len(rdata):
        end = offset + 1 + rdata[offset]
        if end > len(rdata):
            raise MessageError("sent a truncated text")
        strings.append(rdata[offset + 1 : end])
        offset = end
    for string in strings:
        if string.startswith(_SUBNET):
            return
        try:
            yield parse_address(string.decode("ascii"))
        except (UnicodeDecodeError, ModelError):
            raise MessageError("sent a text that is not an address") from None
