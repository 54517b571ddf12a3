"""Pure: STUN messages (RFC 8489) as values. No socket and no clock."""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from homing.errors import MessageError
from homing.model.address import Address

MAGIC_COOKIE = 0x2112A442
HEADER = struct.Struct("!HHI12s")
TRANSACTION_LENGTH = 12
"""Octets of a transaction id (RFC 8489, section 5)."""

MAX_MESSAGE = 1280
"""Octets of a whole message that are accepted: an answer to a Binding request has no reason to be longer."""

BINDING = 0x001
MAPPED_ADDRESS = 0x0001
ERROR_CODE = 0x0009
XOR_MAPPED_ADDRESS = 0x0020
SOFTWARE = 0x8022
ALTERNATE_SERVER = 0x8023
FINGERPRINT = 0x8028
TRY_ALTERNATE = 300

_FINGERPRINT_XOR = 0x5354554E
_INTEGRITY = (0x0008, 0x001C)
_UNDERSTOOD = frozenset(
    {
        *(MAPPED_ADDRESS, 0x0006, 0x0008, ERROR_CODE, 0x000A, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E),
        XOR_MAPPED_ADDRESS,
        # What RFC 3489 servers (RESPONSE-ADDRESS to REFLECTED-FROM) still add; it changes nothing in the address.
        *(0x0002, 0x0003, 0x0004, 0x0005, 0x0007, 0x000B),
    }
)


