"""What was learned from the book, and what makes it be forgotten: a change drops exactly what hangs on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from homing.dns.authority import Change
from homing.dns.engine.names import FLAVOURS, Denials, Entry, Names
from homing.dns.lookup import TRANSFERS, Zones
from homing.dns.message import PLAIN_UDP_SIZE, Answer, Question, Rcode
from homing.dns.stats import KINDS, KNOWN_TYPES, OTHER, Event, Seen, Stats
from homing.model.name import MAX_LABEL, MAX_WIRE
from homing.model.rrset import RRType

CACHED = 6_144
"""Responses in the packet cache."""

LEARNED = 200_000
"""Responses learned by question."""

LINKED = 8_192
"""Responses learned that hang on more than one name: by CNAME, DNAME, wildcard or delegation."""

_SHORT = PLAIN_UDP_SIZE - 12 - (MAX_WIRE + 4) - 28
"""Octets of a denial that fits behind any question, with a cookie behind itself."""

DENIABLE = {
    rtype.to_bytes(2) + b"\0\1": rtype for rtype in KNOWN_TYPES if rtype not in (*TRANSFERS, RRType.ANY)
}  # fmt: skip
"""Type and class as they end a question, for questions that a denial may be learned for."""


CLASSES = (b"\0\1", b"\0\xff")
"""IN and ANY, as they end a question."""


class Cached:
    """A response that answers the very same octets."""

    __slots__ = ("kind", "message", "uses")

    def __init__(self, message: bytes, kind: int) -> None:
        self.uses = 0
        self.message = message
        self.kind = kind


class Learned:
    """Responses by packet and by question, valid for one snapshot of the zones, and how often each was used."""

    def __init__(self, zones: Zones, stats: Stats) -> None:
        self.cache: dict[bytes, Cached] = {}
        self.tables: tuple[dict[bytes, Entry], ...] = tuple({} for _ in range(FLAVOURS))
        """By flavour, then by the question in lower case."""
        self.names = Names(zones)
        self._stats = stats
        self._linked: list[tuple[dict[bytes, Entry], bytes]] = []
        """What was learned that hangs on more than the name asked."""
        self._denied: set[Denials] = set()
        """The denials among which something was learned."""
        self._denials = 0
        """What was learned there since all was forgotten."""
        self._kinds: dict[Seen, int] = {}
        self._counts: list[int] = []
        """Queries answered since the last ``settle``, by the index that ``_kinds`` has for them."""

    def denial(self, asked: bytes, flavour: int) -> Entry | None:
        """What was learned to say to a name or type that is not there; None also when it is there, or special."""
        place = self._place(asked)
        if place is None:
            return None
        denials, index = place
        places = denials.learned[flavour].get(asked[-4:])
        return None if places is None else places.get(index)

    def remember(self, entry: Entry, question: Question, said: Answer, flavour: int, asked: bytes) -> None:
        """Keep a response under what it hangs on: the RRset asked, the zone's serial and name, or everything."""
        table = self.tables[flavour]
        if sum(map(len, self.tables)) >= LEARNED:
            self._empty_tables()
        found = said.answer[0] if said.answer else None
        if found is None and said.authority and asked[-4:] in DENIABLE:
            place = self._place(asked)
            if place is None or said.authority[0].type != RRType.SOA:
                return
            denials, index = place
            if (index < 0) == (said.rcode is Rcode.NXDOMAIN) and len(entry.tail) <= _SHORT:
                if self._denials >= LEARNED:
                    self._empty_denials()
                self._denials += 1
                denials.learned[flavour].setdefault(asked[-4:], {})[index] = entry
                self._denied.add(denials)
            return
        alone = len(said.answer) == 1 and not said.authority and not said.additional
        if alone and found is not None and (found.name, found.type) == (question.name, question.type):
            owned = self.names.nodes.get(asked[:-4])
            if owned is not None and owned[1] is not None and found.type in owned[1] and found.type != RRType.SOA:
                table[asked] = entry
                return
        if len(self._linked) < LINKED:
            table[asked] = entry
            self._linked.append((table, asked))

    def admit(self, query: bytes, message: bytes, kind: int) -> None:
        """Let a response into the packet cache, which begins anew when it is full."""
        if len(self.cache) >= CACHED:
            self._empty_cache()
        self.cache[query] = Cached(message, kind)

    def update(self, zones: Zones, change: Change) -> None:
        """Forget what the change makes wrong."""
        self._empty_cache()
        for table, asked in self._linked:
            self._forget(table, asked)
        self._linked.clear()
        self._count_denials()
        ordinary = self.names.update(zones, change)
        if change.diff is None or not ordinary:
            self._denied.intersection_update(self.names.denials.values())
            self._empty_tables()
            return
        for item in (*change.diff.removed, *change.diff.added):
            for cls in CLASSES:
                asked = item.name.wire.lower() + item.type.to_bytes(2) + cls
                for table in self.tables:
                    self._forget(table, asked)

    def kind(self, seen: Seen) -> int:
        """The index of what a query counts as."""
        index = self._kinds.get(seen)
        if index is None and len(self._kinds) >= KINDS and seen.zone != OTHER:
            return self.kind(replace(seen, zone=OTHER))
        if index is None:
            index = self._kinds[seen] = len(self._counts)
            self._counts.append(0)
        return index

    def count(self, kind: int) -> None:
        """Count one query that nothing learned was used for."""
        self._counts[kind] += 1

    def settle(self) -> None:
        """Add up what was counted; it goes through all that is learned."""
        self._count_hits()
        for table in self.tables:
            self._take(table.values())
        self._count_denials()
        for kind, index in self._kinds.items():
            if self._counts[index]:
                self._stats.count(kind, self._counts[index])
                self._counts[index] = 0

    def _place(self, asked: bytes) -> tuple[Denials, int] | None:
        """The denials that cover a question, and where in them it belongs; None when it needs a closer look."""
        kind = DENIABLE.get(asked[-4:])
        if kind is None:
            return None
        name, nodes, at = asked[:-4], self.names.nodes, 0
        node = nodes.get(name)
        if node is None:
            size = len(name)
            while node is None:
                step = name[at] + 1
                at += step
                if at >= size or step > MAX_LABEL + 1:
                    return None
                node = nodes.get(name[at:])
            # The zone's name begins so far from the end; the complement tells NXDOMAIN from NODATA.
            return None if node[1] is None or size > MAX_WIRE else (node[0], node[0].origin_size - size - 1)
        denials, types = node
        if types is None or kind in types or RRType.CNAME in types:
            return None
        return denials, len(name) - denials.origin_size

    def _empty_cache(self) -> None:
        self._count_hits()
        self.cache.clear()

    def _empty_tables(self) -> None:
        for table in self.tables:
            self._take(table.values())
            table.clear()
        self._linked.clear()

    def _empty_denials(self) -> None:
        self._count_denials()
        for denials in self._denied:
            denials.clear()
        self._denied.clear()
        self._denials = 0

    def _forget(self, table: dict[bytes, Entry], asked: bytes) -> None:
        gone = table.pop(asked, None)
        if gone is not None:
            self._counts[gone.kind] += gone.uses

    def _count_hits(self) -> None:
        hits = self._take(self.cache.values())
        if hits:
            self._stats.events[Event.CACHE_HIT] += hits

    def _count_denials(self) -> None:
        for denials in self._denied:
            self._take(denials.entries())

    def _take(self, used: Iterable[Cached | Entry]) -> int:
        """Take over the counts of these; how many they were."""
        counts, total = self._counts, 0
        for item in used:
            if item.uses:
                counts[item.kind] += item.uses
                total += item.uses
                item.uses = 0
        return total
