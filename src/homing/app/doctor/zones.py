"""The own zones seen from the world: the parent is asked, then the servers it names, then a resolver."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from homing.app.doctor.case import Case
from homing.app.doctor.delegation import Outside, Own, Referral, Server, judge, special
from homing.app.doctor.finding import Finding, Level
from homing.app.doctor.questions import Questions, Said, system_resolver
from homing.app.places import dns_addresses
from homing.app.zones import build_zones
from homing.errors import ConfigError, ModelError
from homing.model.address import Address
from homing.model.name import Name, parse_name
from homing.model.rrset import FAMILIES, RRType
from homing.model.zone import Zone

MOST_ZONES = 50
"""Zones that are looked at."""

MOST_SERVERS = 6
"""Servers of a zone, and of its parent, that are asked."""

AT_ONCE = 8
"""Zones looked at side by side."""


async def zones(case: Case) -> Sequence[Finding]:
    """One or more findings a zone."""
    origins = case.origins()
    if not origins:
        return []
    resolver = case.resolver or system_resolver()
    found = [
        Finding(f"zone {origin.text}", Level.OK, f"in {inside.text}, a special-use name: needs no delegation")
        for origin in origins
        if (inside := special(origin)) is not None
    ]
    public = [origin for origin in origins if special(origin) is None][:MOST_ZONES]
    if not public:
        return found
    if resolver is None:
        text = "delegation not known: /etc/resolv.conf names no resolver"
        return [*found, *(Finding(f"zone {origin.text}", Level.SKIPPED, text) for origin in public)]
    questions, permits = Questions(resolver), asyncio.Semaphore(AT_ONCE)
    ours = is_ours(case, resolver)

    async def look(origin: Name) -> list[Finding]:
        async with permits:
            world, verdicts = await asyncio.gather(ask_world(origin, questions), case.wan())
            wan = frozenset(case.addresses(verdicts).values())
            return await zone(own_zone(case, origin), world, questions, wan, asks_us=ours)

    return found + [finding for one in await asyncio.gather(*map(look, public)) for finding in one]


def own_zone(case: Case, origin: Name) -> Own:
    """The zone as the state on disk has it, else as the settings say."""
    stored = case.disk.zones.get(origin)
    if stored is not None:
        return _served(stored)
    spec = next((each for each in build_zones(case.loaded) if each.origin == origin), None)
    if spec is None:
        return Own(origin, frozenset())
    return _served(spec.joined.zone) if spec.joined is not None else Own(origin, frozenset(spec.ns))


def is_ours(case: Case, resolver: tuple[str, int]) -> bool:
    """Whether the resolver is our own server, which tells nothing of the world."""
    try:
        return resolver in dns_addresses(case.loaded)
    except ConfigError:
        return False


async def ask_world(origin: Name, questions: Questions) -> tuple[Referral, Said]:
    """What the parent says, and what a resolver gets for the zone's SOA."""
    return await asyncio.gather(_referral(origin, questions), questions.resolve(origin, "SOA"))


async def zone(
    own: Own, world: tuple[Referral, Said], questions: Questions, wan: frozenset[Address], *, asks_us: bool = False
) -> list[Finding]:
    """Ask the servers that the parent names, and judge."""
    referral, soa = world
    servers, signed = await _servers(own, referral, questions, wan)
    own = replace(own, signed=signed)
    outside = Outside(why="the resolver asked is this server itself; name another with --resolver")
    return list(judge(own, referral, servers, outside if asks_us else _outside(own.origin, soa), wan))


def _served(held: Zone) -> Own:
    apex = held.nodes.get(held.origin, {})
    ns = frozenset(_name_in(rdata) for rdata in apex[RRType.NS].rdatas) if RRType.NS in apex else frozenset[Name]()
    addresses = {
        name: frozenset(
            address for rtype in FAMILIES if rtype in held.nodes[name] for address in held.nodes[name][rtype].addresses
        )
        for name in ns
        if name in held.nodes
    }
    return Own(held.origin, ns, addresses, held.serial)


def _name_in(rdata: bytes) -> Name:
    """A name in wire form, uncompressed, as our RRsets hold it."""
    labels: list[bytes] = []
    position = 0
    while position < len(rdata) and (size := rdata[position]):
        labels.append(rdata[position + 1 : position + 1 + size])
        position += 1 + size
    return Name(tuple(labels))


