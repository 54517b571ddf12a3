"""The addresses that a name answers with: those of its members, counted, sorted, less those that fail a check. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping

from homing.model.health import Health, answered
from homing.model.rrset import FAMILIES, RRType

MAX_ADDRESSES = {RRType.A.value: 4000, RRType.AAAA.value: 2300}
"""Addresses of a family at one name: of 16 and 28 octets each, they fill the 65,535 octets of a message over TCP.

No answer can hold more (RFC 1035, section 4.2.2).
"""

Packed = tuple[int, bytes]
"""The type of an address record, A or AAAA, and its data."""


class Pool:
    """Addresses of members, of which several may have the same one. What a change costs grows with the change."""

    __slots__ = ("_counts", "_held", "_sorted")

    def __init__(self) -> None:
        self._held: dict[str, tuple[Packed, ...]] = {}
        self._counts: dict[Packed, int] = {}
        self._sorted: dict[int, list[bytes]] = {}

    @property
    def members(self) -> Collection[str]:
        """Who has addresses here, or could have."""
        return self._held.keys()

    def hold(self, member: str, addresses: Iterable[Packed]) -> bool:
        """From now on a member has these addresses; whether that changes anything."""
        before, after = self._held.get(member), tuple(dict.fromkeys(addresses))
        self._held[member] = after
        return before != after and self._exchange(before or (), after)

    def drop(self, member: str) -> bool:
        """A member has none any more; whether that changes anything."""
        return self._exchange(self._held.pop(member, ()), ())

    def answered(self, unhealthy: Mapping[bytes, Health]) -> dict[int, tuple[bytes, ...]]:
        """The data of the address records by type, at most ``MAX_ADDRESSES``: those that checks leave."""
        found: dict[int, tuple[bytes, ...]] = {}
        for rtype in FAMILIES:
            rdatas = self._sorted.get(rtype)
            if rdatas:
                passed = answered(rdatas, lambda data: unhealthy.get(data, Health.HEALTHY)) if unhealthy else rdatas
                found[rtype] = tuple(passed[: MAX_ADDRESSES[rtype]])
        return found

    @property
    def overfull(self) -> bool:
        """Whether there are more addresses of a family than are answered."""
        return any(len(rdatas) > MAX_ADDRESSES[rtype] for rtype, rdatas in self._sorted.items())

    def _exchange(self, before: Iterable[Packed], after: Iterable[Packed]) -> bool:
        changed = False
        for each in after:
            self._counts[each] = count = self._counts.get(each, 0) + 1
            if count == 1:
                insort(self._sorted.setdefault(each[0], []), each[1])
                changed = True
        for each in before:
            self._counts[each] = count = self._counts[each] - 1
            if not count:
                del self._counts[each]
                rdatas = self._sorted[each[0]]
                del rdatas[bisect_left(rdatas, each[1])]
                changed = True
        return changed
