"""The catalog zone: the list of the zones served, which secondaries follow as they follow a zone (RFC 9432). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from homing.dns.message import read_name
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType, rrset, txt_rdata
from homing.model.zone import Soa, Zone

TTL = 0
"""Seconds: nobody looks these records up (RFC 9432, section 4)."""

PTR = 12
VERSION = b"2"
_NOBODY = parse_name("invalid")


def catalog_soa() -> Soa:
    """The SOA of a catalog zone; a secondary that heard no NOTIFY looks again after a minute."""
    return Soa(_NOBODY, _NOBODY, refresh=60, retry=60, expire=604800, minimum=TTL, ttl=TTL)


def catalog_rrsets(catalog: Name, members: Iterable[Name]) -> tuple[RRset, ...]:
    """What a catalog zone holds: its version and one PTR for each member (RFC 9432, section 4.1).

    A member's label is a hash of its name, so it stays the same as long as the member does. Raises ModelError when
    the catalog's name leaves no room for that.
    """
    zones = catalog.prefixed("zones")
    return (
        rrset(catalog, RRType.NS, TTL, (_NOBODY.wire,)),
        rrset(catalog.prefixed("version"), RRType.TXT, TTL, (txt_rdata(VERSION),)),
        *(rrset(zones.prefixed(member_id(member)), PTR, TTL, (Name(member.key).wire,)) for member in set(members)),
    )


def listed(catalog: Zone) -> set[Name]:
    """The members that a catalog of this server lists."""
    return {read_name(rdata, 0)[0] for item in catalog.rrsets() if item.type == PTR for rdata in item.rdatas}


def member_id(member: Name) -> str:
    """The label that stands for a member: 32 hexadecimal digits."""
    return hashlib.sha256(Name(member.key).wire).hexdigest()[:32]
