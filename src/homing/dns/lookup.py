"""What the zones say to a question (RFC 1034, section 4.3.2). Pure: frozen zones and a question in, an answer out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from homing.dns.message import Answer, Question, Rcode, RRClass, read_name
from homing.errors import MessageError
from homing.model.name import Name
from homing.model.rrset import ADDRESS_TYPES, RRset, RRType, rrset
from homing.model.zone import Zone

MAX_CHAIN = 8
"""CNAMEs followed for one question."""

ROOT = Name(())

ANY_TTL = 3600
"""Seconds that the stand-in for all records may be cached (RFC 8482, section 4.2)."""

_ANY_RDATA = b"\x07RFC8482\0"
_TRANSFERS = (251, 252)
"""IXFR and AXFR."""


@dataclass(frozen=True, slots=True)
class Zones:
    """All zones served at one moment, by origin.

    ``awaited`` are zones that shall be served but of which nothing was ever known; the root among them stands for
    everything: then all that is not loaded is SERVFAIL instead of REFUSED.
    """

    loaded: Mapping[Name, Zone] = field(default_factory=dict[Name, Zone])
    awaited: frozenset[Name] = frozenset()
    _by_key: Mapping[tuple[bytes, ...], Zone | Rcode] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_key: dict[tuple[bytes, ...], Zone | Rcode] = {origin.key: Rcode.SERVFAIL for origin in self.awaited}
        by_key.update((origin.key, zone) for origin, zone in self.loaded.items())
        object.__setattr__(self, "loaded", MappingProxyType(dict(self.loaded)))
        object.__setattr__(self, "_by_key", by_key)

    def find(self, name: Name) -> Zone | Rcode:
        """The zone with the longest origin that the name is in; else REFUSED, or SERVFAIL where a zone is awaited."""
        key = name.key
        for start in range(len(key) + 1):
            zone = self._by_key.get(key[start:])
            if zone is not None:
                return zone
        return Rcode.REFUSED

    def with_zone(self, zone: Zone) -> Zones:
        """These zones with one added, or replaced by another version."""
        return Zones({**self.loaded, zone.origin: zone}, self.awaited - {zone.origin, ROOT})

    def without(self, origin: Name) -> Zones:
        """These zones with one gone for good: questions for it are REFUSED."""
        kept = {known: zone for known, zone in self.loaded.items() if known != origin}
        return Zones(kept, self.awaited - {origin})


def answer(zones: Zones, question: Question) -> Answer:
    """What the zones say.

    REFUSED outside the zones, for classes but IN and ANY, and for transfers. NXDOMAIN and NODATA carry the SOA (RFC
    2308, section 2). CNAMEs are followed inside the zones. An answer to class ANY is never authoritative (RFC 1035,
    section 6.2).
    """
    if question.cls not in (RRClass.IN, RRClass.ANY) or question.type in _TRANSFERS:
        return Answer(Rcode.REFUSED)
    zone = zones.find(question.name)
    if isinstance(zone, Rcode):
        return Answer(zone)
    authoritative = question.cls == RRClass.IN
    name = question.name
    chain: list[RRset] = []
    while True:
        types = zone.nodes.get(name)
        if types is None:
            return Answer(Rcode.NXDOMAIN, authoritative, tuple(chain), (zone.negative_soa,))
        alias = types.get(RRType.CNAME)
        if alias is None or question.type in (RRType.CNAME, RRType.ANY):
            return _at_name(zone, name, types, question.type, authoritative, chain)
        chain.append(alias)
        target = _target(alias)
        if target is None or len(chain) == MAX_CHAIN or any(target == item.name for item in chain):
            break
        found = zones.find(target)
        if isinstance(found, Rcode):  # the resolver goes on from here
            break
        zone, name = found, target
    return Answer(Rcode.NOERROR, authoritative, tuple(chain))


def _at_name(
    zone: Zone, name: Name, types: Mapping[int, RRset], rtype: int, authoritative: bool, chain: Iterable[RRset]
) -> Answer:
    """The answer at a name that exists and ends the chain of CNAMEs."""
    found = types.get(rtype)
    if rtype == RRType.SOA and name == zone.origin:
        found = zone.soa_rrset
    elif rtype == RRType.ANY and (types or name == zone.origin):
        found = types.get(RRType.CNAME) or rrset(name, RRType.HINFO, ANY_TTL, (_ANY_RDATA,))
    if found is None:
        return Answer(Rcode.NOERROR, authoritative, tuple(chain), (zone.negative_soa,))
    additional = _glue(zone, found) if rtype == RRType.NS else ()
    return Answer(Rcode.NOERROR, authoritative, (*chain, found), (), additional)


def _glue(zone: Zone, servers: RRset) -> tuple[RRset, ...]:
    """The addresses of name servers whose names are in the zone."""
    found: list[RRset] = []
    for rdata in servers.rdatas:
        target = _name_in(rdata)
        types = zone.nodes.get(target) if target is not None else None
        if types:
            found += [types[rtype] for rtype in ADDRESS_TYPES.values() if rtype in types]
    return tuple(found)


def _target(alias: RRset) -> Name | None:
    return _name_in(alias.rdatas[0])


def _name_in(rdata: bytes) -> Name | None:
    try:
        name, end = read_name(rdata, 0)
    except MessageError:
        return None
    return name if end == len(rdata) else None
