"""What the zones say to a question (RFC 1034, section 4.3.2). Pure: frozen zones and a question in, an answer out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from homing.dns.message import Answer, Question, Rcode, RRClass, read_name
from homing.errors import MessageError, ModelError
from homing.model.name import Name
from homing.model.rrset import ADDRESS_TYPES, RRset, RRType, rrset
from homing.model.zone import Zone

MAX_CHAIN = 8
"""CNAMEs followed for one question, those that DNAMEs make among them."""

ROOT = Name(())

ANY_TTL = 3600
"""Seconds that the stand-in for all records may be cached (RFC 8482, section 4.2)."""

_ANY_RDATA = b"\x07RFC8482\0"
TRANSFERS = (251, 252)
"""IXFR and AXFR."""
_ASK_FOR_ALIAS = (RRType.CNAME, RRType.ANY)
"""Answered by a CNAME itself, one made of a DNAME too, which is not followed."""


@dataclass(frozen=True, slots=True)
class Zones:
    """All zones served at one moment, by origin.

    ``awaited`` are zones that shall be served but of which nothing was ever known; the root among them stands for
    everything: then all that is not loaded is SERVFAIL instead of REFUSED.
    """

    loaded: Mapping[Name, Zone] = field(default_factory=dict[Name, Zone])
    awaited: frozenset[Name] = frozenset()
    _loaded: dict[Name, Zone] = field(init=False, repr=False, compare=False)
    """What ``loaded`` lets others read."""
    _by_key: dict[tuple[bytes, ...], Zone | Rcode] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_key: dict[tuple[bytes, ...], Zone | Rcode] = {origin.key: Rcode.SERVFAIL for origin in self.awaited}
        by_key.update((origin.key, zone) for origin, zone in self.loaded.items())
        self._hold(dict(self.loaded), self.awaited, by_key)

    def _hold(
        self, loaded: dict[Name, Zone], awaited: frozenset[Name], by_key: dict[tuple[bytes, ...], Zone | Rcode]
    ) -> None:
        held = {"loaded": MappingProxyType(loaded), "_loaded": loaded, "awaited": awaited, "_by_key": by_key}
        for field_name, value in held.items():
            object.__setattr__(self, field_name, value)

    def find(self, name: Name, rtype: int = 0) -> Zone | Rcode:
        """The zone with the longest origin that the name is in; else REFUSED, or SERVFAIL where a zone is awaited.

        The DS of an origin belongs to the zone above, where that is served too (RFC 4035, section 3.1.4.1).
        """
        if rtype == RRType.DS and name.key in self._by_key:
            above = self._longest(name.key, 1)
            if isinstance(above, Zone):
                return above
        return self._longest(name.key, 0)

    def _longest(self, key: tuple[bytes, ...], first: int) -> Zone | Rcode:
        for start in range(first, len(key) + 1):
            zone = self._by_key.get(key[start:])
            if zone is not None:
                return zone
        return Rcode.REFUSED

    def with_zone(self, zone: Zone) -> Zones:
        """These zones with one added, or replaced by another version."""
        return self._changed(zone.origin, zone, self.awaited - {zone.origin, ROOT})

    def awaiting(self, origin: Name) -> Zones:
        """These zones, and one that shall be served but is not known: SERVFAIL."""
        return self._changed(origin, None, self.awaited | {origin})

    def without(self, origin: Name) -> Zones:
        """These zones with one gone for good: questions for it are REFUSED."""
        return self._changed(origin, None, self.awaited - {origin})

    def _changed(self, origin: Name, zone: Zone | None, awaited: frozenset[Name]) -> Zones:
        """Copies of the tables, which neither hash nor compare names: one change costs little among many zones."""
        loaded, by_key = self._loaded.copy(), self._by_key.copy()
        loaded.pop(origin, None)
        by_key.pop(origin.key, None)
        for ended in self.awaited - awaited:
            if ended not in loaded:
                by_key.pop(ended.key, None)
        by_key.update((begun.key, Rcode.SERVFAIL) for begun in awaited - self.awaited)
        if zone is not None:
            loaded[origin] = by_key[origin.key] = zone
        made = object.__new__(Zones)
        made._hold(loaded, awaited, by_key)
        return made


def answer(zones: Zones, question: Question) -> Answer:
    """What the zones say.

    REFUSED outside the zones, for classes but IN and ANY, and for transfers. NXDOMAIN and NODATA carry the SOA (RFC
    2308, section 2). CNAMEs, those made of DNAMEs too, are followed inside the zones; code and authority section are
    those of the last name (RFC 6604), AA that of the first (RFC 1035, section 4.1.1). An answer to class ANY is never
    authoritative (RFC 1035, section 6.2).
    """
    name, rtype = question.name, question.type
    if question.cls not in (RRClass.IN, RRClass.ANY) or rtype in TRANSFERS:
        return Answer(Rcode.REFUSED)
    zone = zones.find(name, rtype)
    if isinstance(zone, Rcode):
        return Answer(zone)
    authoritative = question.cls == RRClass.IN
    chain: list[RRset] = []
    seen: set[Name] = set()
    while True:
        stop, types = _descend(zone, name, rtype)
        if types is None:
            return Answer(Rcode.NXDOMAIN, authoritative, tuple(chain), (zone.negative_soa,))
        if stop is RRType.NS:
            servers = types[RRType.NS]
            return Answer(Rcode.NOERROR, authoritative and bool(chain), tuple(chain), (servers,), _glue(zone, servers))
        if stop is RRType.DNAME:
            if types[RRType.DNAME] not in chain:
                chain.append(types[RRType.DNAME])
            alias = _substitute(types[RRType.DNAME], name)
            if alias is None:
                return Answer(Rcode.YXDOMAIN, authoritative, tuple(chain))
        else:
            alias = types.get(RRType.CNAME)
            if alias is None or rtype in _ASK_FOR_ALIAS:
                return _at_name(zone, name, types, rtype, authoritative, chain)
        chain.append(_owned_by(alias, name))
        seen.add(name)
        target = _name_in(alias.rdatas[0])
        if rtype in _ASK_FOR_ALIAS or target is None or target in seen or len(seen) == MAX_CHAIN:
            break
        found = zones.find(target, rtype)
        if isinstance(found, Rcode):  # the resolver goes on from here
            break
        zone, name = found, target
    return Answer(Rcode.NOERROR, authoritative, tuple(chain))


def _descend(zone: Zone, name: Name, rtype: int) -> tuple[RRType | None, Mapping[int, RRset] | None]:
    """Where the way from the origin down to a name ends (RFC 1034, section 4.3.2, step 3), and the RRsets found there.

    NS: at a delegation; only its DS is ours. DNAME: at one above the name (RFC 6672, section 3.2). None: at the name
    itself, or, where that does not exist, at the wildcard below its closest encloser (RFC 4592, section 3.3.1); without
    RRsets where there is no wildcard either. What hides below a delegation or DNAME is never reached.
    """
    types = zone.nodes[zone.origin]
    for start in range(len(name.labels) - len(zone.origin.labels) - 1, -1, -1):
        if RRType.DNAME in types:
            return RRType.DNAME, types
        node = zone.nodes.get(Name(name.labels[start:]) if start else name)
        if node is None:
            return None, zone.nodes.get(Name((b"*", *name.labels[start + 1 :])))
        types = node
        if RRType.NS in types and not (rtype == RRType.DS and start == 0):
            return RRType.NS, types
    return None, types


def _at_name(
    zone: Zone, name: Name, types: Mapping[int, RRset], rtype: int, authoritative: bool, chain: Iterable[RRset]
) -> Answer:
    """The answer at a name that exists, or is covered by a wildcard, and ends the chain of CNAMEs."""
    found = types.get(rtype)
    if rtype == RRType.SOA and name == zone.origin:
        found = zone.soa_rrset
    elif rtype == RRType.ANY and (types or name == zone.origin):
        found = types.get(RRType.CNAME) or rrset(name, RRType.HINFO, ANY_TTL, (_ANY_RDATA,))
    if found is None:
        return Answer(Rcode.NOERROR, authoritative, tuple(chain), (zone.negative_soa,))
    additional = _glue(zone, found) if rtype == RRType.NS else ()
    return Answer(Rcode.NOERROR, authoritative, (*chain, _owned_by(found, name)), (), additional)


def _owned_by(found: RRset, name: Name) -> RRset:
    """The RRset as it is, or, from a wildcard, with the name that was asked for (RFC 4592, section 2.1)."""
    return found if found.name == name else RRset(name, found.type, found.ttl, found.rdatas)


def _substitute(dname: RRset, name: Name) -> RRset | None:
    """The CNAME that a DNAME makes of a name below it, None where that is too long (RFC 6672, sections 2.2 and 3.1).

    In lower case, for what stands behind the question in a response does not depend on the case of the question.
    """
    target = _name_in(dname.rdatas[0])
    kept = name.key[: len(name.key) - len(dname.name.key)]
    try:
        renamed = Name((*kept, *(target.labels if target is not None else ())))
    except ModelError:
        return None
    return RRset(name, RRType.CNAME, dname.ttl, (renamed.wire,))


def _glue(zone: Zone, servers: RRset) -> tuple[RRset, ...]:
    """The addresses of name servers whose names are in the zone, those below a delegation too (RFC 9471)."""
    found: list[RRset] = []
    for rdata in servers.rdatas:
        target = _name_in(rdata)
        types = zone.nodes.get(target) if target is not None else None
        if types:
            found += [types[rtype] for rtype in ADDRESS_TYPES.values() if rtype in types]
    return tuple(found)


def _name_in(rdata: bytes) -> Name | None:
    try:
        name, end = read_name(rdata, 0)
    except MessageError:
        return None
    return name if end == len(rdata) else None
