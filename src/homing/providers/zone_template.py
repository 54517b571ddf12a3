"""A zone of the built-in provider as the settings give it: apex, name servers and their glue, fixed records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from homing.errors import ModelError
from homing.model.address import Address
from homing.model.name import Name
from homing.model.rrset import RRset, RRType, address_rrsets, rrset
from homing.model.zone import Soa


@dataclass(frozen=True, slots=True)
class ZoneTemplate:
    """A zone as the settings give it: all that does not follow addresses. ``static`` holds NS, glue and the like.

    ``serial`` is that of a master file: the zone's is never before it.
    """

    origin: Name
    soa: Soa
    static: tuple[RRset, ...]
    serial: int | None = None


def zone_template(
    origin: Name,
    servers: Mapping[Name, Iterable[Address] | None],
    contact: Name,
    *,
    ttl: int = 30,
    soa: Soa | None = None,
) -> ZoneTemplate:
    """A zone with these name servers, the first of them the primary, and the addresses of those inside it.

    Addresses None stand for a server whose own addresses are among the names to be kept right.

    ``contact`` is the mailbox in DNS form, ``ttl`` seconds; ``soa`` gives the times, its names are replaced. Raises
    ModelError for no server, or one inside the zone without an address.
    """
    if not servers:
        raise ModelError(f"zone {origin} has no name server; name at least one")
    glue: list[RRset] = []
    for server, addresses in servers.items():
        if server.is_within(origin) and addresses is not None:
            own = address_rrsets(server, ttl, addresses)
            if not own:
                raise ModelError(f"name server {server} is in its zone {origin}; give its addresses")
            glue += own
    primary = next(iter(servers))
    start = replace(soa, mname=primary, rname=contact) if soa else Soa(primary, contact, ttl=ttl)
    names = rrset(origin, RRType.NS, ttl, (server.wire for server in servers))
    return ZoneTemplate(origin, start, (names, *glue))
