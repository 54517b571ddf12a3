"""What the server counts. Only the standard library: worker processes count too, and send what they counted."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field, replace

from homing.dns.message import Rcode


class Transport(enum.StrEnum):
    """How a query came."""

    UDP = "udp"
    TCP = "tcp"


class Event(enum.StrEnum):
    """What is counted beside queries."""

    CACHE_HIT = "cache-hit"
    """An answer found by the query's octets alone."""
    RATE_LIMITED = "rate-limited"
    """A response not sent, for its client gets too many."""
    SLIPPED = "slipped"
    """A response cut to TC instead, so that a client whose address is forged by others gets through by TCP."""
    FORWARDED = "forwarded"
    """A query handed by a worker to the main process: transfers, and what is signed."""
    FORWARD_DROPPED = "forward-dropped"
    """The same, dropped since the main process has enough of them."""
    SEND_FAILED = "send-failed"
    """A response the kernel did not take."""
    CONNECTION_REFUSED = "connection-refused"
    """A TCP connection closed at once, for the limits are reached."""
    CONNECTION_EVICTED = "connection-evicted"
    """A TCP connection closed for being slow or idle."""
    WORKER_REPLACED = "worker-replaced"
    """A worker process that ended or hung, and was started again."""


KNOWN_TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV",
    35: "NAPTR", 39: "DNAME", 43: "DS", 48: "DNSKEY", 64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY",
    257: "CAA",
}  # fmt: skip
"""Types that are counted by name."""


def type_label(rtype: int | None) -> str:
    """The label of a query type; ``other`` for all that is rare, so that nobody can make labels without end."""
    return KNOWN_TYPES.get(rtype or 0, "other")


KINDS = 5_000
"""Kinds of queries counted apart: with thousands of zones strangers could make more of them than anyone can read."""

OTHER = "other"
"""The zone of queries beyond that."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One kind of query; ``zone`` is an origin as text, empty outside the zones; rcode None: no response."""

    transport: Transport
    type: str
    rcode: Rcode | None
    zone: str = ""


@dataclass(slots=True)
class Stats:
    """Counts since the start."""

    queries: Counter[Seen] = field(default_factory=Counter[Seen])
    events: Counter[Event] = field(default_factory=Counter[Event])

    def count(self, seen: Seen, times: int = 1) -> None:
        """Count queries; once there are ``KINDS`` of them, new ones count without their zone."""
        if seen not in self.queries and len(self.queries) >= KINDS and seen.zone:
            seen = replace(seen, zone=OTHER)
        self.queries[seen] += times

    def add(self, other: Stats) -> None:
        """Take in what another process counted."""
        for seen, times in other.queries.items():
            self.count(seen, times)
        self.events.update(other.events)
