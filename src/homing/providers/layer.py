"""Who has a name of an own zone: its fixed records, then what is published there by name, then the cluster.

A name is had as a whole: where a fixed record or a Domain holds an address, no area or Service has one beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from homing.model.name import Name
from homing.model.rrset import FAMILIES, RRset, RRType
from homing.model.zone import Zone

Keys = Collection[tuple[Name, int]]
Changes = Mapping[tuple[Name, int], RRset | None]


class Layer:
    """What the cluster wants of a zone, and the names that others have published there.

    ``hidden`` are names of the cluster's that somebody else has, with who; ``pending`` those not looked at since they
    changed.
    """

    def __init__(self, wanted: Iterable[RRset], published: Iterable[Name]) -> None:
        self.published = set(published)
        self.hidden: dict[Name, str] = {}
        self.pending: set[Name] = set()
        self._wanted: dict[Name, tuple[RRset, ...]] = {}
        for item in wanted:
            self._wanted[item.name] = (*self._wanted.get(item.name, ()), item)

    def take(self, changes: Changes) -> None:
        """The cluster wants this from now on."""
        for (name, rtype), item in changes.items():
            held = tuple(each for each in self._wanted.get(name, ()) if each.type != rtype)
            if item is not None or held:
                self._wanted[name] = held if item is None else (*held, item)
            else:
                self._wanted.pop(name, None)
            self.pending.add(name)

    def visible(self, zone: Zone, static: Keys) -> Iterator[RRset]:
        """All that the cluster has; ``zone`` holds the fixed records, ``static`` are their names and types."""
        self.hidden.clear()
        is_plain = not any(_is_obstacle(zone, name, types) for name, types in zone.nodes.items())
        others = self.published | {name for name, _ in static}
        for name, items in self._wanted.items():
            if is_plain and name not in others:  # which is nearly all of them, by the thousand
                yield from items
            else:
                yield from self._at(zone, static, name, self.published).values()

    def merged(
        self, zone: Zone, static: Keys, published: Changes
    ) -> tuple[dict[tuple[Name, int], RRset | None], set[Name]]:
        """What changes in a zone with this published and what is pending looked at, and the names published then."""
        by_name: dict[Name, dict[int, RRset | None]] = {name: {} for name in self.pending}
        for (name, rtype), item in published.items():
            by_name.setdefault(name, {})[rtype] = item
        names = set(self.published)
        changes: dict[tuple[Name, int], RRset | None] = {}
        for name, given in by_name.items():
            held = {
                rtype: item for rtype, item in zone.nodes.get(name, _NOTHING).items() if (name, rtype) not in static
            }
            wanted: dict[int, RRset | None] = dict(held) if name in names else {}
            wanted = {rtype: item for rtype, item in (wanted | given).items() if item is not None}
            (names.add if wanted else names.discard)(name)
            final = self._at(zone, static, name, names) | wanted
            changes |= {(name, rtype): final.get(rtype) for rtype in held.keys() | final.keys()}
        return changes, names

    def _at(self, zone: Zone, static: Keys, name: Name, published: Collection[Name]) -> dict[int, RRset]:
        """What the cluster has at a name; what is hidden is noted."""
        wanted = self._wanted.get(name)
        self.hidden.pop(name, None)
        if wanted is None:
            return {}
        why = obstacle(zone, name)
        if any((name, rtype) in static for rtype in FAMILIES):
            why = "it is a fixed record"
        elif name in published:
            why = "a Domain has it"
        if why:
            self.hidden[name] = why
            return {}
        return {item.type: item for item in wanted if item.key not in static}


def obstacle(zone: Zone, name: Name) -> str:
    """Why an address at this name would not be answered; empty when it would (RFC 1034, 3.6.2; RFC 6672, 2.4)."""
    if RRType.CNAME in zone.nodes.get(name, {}):
        return f"{name.text} has a CNAME beside other records"
    for above in name.ancestors():
        held = zone.nodes.get(above, {})
        if RRType.DNAME in held and above != name:
            return f"it is below the DNAME of {above.text}"
        if above == zone.origin:
            break
        if RRType.NS in held:
            return f"it belongs to {above.text}, which is delegated"
    return ""


def _is_obstacle(zone: Zone, name: Name, types: Mapping[int, RRset]) -> bool:
    """Whether what is at this name of a zone may be in the way of others."""
    return RRType.CNAME in types or RRType.DNAME in types or (RRType.NS in types and name != zone.origin)


_NOTHING: Mapping[int, RRset] = {}
