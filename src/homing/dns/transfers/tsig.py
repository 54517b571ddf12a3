"""Transaction signatures (RFC 8945): shared keys, the verification of messages, the signing of single ones and of
streams. Pure; the time is given in Unix seconds. Names of keys go into errors and logs, secrets never do.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType

from homing.dns.message import HEADER_SIZE, Rcode, RRClass, read_name
from homing.errors import MessageError, ModelError
from homing.model.name import Name, parse_name

FUDGE = 300
"""Seconds that two clocks may differ (RFC 8945, section 10)."""

TSIG = 250
"""The type's number (RFC 8945, section 4.2)."""

_ALGORITHMS = MappingProxyType(
    {
        "hmac-sha256": hashlib.sha256,
        "hmac-sha384": hashlib.sha384,
        "hmac-sha512": hashlib.sha512,
        "hmac-sha1": hashlib.sha1,
    }
)
_WEAK = "hmac-sha1"
_LEAST_MAC = 10
_MAX_POINTERS = 16
"""Compression pointers followed in one name; each must lead backwards."""


class TsigError(enum.IntEnum):
    """What is wrong with a signature (RFC 8945, section 3)."""

    NONE = 0
    BADSIG = 16
    BADKEY = 17
    BADTIME = 18
    BADTRUNC = 22


@dataclass(frozen=True, slots=True)
class Key:
    """A key shared with another server. Build one by ``tsig_key()``."""

    name: Name
    algorithm: str
    secret: bytes = field(repr=False)

    def mac(self, data: bytes) -> bytes:
        """The MAC of octets."""
        return hmac.digest(self.secret, data, _ALGORITHMS[self.algorithm]().name)

    @property
    def mac_size(self) -> int:
        """Octets of a MAC."""
        return _ALGORITHMS[self.algorithm]().digest_size

    @property
    def record_size(self) -> int:
        """Octets that a TSIG record of this key takes at most, with the other data of BADTIME."""
        return len(self.name.wire) + len(self.algorithm) + 2 + 10 + 16 + self.mac_size + 6


