"""Response rate limiting: a client network that gets too many responses gets fewer.

So nobody can aim them at others by forging their address.

A few packets of each batch are looked at and count for the rest: exact while packets come one at a time, right on
average when they come in floods, and nearly free. Only while some network is over its rate is every packet looked at.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_V4_PREFIX = 3
"""Octets: clients are counted by IPv4 /24 ..."""

_V6_PREFIX = 7
"""... and by IPv6 /56, what one customer gets."""

_MEMORY = 1.0
"""Seconds that a network counts as over its rate after it was seen so."""

_TRACKED = 10_000
"""Networks counted at a time; beyond, all begin anew."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """``rate`` is responses a second to one network, 0 for no limit; a second's worth may come at once.

    Every ``slip``-th response over it goes out cut to TC, so that who asks truly comes by TCP; the others are dropped.
    ``exempt`` networks are never limited: nobody forges their addresses from outside.
    """

    rate: float = 200.0
    slip: int = 2
    exempt: tuple[str, ...] = (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
        "::1/128", "fc00::/7", "fe80::/10",
    )  # fmt: skip


class RateLimiter:
    """Counts responses by network, each a bucket that empties at the allowed rate."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._exempt = tuple(ipaddress.ip_network(text) for text in limit.exempt)
        self._buckets: dict[bytes, tuple[float, float]] = {}
        self._exempted: dict[bytes, bool] = {}
        self._over: dict[bytes, float] = {}
        self._slips = 0

    @property
    def active(self) -> bool:
        """Whether any network is over its rate: then every packet goes through ``limited``."""
        return bool(self._over)

    def sample(self, packed: Callable[[int], bytes], count: int, now: float) -> None:
        """Look at some of a batch's addresses; ``packed`` gives them by place.

        No look counts for more than 32 packets, so one among a flood's does not put its sender over the usual rate.
        """
        looks = 1 + count // 32
        for look in range(looks):
            self.note(packed(count - 1 - look * count // looks), count / looks, now)

    def note(self, address: bytes, count: float, now: float) -> None:
        """Count ``count`` responses to an address (4 or 16 octets); ``now`` in seconds of a monotonic clock."""
        rate = self._limit.rate
        if not rate:
            return
        network = _network(address)
        if self._is_exempt(network, address):
            return
        level, since = self._buckets.get(network, (0.0, now))
        level = max(0.0, level - (now - since) * rate) + count
        if len(self._buckets) >= _TRACKED and network not in self._buckets:
            self._buckets.clear()
        # A flood fills no more than two seconds' worth, so that it is over two seconds after its end.
        self._buckets[network] = (min(level, 2 * rate), now)
        if level > rate:
            self._over.pop(network, None)
            self._over[network] = now
        while self._over:  # the one seen longest ago comes first
            oldest = next(iter(self._over))
            if now - self._over[oldest] <= _MEMORY and len(self._over) <= _TRACKED:
                break
            del self._over[oldest]

    def limited(self, address: bytes) -> bool:
        """Whether a response to this address is over the rate."""
        return _network(address) in self._over

    def slips(self) -> bool:
        """Whether this limited response goes out, cut to TC."""
        self._slips += 1
        return bool(self._limit.slip) and self._slips % self._limit.slip == 0

    def _is_exempt(self, network: bytes, address: bytes) -> bool:
        known = self._exempted.get(network)
        if known is None:
            if len(self._exempted) >= _TRACKED:
                self._exempted.clear()
            parsed = ipaddress.ip_address(address)
            known = self._exempted[network] = any(parsed in item for item in self._exempt)
        return known


def _network(address: bytes) -> bytes:
    return address[: _V4_PREFIX if len(address) == 4 else _V6_PREFIX]
