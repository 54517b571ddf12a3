"""Which names exist, by their octets: how most questions without an answer are told from those that need a closer look.

Every name of the zones served is here in lower-cased wire form, with the types it owns and the denials of its zone:
NODATA and NXDOMAIN hang on nothing but the zone, where its name begins in the question, and the type asked.
A name whose surroundings are special (a wildcard, a DNAME, a delegation, a zone in a zone) is here without types, and
questions that end at it are looked up by the book.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from homing.dns.authority import Change
from homing.dns.lookup import Zones
from homing.model.name import Name
from homing.model.rrset import RRset, RRType
from homing.model.zone import Zone

FLAVOURS = 10
"""Ways a query is put that show in its response: recursion desired or not, times the five ways of EDNS."""


class Ring:
    """What stands behind a question with each of several addresses first in turn.

    It is ``size`` of the ``octets`` from ``at`` on; ``step`` leads to the next turn, and from ``end`` it is the first.
    """

    __slots__ = ("at", "end", "octets", "size", "step")

    def __init__(self, octets: bytes, size: int, step: int, end: int) -> None:
        self.at = 0
        self.octets = octets
        self.size = size
        self.step = step
        self.end = end


class Entry:
    """A response learned: what stands before the question (without id) and behind it, and how often it was used."""

    __slots__ = ("head", "kind", "ring", "tail", "uses")

    def __init__(self, head: bytes, tail: bytes, kind: int) -> None:
        self.uses = 0
        self.head = head
        self.tail = tail
        self.kind = kind
        """The index of what one use counts as."""
        self.ring: Ring | None = None
        """What comes before the tail where addresses take turns."""


class Denials:
    """What one zone says to questions for what is not there, as far as it was asked."""

    __slots__ = ("learned", "origin_size", "special", "wild")

    def __init__(self, zone: Zone, nested: Iterable[Name] = ()) -> None:
        self.origin_size = len(zone.origin.wire)
        self.learned: tuple[dict[bytes, dict[int, Entry]], ...] = tuple({} for _ in range(FLAVOURS))
        """By flavour, then type and class, then where the zone's name begins; for NXDOMAIN its complement (~)."""
        self.special = {origin.key for origin in nested}
        """At and below these the zone does not say simply what is there."""
        self.wild = {name.key[1:] for name in zone.nodes if name.key[:1] == (b"*",)}
        """Names with a wildcard below."""
        for name, types in zone.nodes.items():
            if RRType.DNAME in types or (RRType.NS in types and name != zone.origin):
                self.special.add(name.key)

    def entries(self) -> Iterator[Entry]:
        """All that is learned."""
        return (entry for flavour in self.learned for places in flavour.values() for entry in places.values())

    def clear(self) -> None:
        """Forget: the zone has a new serial."""
        for flavour in self.learned:
            flavour.clear()


Node = tuple[Denials, frozenset[int] | None]
"""A name that exists; types None: look closer."""


class Names:
    """All names of the zones served."""

    def __init__(self, zones: Zones) -> None:
        self.nodes: dict[bytes, Node] = {}
        self.denials: dict[Name, Denials] = {}
        self._nested: frozenset[Name] = frozenset()
        self._below: Counter[tuple[bytes, ...]] = Counter()
        """By the key of a name, how many origins are below it."""
        self._build(zones)

    def update(self, zones: Zones, change: Change) -> bool:
        """Follow a change; False when it changes more than what stands at the names it speaks of."""
        before, after, diff = change.before, change.after, change.diff
        if self._is_entangled(change.origin):
            self._build(zones)
            return False
        if before is None or after is None or diff is None:
            if before is not None:
                for name in before.nodes:
                    del self.nodes[name.wire.lower()]
                self._leave(before.origin)
            if after is not None:
                self._enter(after.origin)
                self._add_zone(after)
            return False
        touched = (*diff.removed, *diff.added)
        if any(_is_special(item, after) for item in touched):
            for name in before.nodes:
                del self.nodes[name.wire.lower()]
            self._add_zone(after)
            return False
        denials = self.denials[after.origin]
        denials.clear()
        depth, kinds = len(after.origin.key), dict[frozenset[int] | None, Node]()
        for key in {item.name.key for item in touched}:
            for start in range(len(key) - depth + 1):
                name = Name(key[start:])
                types = after.nodes.get(name)
                if types is None:
                    self.nodes.pop(name.wire, None)
                else:
                    self._put(after, name, types, denials, kinds)
        return True

    def _build(self, zones: Zones) -> None:
        self.nodes.clear()
        self.denials.clear()
        self._below.clear()
        origins = {origin.key for origin in zones.loaded}
        self._nested = frozenset(
            origin for origin in zones.loaded if any(origin.key[at:] in origins for at in range(1, len(origin.key) + 1))
        )
        # The longest origin comes last and so wins a name that the zone above has too, as glue or occluded.
        for origin in sorted(zones.loaded, key=lambda origin: len(origin.key)):
            self._enter(origin)
            self._add_zone(zones.loaded[origin])

    def _enter(self, origin: Name) -> None:
        self._below.update(origin.key[at:] for at in range(1, len(origin.key) + 1))

    def _leave(self, origin: Name) -> None:
        del self.denials[origin]
        for at in range(1, len(origin.key) + 1):
            self._below[origin.key[at:]] -= 1
            if not self._below[origin.key[at:]]:
                del self._below[origin.key[at:]]

    def _is_entangled(self, origin: Name) -> bool:
        """Whether it is in another zone or has another in it."""
        above = (Name(origin.key[at:]) in self.denials for at in range(1, len(origin.key) + 1))
        return bool(self._below[origin.key]) or any(above)

    def _add_zone(self, zone: Zone) -> None:
        within = [origin for origin in self._nested if origin != zone.origin and origin.is_within(zone.origin)]
        denials = self.denials[zone.origin] = Denials(zone, within)
        kinds: dict[frozenset[int] | None, Node] = {}
        for name, types in zone.nodes.items():
            self._put(zone, name, types, denials, kinds)

    def _put(
        self, zone: Zone, name: Name, types: Iterable[int], denials: Denials, kinds: dict[frozenset[int] | None, Node]
    ) -> None:
        """Have a name here. ``kinds``: thousands own the same few types, and share what says so."""
        key, special = name.key, denials.special
        owned: frozenset[int] | None = None
        hidden = special and any(key[at:] in special for at in range(len(key) - len(zone.origin.key) + 1))
        if not hidden and key not in denials.wild:
            owned = frozenset((*types, RRType.SOA.value) if name == zone.origin else types)
        self.nodes[name.wire.lower()] = kinds.setdefault(owned, (denials, owned))


def _is_special(item: RRset, zone: Zone) -> bool:
    """Whether an RRset says something of names other than its own, or is a wildcard's."""
    if item.type == RRType.NS:
        return item.name != zone.origin
    return item.type == RRType.DNAME or item.name.key[:1] == (b"*",)
