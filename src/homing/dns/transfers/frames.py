"""Messages over a TCP stream, each behind its length (RFC 1035, section 4.2.2), and the NOTIFY that goes over it."""

from __future__ import annotations

import asyncio
import struct

from homing.dns.message import HEADER_SIZE, Opcode, RRClass
from homing.model.name import Name
from homing.model.rrset import RRset, RRType

NOTIFY_FLAGS = Opcode.NOTIFY << 11 | 0x0400


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next message. Raises EOFError at the end of the stream, OSError."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))


def frame(message: bytes) -> bytes:
    """The message behind its length."""
    return len(message).to_bytes(2) + message


def notify(ident: int, soa: RRset) -> bytes:
    """A NOTIFY with the new SOA (RFC 1996, section 3.7)."""
    (rdata,) = soa.rdatas
    message = struct.pack("!6H", ident, NOTIFY_FLAGS, 1, 1, 0, 0)
    message += soa.name.wire + struct.pack("!2H", RRType.SOA, RRClass.IN)
    return message + struct.pack("!HHHIH", 0xC000 | HEADER_SIZE, RRType.SOA, RRClass.IN, soa.ttl, len(rdata)) + rdata


def is_notify(message: bytes) -> bool:
    """Whether it is a NOTIFY, not an answer to one."""
    return len(message) >= HEADER_SIZE and message[2] & 0xF8 == Opcode.NOTIFY << 3


def soa_query(ident: int, origin: Name) -> bytes:
    """A query for the SOA of a zone."""
    return struct.pack("!6H", ident, 0, 1, 0, 0, 0) + origin.wire + struct.pack("!2H", RRType.SOA, RRClass.IN)
