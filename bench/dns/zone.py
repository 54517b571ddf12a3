"""The zone that every server serves: names by number, whose addresses follow from the number (as in wire.h)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

ORIGIN = "bench.test"

NAMES = 5000
"""Names a0 to a4999 with an A record each; every fiftieth has an AAAA record too."""

_FIRST = int(IPv4Address("198.18.0.0"))


def address(number: int) -> IPv4Address:
    """The address of name ``a<number>``."""
    return IPv4Address(_FIRST + number // 250 * 256 + number % 250)


def master_file() -> str:
    """The zone as a master file (RFC 1035, section 5)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f"$ORIGIN {ORIGIN}."
    yield "$TTL 30"
    yield "@ IN SOA ns1 admin 1 3600 900 86400 30"
    yield "@ IN NS ns1"
    yield "ns1 IN A 192.0.2.53"
    for number in range(NAMES):
        yield f"a{number} IN A {address(number)}"
        if number % 50 == 0:
            yield f"a{number} IN AAAA 2001:db8::{number:x}"
