"""Dynamic updates (RFC 2136) signed with TSIG (RFC 8945), through dnspython; reading is a signed query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from homing.effects.secret import Secret
from homing.errors import ConfigError, ProviderBusy, ProviderRefused
from homing.model.name import Name
from homing.model.rrset import RRset, RRType, rrset
from homing.plan import NameChange
from homing.providers.base import Traits
from homing.providers.credentials import combined_fingerprint
from homing.providers.signed_dns import SignedServer

if TYPE_CHECKING:
    import dns.message
    import dns.name
    import dns.rdata
    import dns.rrset

MAX_ZONES = 10_000
"""Names whose zone is remembered."""

_NOERROR, _NXDOMAIN, _YXDOMAIN, _YXRRSET, _NXRRSET, _NOTAUTH, _NOTZONE = 0, 3, 6, 7, 8, 9, 10


class Rfc2136:
    """Publishes by one atomic update a name, which fails when the name no longer holds what was read.

    ``server`` is ``HOST``, ``HOST:PORT``, an IPv6 address, or ``[ADDRESS]:PORT``. ``zone`` None means that the
    server is asked for it. ``key`` is the Base64 text of the TSIG key. ``timeout`` is seconds for a whole ``read`` or
    ``apply``. ``public`` tells whether the world reads this server. ``fence`` is called right before anything is sent.
    Raises ConfigError when a setting cannot be right.
    """

    def __init__(
        self,
        name: str,
        *,
        server: str,
        key_name: str,
        key: Secret,
        algorithm: str = "hmac-sha256",
        zone: Name | None = None,
        timeout: float = 20.0,
        public: bool = True,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        if zone is not None and zone.is_root:
            raise ConfigError(f"providers.{name}.zone", "is the root", 'write it like "example.net"')
        self._name = name
        self._server = SignedServer(name, server, key_name, key, algorithm, fence)
        self._key = key
        self._zone = zone
        self._timeout = timeout
        self._traits = Traits(readable=True, public=public)
        self._zones: dict[Name, Name] = {}

    def __repr__(self) -> str:
        return f"Rfc2136({self._name!r}, {self._server.host} port {self._server.port})"

    @property
    def name(self) -> str:
        """The key of the provider in the settings."""
        return self._name

    @property
    def traits(self) -> Traits:
        """Readable; no least TTL and no cooldown."""
        return self._traits

    def account(self, name: Name) -> str:
        """The TSIG key at its server."""
        return f"{self._server.key_name}@{self._server.host}:{self._server.port}"

    def fingerprint(self, name: Name, salt: bytes) -> str:
        """Changes with the key, its name or algorithm, the server or the zone."""
        zone = self._zone.text if self._zone else ""
        return combined_fingerprint(self._key, salt, self.account(name), self._server.algorithm, zone)

    async def read(self, name: Name) -> tuple[RRset, ...]:
        """The A and AAAA RRsets as the server itself holds them; a CNAME at the name is refused."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._read(name)
        except TimeoutError:
            raise self._slow(name) from None

    async def apply(self, change: NameChange) -> None:
        """Make all changes at once or none, provided that each RRset still is as ``before`` says.

        When it is not, but the name already holds what is wanted, that is success too.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._apply(change)
        except TimeoutError:
            raise self._slow(change.name) from None

    async def aclose(self) -> None:
        """Each exchange closes its own connection."""

    async def _read(self, name: Name) -> tuple[RRset, ...]:
        found: list[RRset] = []
        for rtype in (RRType.A, RRType.AAAA):
            response = await self._query(name, rtype)
            for item in response.answer:
                if item.name != _dns_name(name):
                    continue
                if int(item.rdtype) == RRType.CNAME:
                    text = "is an alias (CNAME); remove the CNAME, an alias holds no addresses"
                    raise ProviderRefused("cname", f"provider {self._name}: {name.text} {text}")
                if int(item.rdtype) == rtype:
                    found.append(rrset(name, rtype, item.ttl, _rdatas(item)))
        return tuple(found)

    async def _apply(self, change: NameChange) -> None:
        zone = await self._zone_of(change.name)
        code, _ = await self._server.exchange(_update(zone, change), change.name.text)
        if code in (_NXDOMAIN, _YXDOMAIN, _YXRRSET, _NXRRSET):
            now = {item.type: item for item in await self._read(change.name)}
            if all(now.get(item.type) == item.after for item in change.changes):
                return
            text = f"provider {self._name}: somebody else changed {change.name.text} meanwhile; it is read again"
            raise ProviderBusy("changed-meanwhile", text)
        if code in (_NOTAUTH, _NOTZONE):
            self._zones.clear()
        if code != _NOERROR:
            raise self._server.failure(code, change.name.text)

    async def _query(self, name: Name, rtype: RRType) -> dns.message.Message:
        """A signed answer that the server has of its own (AA), with NOERROR or NXDOMAIN."""
        import dns.flags
        import dns.message
        import dns.rdatatype

        query = dns.message.make_query(_dns_name(name), dns.rdatatype.RdataType(rtype), flags=0)
        code, response = await self._server.exchange(query, name.text)
        if code not in (_NOERROR, _NXDOMAIN) or response is None:
            raise self._server.failure(code, name.text)
        if not response.flags & dns.flags.AA:
            text = f"provider {self._name}: the server does not hold the zone of {name.text}; check server and fqdn"
            raise ProviderRefused("not-authoritative", text)
        return response

    async def _zone_of(self, name: Name) -> Name:
        """The zone set, or the owner of the SOA record that comes with an answer for the name."""
        if self._zone is not None:
            if not name.is_within(self._zone):
                text = f"{name.text} is not in zone {self._zone.text}; check zone in the settings"
                raise ProviderRefused("outside-zone", f"provider {self._name}: {text}")
            return self._zone
        if name not in self._zones:
            response = await self._query(name, RRType.SOA)
            for item in (*response.answer, *response.authority):
                zone = Name(item.name.labels[:-1])
                if int(item.rdtype) == RRType.SOA and name.is_within(zone):
                    if len(self._zones) >= MAX_ZONES:
                        self._zones.clear()
                    self._zones[name] = zone
                    break
            else:
                text = f"the server does not tell the zone of {name.text}; write zone in the settings"
                raise ProviderRefused("no-zone", f"provider {self._name}: {text}")
        return self._zones[name]

    def _slow(self, name: Name) -> ProviderBusy:
        text = f"no answer for {name.text} within {self._timeout:g} s; it is tried again by itself"
        return ProviderBusy("timeout", f"provider {self._name}: {text}")


def _update(zone: Name, change: NameChange) -> dns.message.Message:
    """The update of RFC 2136, section 2: what must hold (value-dependent, section 2.4.2), what goes, what comes."""
    import dns.rdatatype
    import dns.update

    update = dns.update.UpdateMessage(_dns_name(zone))
    owner = _dns_name(change.name)
    # A server ignores an A beside a CNAME without a word (section 3.4.2.2), so make it speak.
    update.absent(owner, dns.rdatatype.CNAME)
    for item in change.changes:
        rdtype = dns.rdatatype.RdataType(item.type)
        if item.before is None:
            update.absent(owner, rdtype)
        else:
            for record in _records(item.before):
                update.present(owner, record)
            update.delete(owner, rdtype)
        if item.after is not None:
            for record in _records(item.after):
                update.add(owner, item.after.ttl, record)
    return update


def _records(item: RRset) -> list[dns.rdata.Rdata]:
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

    rdtype = dns.rdatatype.RdataType(item.type)
    return [dns.rdata.from_wire(dns.rdataclass.IN, rdtype, rdata, 0, len(rdata)) for rdata in item.rdatas]


def _rdatas(item: dns.rrset.RRset) -> list[bytes]:
    return [record.to_digestable() for record in cast("Iterable[dns.rdata.Rdata]", item)]


def _dns_name(name: Name) -> dns.name.Name:
    import dns.name

    return dns.name.Name((*name.labels, b""))