class Kind(enum.IntEnum):
    """The class bits of a message type (RFC 8489, section 5)."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


@dataclass(frozen=True, slots=True)
class StunMessage:
    """A STUN message. ``attributes`` are pairs of type and value without padding, in the order of the wire."""

    kind: Kind
    transaction: bytes
    attributes: tuple[tuple[int, bytes], ...] = ()
    method: int = BINDING

    def first(self, attribute: int) -> bytes | None:
        """The first attribute of a type; later ones are to be ignored (RFC 8489, section 14)."""
        return next((value for kind, value in self.attributes if kind == attribute), None)

    @property
    def not_understood(self) -> tuple[int, ...]:
        """The comprehension-required attributes that are not known here (RFC 8489, section 14)."""
        return tuple(kind for kind, _ in self.attributes if kind < 0x8000 and kind not in _UNDERSTOOD)

    @property
    def mapped(self) -> tuple[Address, int] | None:
        """Address and port in XOR-MAPPED-ADDRESS, None without one. Raises MessageError (section 14.2)."""
        value = self.first(XOR_MAPPED_ADDRESS)
        if value is None:
            return None
        address, port = read_address(value)
        pad = MAGIC_COOKIE.to_bytes(4, "big") + self.transaction
        packed = bytes(octet ^ mask for octet, mask in zip(address.packed, pad, strict=False))
        return _address(packed), port ^ (MAGIC_COOKIE >> 16)

    @property
    def error(self) -> tuple[int, str]:
        """Code and reason of ERROR-CODE. Raises MessageError (section 14.8)."""
        value = self.first(ERROR_CODE)
        if value is None or len(value) < 4:
            raise MessageError("STUN error without an error code")
        reason = value[4:84].decode("utf-8", "replace")
        return (value[2] & 0x07) * 100 + value[3], "".join(char for char in reason if char.isprintable())

    @property
    def alternate(self) -> tuple[Address, int] | None:
        """Address and port in ALTERNATE-SERVER, None without one. Raises MessageError (section 14.15)."""
        value = self.first(ALTERNATE_SERVER)
        return None if value is None else read_address(value)

    def encode(self, *, fingerprint: bool = False) -> bytes:
        """Wire form, padded with zeros; with a FINGERPRINT as its last attribute when asked for."""
        body = b"".join(
            struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4) for kind, value in self.attributes
        )
        length = len(body) + (8 if fingerprint else 0)
        wire = HEADER.pack(_type(self.method, self.kind), length, MAGIC_COOKIE, self.transaction) + body
        return wire + struct.pack("!HHI", FINGERPRINT, 4, _fingerprint(wire)) if fingerprint else wire


def binding_request(transaction: bytes) -> bytes:
    """A Binding request without attributes (RFC 8489, section 6.1)."""
    return StunMessage(Kind.REQUEST, transaction).encode()


def is_about(data: bytes, transaction: bytes) -> bool:
    """Whether a packet carries the magic cookie and this transaction id, whatever the rest may be."""
    return len(data) >= HEADER.size and data[4:20] == MAGIC_COOKIE.to_bytes(4, "big") + transaction


def message_length(header: bytes) -> int:
    """Octets of the whole message that starts with these 20: the framing of TCP. Raises MessageError."""
    kind, length, cookie, _ = HEADER.unpack_from(header)
    if kind & 0xC000 or cookie != MAGIC_COOKIE or length % 4:
        raise MessageError("not a STUN message")
    if length + HEADER.size > MAX_MESSAGE:
        raise MessageError(f"a STUN message of more than {MAX_MESSAGE} bytes")
    return int(length) + HEADER.size


def parse_message(data: bytes) -> StunMessage:
    """Read a whole message, checking its FINGERPRINT when there is one. Raises MessageError."""
    if len(data) < HEADER.size:
        raise MessageError("a truncated STUN message")
    if len(data) > MAX_MESSAGE:
        raise MessageError(f"a STUN message of more than {MAX_MESSAGE} bytes")
    length = message_length(data)
    if length != len(data):
        raise MessageError("a truncated STUN message" if length > len(data) else "bytes behind a STUN message")
    kind, _, _, transaction = HEADER.unpack_from(data)
    attributes = tuple(_attributes(data))
    method = (kind & 0x3E00) >> 2 | (kind & 0x00E0) >> 1 | (kind & 0x000F)
    return StunMessage(Kind(kind & 0x110), transaction, attributes, method)


def address_attribute(address: Address, port: int, transaction: bytes | None = None) -> bytes:
    """The value of an address attribute; XORed (XOR-MAPPED-ADDRESS) when a transaction id is given."""
    packed = address.packed
    if transaction is not None:
        pad = MAGIC_COOKIE.to_bytes(4, "big") + transaction
        packed = bytes(octet ^ mask for octet, mask in zip(packed, pad, strict=False))
        port ^= MAGIC_COOKIE >> 16
    return struct.pack("!BBH", 0, 1 if address.version == 4 else 2, port) + packed


def read_address(value: bytes) -> tuple[Address, int]:
    """The address and port of an address attribute, as they stand (RFC 8489, section 14.1). Raises MessageError."""
    if len(value) < 4 or (value[1], len(value)) not in {(1, 8), (2, 20)}:
        raise MessageError("a malformed address in a STUN message")
    return _address(value[4:]), int.from_bytes(value[2:4], "big")


def _address(packed: bytes) -> Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _attributes(data: bytes) -> Iterable[tuple[int, bytes]]:
    offset, signed = HEADER.size, False
    while offset < len(data):
        if offset + 4 > len(data):
            raise MessageError("a truncated attribute in a STUN message")
        kind, length = struct.unpack_from("!HH", data, offset)
        value = data[offset + 4 : offset + 4 + length]
        end = offset + 4 + length + -length % 4
        if end > len(data):
            raise MessageError("a truncated attribute in a STUN message")
        if kind == FINGERPRINT:
            if end != len(data) or value != _fingerprint(data[:offset]).to_bytes(4, "big"):
                raise MessageError("a STUN message with a wrong fingerprint")
        elif signed and kind not in _INTEGRITY:
            # What stands behind MESSAGE-INTEGRITY is not protected by it, and ignored (section 14.5).
            offset = end
            continue
        signed = signed or kind in _INTEGRITY
        yield kind, value
        offset = end


def _fingerprint(before: bytes) -> int:
    """CRC-32 over all that stands before the attribute; the length field already counts it (section 14.7)."""
    return zlib.crc32(before) ^ _FINGERPRINT_XOR


def _type(method: int, kind: Kind) -> int:
    return (method & 0xF80) << 2 | (method & 0x70) << 1 | (method & 0x0F) | kind
