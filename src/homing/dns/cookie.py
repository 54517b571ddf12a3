"""Server cookies (RFC 7873, RFC 9018) and the SipHash they are made by. Pure."""

from __future__ import annotations

import enum
import struct

from homing.dns.edns import CLIENT_COOKIE, Option

SECRET_SIZE = 16
"""Octets of a server secret (RFC 9018, section 4.4)."""

MAX_AGE = 3600
"""Seconds that a cookie is taken (RFC 9018, section 4.3)."""

RENEWAL_AGE = 1800
"""Seconds after which a client gets a new one (RFC 9018, section 4.3)."""

MAX_AHEAD = 300
"""Seconds that the clock which made a cookie may be ahead (RFC 9018, section 4.3)."""

_MASK = 0xFFFFFFFFFFFFFFFF
_VERSION = b"\1\0\0\0"
"""Version 1 and what is reserved."""
_OPTION = Option.COOKIE.to_bytes(2) + (24).to_bytes(2)
_SIZE = 24
"""Octets of client cookie, version, reserved, timestamp and hash."""


class CookieVerdict(enum.Enum):
    """What a client's cookie is worth."""

    VALID = "valid"
    RENEW = "valid, and due for a new one"
    WRONG = "a client cookie alone, or with a server cookie that this server did not make, or too long ago"


class Cookies:
    """Makes and checks the cookies of one server, or of several that share the secret (RFC 9018, section 4).

    ``secret`` and ``previous``, which is still taken while the secret changes (section 5), are 16 octets.
    """

    def __init__(self, secret: bytes, previous: bytes | None = None) -> None:
        self._key = _key(secret)
        self._previous = None if previous is None else _key(previous)

    def option(self, address: bytes, client_cookie: bytes, now: int) -> bytes:
        """The COOKIE option for a client: 28 octets with a server cookie of this moment.

        ``address`` is 4 or 16 octets, ``client_cookie`` 8; ``now`` is seconds of Unix time.
        """
        known = client_cookie + _VERSION + (now & 0xFFFFFFFF).to_bytes(4)
        return _OPTION + known + siphash(self._key, known + address).to_bytes(8, "little")

    def verify(self, address: bytes, cookie: bytes, now: int) -> CookieVerdict:
        """What the COOKIE option (client and server cookie) of a client at this address is worth.

        What stands in the reserved octets is part of what is hashed, and else ignored (RFC 9018, section 4.2).
        """
        if len(cookie) != _SIZE or cookie[CLIENT_COOKIE] != 1:
            return CookieVerdict.WRONG
        age = (now - int.from_bytes(cookie[12:16])) & 0xFFFFFFFF  # RFC 1982 arithmetic
        if MAX_AGE < age < 2**32 - MAX_AHEAD:
            return CookieVerdict.WRONG
        hashed, told = cookie[:16] + address, int.from_bytes(cookie[16:], "little")
        if siphash(self._key, hashed) == told:
            return CookieVerdict.RENEW if RENEWAL_AGE < age <= MAX_AGE else CookieVerdict.VALID
        if self._previous is not None and siphash(self._previous, hashed) == told:
            return CookieVerdict.RENEW
        return CookieVerdict.WRONG


def _key(secret: bytes) -> tuple[int, int]:
    if len(secret) != SECRET_SIZE:
        raise ValueError(f"a secret for cookies has {SECRET_SIZE} octets, not {len(secret)}")
    first, second = struct.unpack("<2Q", secret)
    return first, second


def siphash(key: tuple[int, int], data: bytes) -> int:
    """SipHash-2-4 (Aumasson and Bernstein, 2012) of some octets; ``key`` are its two words.

    Written out, for a call for each round would cost as much as the round.
    """
    mask = _MASK
    k0, k1 = key
    v0, v1, v2, v3 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    size = len(data)
    whole = data + bytes(7 - size % 8) + bytes((size & 0xFF,))
    for word in struct.unpack(f"<{len(whole) // 8}Q", whole):
        v3 ^= word
        for _ in (1, 2):
            v0 = v0 + v1 & mask
            v1 = (v1 << 13 & mask | v1 >> 51) ^ v0
            v2 = v2 + v3 & mask
            v3 = (v3 << 16 & mask | v3 >> 48) ^ v2
            v0 = (v0 << 32 & mask | v0 >> 32) + v3 & mask
            v3 = (v3 << 21 & mask | v3 >> 43) ^ v0
            v2 = v2 + v1 & mask
            v1 = (v1 << 17 & mask | v1 >> 47) ^ v2
            v2 = v2 << 32 & mask | v2 >> 32
        v0 ^= word
    v2 ^= 0xFF
    for _ in (1, 2, 3, 4):
        v0 = v0 + v1 & mask
        v1 = (v1 << 13 & mask | v1 >> 51) ^ v0
        v2 = v2 + v3 & mask
        v3 = (v3 << 16 & mask | v3 >> 48) ^ v2
        v0 = (v0 << 32 & mask | v0 >> 32) + v3 & mask
        v3 = (v3 << 21 & mask | v3 >> 43) ^ v0
        v2 = v2 + v1 & mask
        v1 = (v1 << 17 & mask | v1 >> 47) ^ v2
        v2 = v2 << 32 & mask | v2 >> 32
    return v0 ^ v1 ^ v2 ^ v3
