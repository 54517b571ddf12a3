"""Carrier-grade NAT and double NAT: whether the WAN address is one that reaches this home at all.

What tells, the surest first: the address that this machine sends from, what the router says of its outer address, and
who stands on the way. Providers number their own routers as they like, so the way alone only makes it likely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address

from homing.app.doctor import natpmp, upnp
from homing.app.doctor.case import Case
from homing.app.doctor.finding import Finding, Level
from homing.app.doctor.hops import first_hops
from homing.app.doctor.natpmp import Outer, gateway
from homing.detect.interface import source_address
from homing.effects.http import HttpClient
from homing.errors import ConfigError, ObservationError
from homing.model.address import Family, Reach, reach_of

NAT = "NAT"

TOWARDS = IPv4Address("1.1.1.1")
"""Where packets head for that go a few hops only."""

_CGNAT_REMEDY = (
    "nobody can reach this home by IPv4: ask the internet provider for a public IPv4 address (often free or some euros "
    "a month), or publish IPv6 only (families = [6]), or go through a tunnel or a server outside"
)
_DOUBLE_REMEDY = (
    "put the outer router into bridge or modem mode, or forward the ports (53, 80, 443 as needed) on both routers"
)


async def nat(case: Case) -> Sequence[Finding]:
    """Ask the machine, the router and the way; IPv4 only, since there is no need for NAT elsewhere."""
    try:
        source = source_address(Family.V4)
    except ObservationError:
        return [Finding(NAT, Level.SKIPPED, "no way to the internet by IPv4")]
    router = gateway()
    outer, hops = await asyncio.gather(
        _outer(router, case.http) if router is not None else _no_router(), asyncio.to_thread(first_hops, TOWARDS)
    )
    try:
        wan = case.addresses(await case.wan()).get(Family.V4)
    except ConfigError:
        wan = None
    return [judge(IPv4Address(int(source)), wan if isinstance(wan, IPv4Address) else None, outer, hops)]


async def _outer(router: IPv4Address, http: HttpClient) -> Outer:
    """What the router says by either protocol; NAT-PMP is asked for nothing else, so it comes first."""
    found, other = await asyncio.gather(natpmp.outer_address(router), upnp.outer_address(router, http))
    if found.address is not None:
        return found
    return other if other.address is not None else Outer(why=f"{found.why}, {other.why}")


async def _no_router() -> Outer:
    return Outer(why="there is no gateway")


def judge(source: IPv4Address, wan: IPv4Address | None, outer: Outer, hops: Sequence[IPv4Address | None]) -> Finding:
    """``source`` is where this machine sends from, ``wan`` the address agreed on, ``hops`` who stands on the way."""
    if wan is not None and source == wan:
        return Finding(NAT, Level.OK, f"none: this machine has the WAN address {wan} itself")
    if reach_of(source) is Reach.CGNAT:
        return _cgnat(f"this machine's address {source} is one of carrier-grade NAT (RFC 6598)")
    if outer.address is not None:
        reach = reach_of(outer.address)
        if outer.address == wan:
            return Finding(NAT, Level.OK, f"one, the router's: it has the WAN address {wan} itself")
        if reach is Reach.CGNAT:
            return _cgnat(f"the router's outer address {outer.address} is one of carrier-grade NAT (RFC 6598)")
        if reach is Reach.PRIVATE:
            text = f"double: the router's outer address {outer.address} is private, another router stands before it"
            return Finding(NAT, Level.WARNING, text, _DOUBLE_REMEDY)
        if wan is not None:
            text = f"the router says that its outer address is {outer.address}, the observers see {wan}"
            return Finding(NAT, Level.NOTE, f"{text}: a second uplink, a VPN, or NAT at the provider")
        return Finding(NAT, Level.OK, f"one, the router's: its outer address {outer.address} is public")
    return _by_the_way(source, outer.why, hops)


def _by_the_way(source: IPv4Address, why: str, hops: Sequence[IPv4Address | None]) -> Finding:
    asked = f"the router tells no outer address ({why})" if why else "the router was not asked"
    beyond = [hop for hop in hops[1:] if hop is not None]
    shared = next((hop for hop in beyond if reach_of(hop) is Reach.CGNAT), None)
    if shared is not None:
        return _cgnat(f"probably carrier-grade: {shared} stands on the way (RFC 6598); {asked}")
    # Behind the first public hop, private addresses are the provider's own matter.
    until_public = next((i for i, hop in enumerate(beyond) if reach_of(hop) is Reach.GLOBAL), len(beyond))
    inner = next((hop for hop in beyond[:until_public] if reach_of(hop) is Reach.PRIVATE), None)
    if inner is not None:
        text = f"probably double: behind the first router stands {inner}, a private address; {asked}"
        return Finding(NAT, Level.WARNING, text, _DOUBLE_REMEDY)
    if beyond:
        return Finding(NAT, Level.OK, f"no sign of a second one: behind the router comes {beyond[0]}; {asked}")
    if reach_of(source) is Reach.GLOBAL:
        return Finding(NAT, Level.OK, f"this machine's address {source} is public")
    return Finding(NAT, Level.SKIPPED, f"not known whether there is a second one: {asked}, and no hop answered")


def _cgnat(text: str) -> Finding:
    return Finding(NAT, Level.WARNING, text, _CGNAT_REMEDY)
