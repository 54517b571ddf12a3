"""EDNS (RFC 6891): what a query's OPT record says, and the options of responses. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from homing.errors import MessageError

CLIENT_COOKIE = 8
"""Octets of a client cookie (RFC 7873, section 4)."""

_COOKIE_SIZES = (CLIENT_COOKIE, *range(CLIENT_COOKIE + 8, CLIENT_COOKIE + 33))
"""Octets of a COOKIE option: a client cookie, alone or with a server cookie of 8 to 32 octets behind it."""


class Option(enum.IntEnum):
    """The options Homing knows (IANA's registry of EDNS0 option codes)."""

    NSID = 3
    COOKIE = 10
    KEEPALIVE = 11
    EXTENDED_ERROR = 15


class ExtendedError(enum.IntEnum):
    """Reasons told beside a response code (RFC 8914, section 4)."""

    NOT_READY = 14
    PROHIBITED = 18
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21


@dataclass(frozen=True, slots=True)
class Edns:
    """What a query's OPT record says (RFC 6891, section 6.1.3). ``payload`` is octets.

    ``cookie`` is the data of the first COOKIE option, 8 octets or 16 to 40; ``nsid`` and ``keepalive`` tell that the
    client asks for these. Other options are not kept.
    """

    version: int
    payload: int
    dnssec_ok: bool
    cookie: bytes | None = None
    nsid: bool = False
    keepalive: bool = False


def read_opt(payload: int, ttl: int, rdata: bytes) -> Edns:
    """An OPT record by its class, TTL and rdata.

    Raises MessageError for an option that runs over the end, and for a COOKIE of a length that no cookie has (RFC 7873,
    section 5.2.2).
    """
    version, dnssec_ok = ttl >> 16 & 0xFF, bool(ttl & 0x8000)
    if not rdata:
        return Edns(version, payload, dnssec_ok)
    cookie: bytes | None = None
    nsid = keepalive = False
    position, size = 0, len(rdata)
    while position + 4 <= size:
        code = rdata[position] << 8 | rdata[position + 1]
        start = position + 4
        position = start + (rdata[position + 2] << 8 | rdata[position + 3])
        if code == Option.COOKIE and cookie is None:
            cookie = rdata[start:position]
        elif code == Option.NSID:
            nsid = True
        elif code == Option.KEEPALIVE:
            keepalive = True
    if position != size:
        raise MessageError("an EDNS option runs over the end of its OPT")
    if cookie is not None and len(cookie) not in _COOKIE_SIZES:
        raise MessageError(f"a COOKIE of {len(cookie)} octets (RFC 7873, section 5.2.2)")
    return Edns(version, payload, dnssec_ok, cookie, nsid, keepalive)


def option(code: Option, data: bytes) -> bytes:
    """An option as octets."""
    return code.to_bytes(2) + len(data).to_bytes(2) + data


EXTENDED_ERRORS = {reason: option(Option.EXTENDED_ERROR, reason.to_bytes(2)) for reason in ExtendedError}
"""The options that tell the reasons, without a text."""
