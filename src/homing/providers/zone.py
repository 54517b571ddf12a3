"""The zones of Homing's own DNS server as a provider: what is applied here, the server answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from homing.dns.authority import Authority
from homing.effects.clock import Clock
from homing.errors import ModelError, ProviderBusy, ProviderRefused, StoreError
from homing.model.address import Address
from homing.model.name import Name
from homing.model.rrset import FAMILIES, RRset, RRType, address_rrsets, rrset
from homing.model.zone import Soa, Zone, serial_gt, succeed, zone
from homing.plan import NameChange
from homing.providers.base import Traits

Save = Callable[[Zone], Awaitable[None]]
"""Puts a zone version on disk before it counts (law 8). Raises StoreError when it cannot."""


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


class ZoneProvider:
    """Publishes in the own zones.

    Call ``start`` before anything else. Changes are made one at a time; each is saved, then served.
    """

    def __init__(
        self, name: str, authority: Authority, templates: Iterable[ZoneTemplate], save: Save, clock: Clock
    ) -> None:
        self._name = name
        self._authority = authority
        self._templates = {template.origin: template for template in templates}
        self._static = {item.key for template in self._templates.values() for item in template.static}
        self._save = save
        self._clock = clock
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        """The key of the provider in the settings."""
        return self._name

    @property
    def traits(self) -> Traits:
        """Readable, not public, no limits."""
        return Traits(readable=True, public=False)

    def account(self, name: Name) -> str:
        """There is one."""
        return self._name

    def fingerprint(self, name: Name, salt: bytes) -> str:
        """There are no credentials."""
        return ""

    async def start(self, last_good: Iterable[Zone] = (), wanted: Collection[tuple[Name, int]] | None = None) -> None:
        """Serve the zones: the addresses served already or last good, with what the settings say now.

        ``wanted`` are the names and types that the settings speak of; others are served no more, since leaving
        them out is a positive statement. None keeps all.

        The serial stays while the content does; without a last good version it is Unix time. Raises ModelError when
        the static records contradict each other, StoreError when a new version cannot be saved.
        """
        before = {old.origin: old for old in last_good}
        async with self._lock:
            for template in self._templates.values():
                old = self._authority.zone(template.origin) or before.get(template.origin)
                await self._begin(template, old, wanted)

    def changeable(self) -> tuple[RRset, ...]:
        """All A and AAAA RRsets in the zones that are not static: what was published here, by whomever."""
        served = (self._authority.zone(origin) for origin in self._templates)
        return tuple(item for zone in served if zone for item in self._dynamic(zone))

    async def read(self, name: Name) -> tuple[RRset, ...]:
        """The A and AAAA RRsets served at the name."""
        types = self._served(name).nodes.get(name, {})
        return tuple(types[rtype] for rtype in FAMILIES if rtype in types)

    async def apply(self, change: NameChange) -> None:
        """Save and serve the next version of the name's zone; nothing happens when the content stays the same."""
        async with self._lock:
            old = self._served(change.name)
            rrsets = {item.key: item for item in old.rrsets()}
            for item in change.changes:
                key = (change.name, item.type)
                if key in self._static:
                    raise ProviderRefused(
                        "static",
                        f"provider {self._name}: {change.name.text} is a fixed record of zone {old.origin.text}; "
                        "choose another name, or take it out of the zone's settings",
                    )
                if item.after is None:
                    rrsets.pop(key, None)
                else:
                    rrsets[key] = item.after
            try:
                new = succeed(old, rrsets.values())
            except ModelError as error:
                raise ProviderRefused(
                    "conflict",
                    f"provider {self._name}: {change.name.text} stays as it is: {error}; change one of the two",
                ) from None
            if new is old:
                return
            try:
                await self._save(new)
            except StoreError as error:
                raise ProviderBusy(
                    "store",
                    f"provider {self._name}: {change.name.text} stays as it is, the zone cannot be saved: {error}",
                ) from None
            self._authority.publish(new)

    async def aclose(self) -> None:
        """Nothing to let go of: the zones stay served until the server ends."""

    async def _begin(
        self, template: ZoneTemplate, old: Zone | None, wanted: Collection[tuple[Name, int]] | None
    ) -> None:
        if old is None:
            new = zone(template.origin, int(self._clock.time()) % 2**32, template.soa, template.static)
        else:
            kept = (item for item in self._dynamic(old) if wanted is None or item.key in wanted)
            new = succeed(old, (*template.static, *kept), template.soa)
        if template.serial is not None and serial_gt(template.serial, new.serial):
            new = replace(new, serial=template.serial)
        if new is not old:
            await self._save(new)
        self._authority.publish(new, renumbered=template.serial is not None)

    def _dynamic(self, zone: Zone) -> tuple[RRset, ...]:
        return tuple(item for item in zone.rrsets() if item.type in FAMILIES and item.key not in self._static)

    def _served(self, name: Name) -> Zone:
        origins = [origin for origin in self._templates if name.is_within(origin)]
        if not origins:
            known = ", ".join(origin.text for origin in self._templates) or "none"
            raise ProviderRefused(
                "outside",
                f"provider {self._name}: {name.text} is in none of its zones ({known}); add the zone or rename it",
            )
        origin = max(origins, key=lambda origin: len(origin.labels))
        served = self._authority.zone(origin)
        if served is None:
            raise ProviderBusy(
                "not-started",
                f"provider {self._name}: zone {origin.text} of {name.text} is not loaded yet; trying again",
            )
        return served
