"""Zones (RFC 9499, section 7): a frozen snapshot, what changed between two, and serials."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from homing.errors import ModelError
from homing.model.name import Name
from homing.model.rrset import RRset, RRType, rrset, type_name

_HALF = 2**31
_MODULUS = 2**32


def serial_gt(a: int, b: int) -> bool:
    """Whether serial ``a`` is newer than ``b`` (RFC 1982, section 3.2); False where the RFC leaves it undefined."""
    return a != b and 0 < (a - b) % _MODULUS < _HALF


def serial_add(serial: int, count: int) -> int:
    """A serial ``count`` steps on (RFC 1982, section 3.1). Raises ModelError beyond 2**31 - 1 steps."""
    if not 0 <= count < _HALF:
        raise ModelError(f"a serial cannot grow by {count}")
    return (serial + count) % _MODULUS


@dataclass(frozen=True, slots=True)
class Soa:
    """The fields of an SOA record but its serial (RFC 1035, section 3.3.13); times in seconds."""

    mname: Name
    rname: Name
    refresh: int = 3600
    retry: int = 900
    expire: int = 86400
    minimum: int = 30
    """The TTL of negative answers (RFC 2308, section 4)."""
    ttl: int = 30

    def rdata(self, serial: int) -> bytes:
        """Wire rdata with this serial."""
        numbers = struct.pack("!5I", serial, self.refresh, self.retry, self.expire, self.minimum)
        return self.mname.wire + self.rname.wire + numbers


@dataclass(frozen=True, slots=True)
class Zone:
    """One version of a zone. ``rrsets`` holds all but the SOA; look-up goes by ``nodes``.

    Build one by ``zone()``.
    """

    origin: Name
    serial: int
    soa: Soa
    nodes: MappingProxyType[Name, Mapping[int, RRset]] = field(repr=False)
    """Every name that exists: owners of RRsets and, with no RRsets, empty non-terminals (RFC 8020)."""
    _below: Mapping[tuple[bytes, ...], int] | None = field(default=None, repr=False, compare=False)
    """By the key of a name how many are right below it; counted when a name first went, and kept up from then on."""

    _records: int | None = field(default=None, repr=False, compare=False)
    """Counted when first asked for, and kept up from then on."""

    @property
    def records(self) -> int:
        """How many records it has, the SOA among them."""
        if self._records is None:
            object.__setattr__(self, "_records", 1 + _count(self.rrsets()))
        return self._records or 1

    @property
    def soa_rrset(self) -> RRset:
        """The SOA RRset of this version."""
        return rrset(self.origin, RRType.SOA, self.soa.ttl, (self.soa.rdata(self.serial),))

    @property
    def negative_soa(self) -> RRset:
        """The SOA RRset as negative answers carry it: TTL the lesser of its own and MINIMUM (RFC 2308, section 3)."""
        return rrset(self.origin, RRType.SOA, min(self.soa.ttl, self.soa.minimum), (self.soa.rdata(self.serial),))

    def rrsets(self) -> tuple[RRset, ...]:
        """All RRsets but the SOA, in no particular order."""
        return tuple(rrset for types in self.nodes.values() for rrset in types.values())


def zone(origin: Name, serial: int, soa: Soa, rrsets: Iterable[RRset]) -> Zone:
    """Build a zone version. Raises ModelError for names outside it, repeats, a CNAME beside other data, two CNAMEs."""
    nodes: dict[Name, Mapping[int, RRset]] = {origin: _NOTHING}
    known = {origin.key}
    for item in rrsets:
        _check_place(origin, item)
        types = nodes.get(item.name)
        if types and item.type in types:
            raise ModelError(f"{item.name} {type_name(item.type)} is given twice")
        nodes[item.name] = {**types, item.type: item} if types else {item.type: item}
        key = item.name.key
        known.add(key)
        if key[1:] in known or key == origin.key:  # and then all above it
            continue
        for above in _between(item.name, origin):
            if above.key in known:
                break
            nodes.setdefault(above, _NOTHING)
            known.add(above.key)
    for name, types in nodes.items():
        _check_node(origin, name, types)
    return Zone(origin, serial, soa, MappingProxyType(nodes))


def _check_place(origin: Name, item: RRset) -> None:
    if item.type == RRType.SOA:
        raise ModelError(f"the SOA of {origin} is given apart from its RRsets")
    if not item.name.is_within(origin):
        raise ModelError(f"{item.name} is not in zone {origin}")


def _check_node(origin: Name, name: Name, types: Mapping[int, RRset]) -> None:
    for rtype in (RRType.CNAME, RRType.DNAME):
        if rtype in types and len(types[rtype].rdatas) > 1:
            raise ModelError(f"{name} has more than one {rtype.name}; leave one (RFC 2181, 10.1; RFC 6672, 2.4)")
    if RRType.CNAME in types and (len(types) > 1 or name == origin):
        raise ModelError(f"{name} has a CNAME beside other records; a CNAME must stand alone (RFC 1034, section 3.6.2)")


def _between(name: Name, origin: Name) -> Iterator[Name]:
    """The names between a name and the origin, upwards."""
    for start in range(1, len(name.labels) - len(origin.labels)):
        yield Name(name.labels[start:])


@dataclass(frozen=True, slots=True)
class ZoneDiff:
    """What leads from one version of a zone to the next; RRsets, the SOA left out."""

    removed: tuple[RRset, ...]
    added: tuple[RRset, ...]

    @property
    def is_empty(self) -> bool:
        """Whether both versions hold the same RRsets."""
        return not self.removed and not self.added


def diff(old: Zone, new: Zone) -> ZoneDiff:
    """The RRsets to remove from ``old`` and to add to it to get ``new``."""
    before, after = set(old.rrsets()), set(new.rrsets())
    return ZoneDiff(tuple(before - after), tuple(after - before))


def succeed(old: Zone, rrsets: Iterable[RRset], soa: Soa | None = None) -> Zone:
    """The next version of a zone: the serial grows by one with a change of content, and only then.

    ``soa`` is the one before when left out.
    """
    new = zone(old.origin, serial_add(old.serial, 1), soa or old.soa, rrsets)
    return old if new.soa == old.soa and diff(old, new).is_empty else new


def amend(old: Zone, changes: Mapping[tuple[Name, int], RRset | None]) -> tuple[Zone, ZoneDiff]:
    """The next version of a zone by what changes in it, None for an RRset that goes, and the difference to ``old``.

    As ``succeed``, and the two share what stays: the work grows with the change. Raises ModelError as ``zone`` does.
    """
    removed: list[RRset] = []
    added: list[RRset] = []
    nodes = old.nodes.copy()
    made: list[Name] = []
    for (name, rtype), item in changes.items():
        types = nodes.get(name)
        before = types.get(rtype) if types is not None else None
        if before == item:
            continue
        kept = {known: rrset for known, rrset in (types or _NOTHING).items() if known != rtype}
        if before is not None:
            removed.append(before)
        if item is not None:
            _check_place(old.origin, item)
            added.append(item)
            kept[rtype] = item
        if types is None:
            made.append(name)
        nodes[name] = kept or _NOTHING
    if not removed and not added:
        return old, ZoneDiff((), ())
    for name in dict.fromkeys(item.name for item in added):
        _check_node(old.origin, name, nodes[name])
        for above in _between(name, old.origin):
            if above in nodes:
                break
            nodes[above] = _NOTHING
            made.append(above)
    below = _prune(old, nodes, made, dict.fromkeys(item.name for item in removed))
    serial = serial_add(old.serial, 1)
    counted = old._records  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the same module
    records = counted + _count(added) - _count(removed) if counted is not None else None
    new = Zone(old.origin, serial, old.soa, MappingProxyType(nodes), below, records)
    return new, ZoneDiff(tuple(removed), tuple(added))


_NOTHING: Mapping[int, RRset] = MappingProxyType({})


def _count(rrsets: Iterable[RRset]) -> int:
    return sum(len(item.rdatas) for item in rrsets)


def _prune(
    old: Zone, nodes: dict[Name, Mapping[int, RRset]], made: Iterable[Name], names: Iterable[Name]
) -> Mapping[tuple[bytes, ...], int] | None:
    """Take out names that have neither RRsets nor names below, then the empty names above them likewise.

    ``made`` are those that the version before has not; what is given is how many are below each name now.
    """
    counted = old._below  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the same module
    empty = [name for name in names if name != old.origin and not nodes.get(name, True)]
    if not empty and (counted is None or not made):
        return counted
    below = Counter(counted if counted is not None else (name.key[1:] for name in old.nodes))
    below.update(name.key[1:] for name in made)
    for name in empty:
        for each in (name, *_between(name, old.origin)):
            if nodes.get(each, True) or below[each.key]:
                break
            del nodes[each]
            below[each.key[1:]] -= 1
            if not below[each.key[1:]]:
                del below[each.key[1:]]
    return below
