"""Changes as ``plan.diff`` makes them, in short."""

from __future__ import annotations

from collections.abc import Iterable

from homing.model.address import Family, parse_address
from homing.model.name import parse_name
from homing.model.rrset import RRset, address_rrsets
from homing.plan import NameChange, Plan, diff
from homing.records import want_addresses

TTL = 300


def plan(
    fqdn: str,
    before: Iterable[RRset],
    *addresses: str,
    gone: Iterable[Family] = (),
    ttl: int = TTL,
    provider: str = "p",
) -> Plan:
    """The plan that leads from what is published to these addresses."""
    name = parse_name(fqdn)
    want = want_addresses(provider, name, ttl, map(parse_address, addresses), none_of=gone)
    return diff({(provider, name, rrset.type): rrset for rrset in before}, [want])


def change(
    fqdn: str, before: Iterable[RRset] | Iterable[str], *addresses: str, gone: Iterable[Family] = (), ttl: int = TTL
) -> NameChange:
    """The one change of that plan; ``before`` may be given as addresses."""
    known: list[RRset] = []
    texts: list[str] = []
    for item in before:
        if isinstance(item, str):
            texts.append(item)
        else:
            known.append(item)
    known += address_rrsets(parse_name(fqdn), TTL, map(parse_address, texts))
    (only,) = plan(fqdn, known, *addresses, gone=gone, ttl=ttl).changes
    return only