async def _referral(origin: Name, questions: Questions) -> Referral:
    above = origin.parent()
    said = await questions.resolve(above, "SOA")
    if said.why:
        return Referral(why=f"{questions.resolver[0]} gives {said.why}")
    parent = _apex(above, said)
    if parent is None:
        return Referral(why=f"the resolver says {said.rcode} of {above.text}")
    named = await questions.resolve(parent, "NS")
    names = _names(named.records("answer", parent, "NS"))[:MOST_SERVERS]
    found = await asyncio.gather(*map(questions.addresses, names))
    # IPv4 first: a home without IPv6 has no way to the others.
    addresses = sorted({address for some in found for address in some}, key=lambda one: (one.version, int(one)))
    for server in addresses[:MOST_SERVERS]:
        answer, ds = await asyncio.gather(questions.ask(server, origin, "NS"), questions.ask(server, origin, "DS"))
        referral = _read(origin, parent, answer, signed=bool(ds.records("answer", origin, "DS")))
        if referral is not None:
            return referral
    return Referral(parent, why=f"no server of {parent.text} told")


def _apex(name: Name, said: Said) -> Name | None:
    """The zone that a name is in, by the SOA that comes with the answer."""
    for item in (*said.answer, *said.authority):
        if item.rdtype.name == "SOA":
            owner = Name(item.name.labels[:-1])
            if name.is_within(owner):
                return owner
    return None


def _read(origin: Name, parent: Name, said: Said, *, signed: bool) -> Referral | None:
    """The parent's answer to a question for the zone's NS; None when this server does not say."""
    if said.rcode == "NXDOMAIN":
        return Referral(parent)
    if said.rcode != "NOERROR":
        return None
    own = _names(said.records("answer", origin, "NS"))
    if own:
        return Referral(parent, frozenset(own), None, signed)
    delegated = _names(said.records("authority", origin, "NS"))
    if delegated:
        glue = {name: said.addresses("additional", name) for name in delegated}
        return Referral(parent, frozenset(delegated), glue, signed)
    return Referral(parent) if said.authoritative else None


async def _servers(
    own: Own, referral: Referral, questions: Questions, wan: frozenset[Address]
) -> tuple[dict[str, Server], bool | None]:
    """How each delegated server answers, and whether what they serve is signed (None: nobody told)."""

    async def of(name: Name) -> frozenset[Address]:
        glue = (referral.glue or {}).get(name, frozenset[Address]())
        return glue or await questions.addresses(name)

    names = sorted(referral.ns)[:MOST_SERVERS]
    found = await asyncio.gather(*map(of, names))
    places = [(name, address) for name, some in zip(names, found, strict=True) for address in sorted(some, key=str)]
    asked = places if referral.ds else []
    kinds, keys = await asyncio.gather(
        asyncio.gather(*(_server(own.origin, address, questions, wan) for _, address in places)),
        asyncio.gather(*(questions.ask(address, own.origin, "DNSKEY") for _, address in asked)),
    )
    told = [bool(said.records("answer", own.origin, "DNSKEY")) for said in keys if said.rcode == "NOERROR"]
    signed = any(told) if told else None
    return {f"{name.text} ({address})": kind for (name, address), kind in zip(places, kinds, strict=True)}, signed


async def _server(origin: Name, address: Address, questions: Questions, wan: frozenset[Address]) -> Server:
    said = await questions.ask(address, origin, "SOA")
    if said.why:
        inside = address in wan
        # Many routers do not let the home reach its own outer address, and a machine without IPv6 reaches no IPv6.
        return Server.UNSEEN if inside or address.version == 6 else Server.SILENT
    return Server.GOOD if said.authoritative and said.records("answer", origin, "SOA") else Server.LAME


def _outside(origin: Name, said: Said) -> Outside:
    if said.why:
        return Outside(why=f"the resolver gives {said.why}")
    (text,) = said.records("answer", origin, "SOA")[:1] or ("",)
    words = text.split()
    serial = int(words[2]) if len(words) > 2 and words[2].isdigit() else None
    return Outside(said.rcode, serial)


def _names(texts: Sequence[str]) -> list[Name]:
    found: list[Name] = []
    for text in texts:
        try:
            found.append(Name(parse_name(text).key))
        except ModelError:
            continue
    return found
