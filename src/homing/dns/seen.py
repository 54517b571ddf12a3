"""What the server tells whoever counts queries."""

from __future__ import annotations

import enum
from collections.abc import Callable

from homing.dns.message import Rcode


class Transport(enum.StrEnum):
    """How a query came."""

    UDP = "udp"
    TCP = "tcp"


OnQuery = Callable[[Transport, Rcode | None], None]
"""Told of each packet: how it came and the code of the response, None when there was no response. Does not raise."""


def count_nothing(transport: Transport, rcode: Rcode | None) -> None:
    """For a server whose queries nobody counts."""