def tsig_key(name: str, algorithm: str, secret: str, *, allow_sha1: bool = False) -> Key:
    """A key from its name, algorithm (``hmac-sha256``, ``-sha384``, ``-sha512``) and Base64 secret.

    ``hmac-sha1`` only where allowed. Raises ModelError, which never shows the secret.
    """
    chosen = algorithm.lower().rstrip(".")
    if chosen not in _ALGORITHMS or (chosen == _WEAK and not allow_sha1):
        raise ModelError(f"TSIG key {name}: algorithm {algorithm[:40]!r} is not one of hmac-sha256, -sha384, -sha512")
    try:
        octets = base64.b64decode("".join(secret.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ModelError(f"TSIG key {name}: the secret is not Base64") from None
    if not octets:
        raise ModelError(f"TSIG key {name}: the secret is empty")
    return Key(parse_name(name), chosen, octets)


class Keyring:
    """The keys known, by name."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = {key.name: key for key in keys}

    def find(self, name: Name, algorithm: Name) -> Key | None:
        """The key of this name, if it is for this algorithm."""
        key = self._keys.get(name)
        return key if key is not None and _algorithm_name(key) == algorithm else None


@dataclass(frozen=True, slots=True)
class Signature:
    """A TSIG record as read (RFC 8945, section 4.2). ``time`` is Unix seconds."""

    key_name: Name
    algorithm: Name
    time: int
    fudge: int
    mac: bytes
    original_id: int
    error: int
    other: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """A message whose signature holds: the message without the TSIG record, the key, and the MAC to chain from."""

    message: bytes
    key: Key
    mac: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message whose signature does not hold. ``key`` is there when an answer can be signed (BADTIME, BADTRUNC)."""

    message: bytes
    error: TsigError
    signature: Signature
    key: Key | None = None


def split(packet: bytes) -> tuple[bytes, Signature] | None:
    """A message without its TSIG record, ID and counts as they were when signed, and the record; None without one.

    Raises MessageError when it cannot be read, or the TSIG is not the last record or stands twice.
    """
    if len(packet) < HEADER_SIZE:
        raise MessageError("a message is shorter than its header")
    questions, *counts = struct.unpack_from("!4H", packet, 4)
    position = HEADER_SIZE
    try:
        for _ in range(questions):
            position = name_at(packet, position)[1] + 4
        total = sum(counts)
        for index in range(total):
            start = position
            owner, position = name_at(packet, position)
            rtype, cls, ttl, size = struct.unpack_from("!HHIH", packet, position)
            position += 10 + size
            if position > len(packet):
                raise MessageError("a record runs over the end of the message")
            if rtype != TSIG:
                continue
            if index < total - 1 or not counts[2] or cls != RRClass.ANY or ttl or position != len(packet):
                raise MessageError("a TSIG record is not the last one, or not of class ANY with TTL 0")
            signature = _signature(owner, packet[position - size : position])
            message = bytearray(packet[:start])
            struct.pack_into("!H", message, 0, signature.original_id)
            struct.pack_into("!H", message, 10, counts[2] - 1)
            return bytes(message), signature
    except (struct.error, ModelError) as error:
        raise MessageError(f"a record cannot be read: {error}") from None
    return None


def verify(packet: bytes, keys: Keyring, now: float, *, request_mac: bytes = b"") -> Verified | Rejected | None:
    """Check the signature of a message; None when there is no TSIG record (RFC 8945, section 5.2).

    ``request_mac`` is that of the request when the message is its response. Raises MessageError when malformed.
    """
    parts = split(packet)
    if parts is None:
        return None
    signed, signature = parts
    message = packet[:2] + signed[2:]  # a forwarder may have changed the ID; the answer goes by the one that came
    key = keys.find(signature.key_name, signature.algorithm)
    if key is None:
        return Rejected(message, TsigError.BADKEY, signature)
    size = len(signature.mac)
    if size > key.mac_size or (0 < size < max(_LEAST_MAC, key.mac_size // 2)):
        raise MessageError("a MAC has a length that no truncation gives (RFC 8945, section 5.2.2.1)")
    data = _prefixed(request_mac) + signed + _variables(signature)
    if not size or not hmac.compare_digest(key.mac(data)[:size], signature.mac):
        return Rejected(message, TsigError.BADSIG, signature)
    if abs(int(now) - signature.time) > signature.fudge:
        return Rejected(message, TsigError.BADTIME, signature, key)
    if size < key.mac_size:
        return Rejected(message, TsigError.BADTRUNC, signature, key)
    return Verified(message, key, signature.mac)


class Signer:
    """Signs the messages of one answer, each chained to the one before (RFC 8945, section 5.3.1).

    ``request_mac`` is empty for a request.
    """

    def __init__(self, key: Key, request_mac: bytes = b"") -> None:
        self.key = key
        self._mac = request_mac
        self._first = True

    @property
    def mac(self) -> bytes:
        """The MAC of the message signed last."""
        return self._mac

    def sign(self, message: bytes, now: float, error: TsigError = TsigError.NONE, other: bytes = b"") -> bytes:
        """The message with a TSIG record; ``now`` is Unix seconds."""
        ident = int.from_bytes(message[:2])
        plain = Signature(self.key.name, _algorithm_name(self.key), int(now), FUDGE, b"", ident, error, other)
        variables = _variables(plain) if self._first else _timers(plain)
        self._mac = self.key.mac(_prefixed(self._mac) + message + variables)
        self._first = False
        return _attach(message, plain, self._mac)


class Verifier:
    """Checks the messages of one answer, each chained to the one before (RFC 8945, section 5.3.1); all must be signed.

    ``request_mac`` is that of the request.
    """

    def __init__(self, key: Key, request_mac: bytes) -> None:
        self._key = key
        self._mac = request_mac
        self._first = True

    def check(self, packet: bytes, now: float) -> bytes:
        """The message without its TSIG record; ``now`` is Unix seconds. Raises MessageError when it does not hold."""
        parts = split(packet)
        if parts is None:
            raise MessageError("an answer is not signed")
        message, signature = parts
        known = (signature.key_name, signature.algorithm) == (self._key.name, _algorithm_name(self._key))
        if not known or signature.error:
            raise MessageError(f"an answer is signed with another key, or tells error {signature.error}")
        data = _prefixed(self._mac) + message + (_variables(signature) if self._first else _timers(signature))
        if not hmac.compare_digest(self._key.mac(data), signature.mac):
            raise MessageError("the signature of an answer does not hold")
        if abs(int(now) - signature.time) > signature.fudge:
            raise MessageError("an answer was signed at another time; set the clocks")
        self._mac, self._first = signature.mac, False
        return message


def reject(response: bytes, rejected: Rejected, now: float) -> bytes:
    """The response to a message whose signature does not hold, with its TSIG record (RFC 8945, section 5.3.2).

    ``response`` is NOTAUTH without records. BADTIME carries the request's time and ours, and is signed as BADTRUNC is.
    """
    signature = rejected.signature
    if rejected.key is None:
        plain = Signature(
            signature.key_name,
            signature.algorithm,
            signature.time,
            FUDGE,
            b"",
            signature.original_id,
            rejected.error,
            b"",
        )
        return _attach(response, plain, b"")
    signer = Signer(rejected.key, signature.mac)
    if rejected.error is TsigError.BADTIME:
        return signer.sign(response, signature.time, rejected.error, int(now).to_bytes(6))
    return signer.sign(response, now, rejected.error)


REJECTION = Rcode.NOTAUTH
"""The response code to every signature that does not hold."""


def _attach(message: bytes, plain: Signature, mac: bytes) -> bytes:
    rdata = plain.algorithm.wire + plain.time.to_bytes(6) + struct.pack("!HH", plain.fudge, len(mac)) + mac
    rdata += struct.pack("!HHH", plain.original_id, plain.error, len(plain.other)) + plain.other
    record = plain.key_name.wire + struct.pack("!HHIH", TSIG, RRClass.ANY, 0, len(rdata)) + rdata
    (additionals,) = struct.unpack_from("!H", message, 10)
    return message[:10] + struct.pack("!H", additionals + 1) + message[12:] + record


def _prefixed(mac: bytes) -> bytes:
    return struct.pack("!H", len(mac)) + mac if mac else b""


def _variables(item: Signature) -> bytes:
    """What a MAC covers of the TSIG record (RFC 8945, section 4.3.3)."""
    names = Name(item.key_name.key).wire + struct.pack("!HI", RRClass.ANY, 0) + Name(item.algorithm.key).wire
    return names + _timers(item) + struct.pack("!HH", item.error, len(item.other)) + item.other


def _timers(item: Signature) -> bytes:
    return item.time.to_bytes(6) + struct.pack("!H", item.fudge)


def _algorithm_name(key: Key) -> Name:
    return parse_name(key.algorithm)


def _signature(owner: Name, rdata: bytes) -> Signature:
    algorithm, position = read_name(rdata, 0)
    time = int.from_bytes(rdata[position : position + 6])
    fudge, size = struct.unpack_from("!HH", rdata, position + 6)
    position += 10
    mac = rdata[position : position + size]
    ident, error, length = struct.unpack_from("!HHH", rdata, position + size)
    other = rdata[position + size + 6 :]
    if len(other) != length:
        raise MessageError("a TSIG record's other data has another length than it says")
    return Signature(owner, algorithm, time, fudge, mac, ident, error, other)


def name_at(packet: bytes, position: int) -> tuple[Name, int]:
    """The name at an offset, pointers followed backwards only, and the offset behind it.

    Raises MessageError, ModelError or struct.error when it cannot be read.
    """
    labels: list[bytes] = []
    end = 0
    hops = 0
    while True:
        if position >= len(packet):
            raise MessageError("a name runs over the end of the message")
        size = packet[position]
        if size >= 0xC0:
            (target,) = struct.unpack_from("!H", packet, position)
            end = end or position + 2
            hops += 1
            if target & 0x3FFF >= position or hops > _MAX_POINTERS:
                raise MessageError("a pointer does not lead backwards")
            position = target & 0x3FFF
            continue
        if size > 63:
            raise MessageError("an unknown label type")
        position += 1
        if not size:
            return Name(tuple(labels)), end or position
        labels.append(packet[position : position + size])
        position += size
        if len(labels) > 127:
            raise MessageError("a name has too many labels")


def skip_name(packet: bytes, position: int) -> int:
    """The offset behind the name at an offset. Raises MessageError when it cannot be read."""
    try:
        return name_at(packet, position)[1]
    except (struct.error, ModelError) as error:
        raise MessageError(f"a name cannot be read: {error}") from None
