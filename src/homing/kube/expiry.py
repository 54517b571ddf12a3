"""When credentials end: read out of certificates (RFC 5280) and tokens (RFC 7519). Nothing is verified here."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ssl

import msgspec

_EXPLICIT_0 = 0xA0
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""UTCTime and GeneralizedTime as certificates have them (RFC 5280, section 4.1.2.5)."""


class _Claims(msgspec.Struct):
    exp: float


def certificate_end(pem: str) -> float | None:
    """``notAfter`` of the first certificate in a PEM text (Unix seconds); None when it cannot be read."""
    begin, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    try:
        data = ssl.PEM_cert_to_DER_cert(pem[begin : end + len(ssl.PEM_FOOTER)])
        inner = _value(_value(data, 0)[1], 0)[1]  # Certificate, then its TBSCertificate
        at = _value(inner, 0)[2] if inner[0] == _EXPLICIT_0 else 0  # the version
        for _ in range(3):  # serialNumber, signature, issuer
            at = _value(inner, at)[2]
        validity = _value(inner, at)[1]
        tag, text, _ = _value(validity, _value(validity, 0)[2])
        found = dt.datetime.strptime(text.decode("ascii"), _TIMES[tag]).replace(tzinfo=dt.UTC)
    except (ValueError, IndexError, KeyError, binascii.Error):
        return None
    return found.timestamp()


def token_end(token: str) -> float | None:
    """The claim ``exp`` of a JSON Web Token (Unix seconds); None for a token that is none, or has none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        body = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(body, type=_Claims).exp
    except (ValueError, binascii.Error, msgspec.DecodeError):
        return None


def _value(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content and end of the DER element that begins here. Raises ValueError, IndexError."""
    tag, size, begin = data[at], data[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        size, begin = int.from_bytes(data[begin : begin + count], "big"), begin + count
    if begin + size > len(data):
        raise ValueError("an element is longer than what holds it")
    return tag, data[begin : begin + size], begin + size
