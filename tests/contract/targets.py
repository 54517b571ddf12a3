"""The providers that keep the contract. To add one, write a target and put it into PROVIDERS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from homing.dns.authority import Authority, Change
from homing.effects.clock import SystemClock
from homing.effects.http import HttpClient
from homing.effects.secret import secret_from_text
from homing.model.name import Name, parse_name
from homing.providers.base import Provider
from homing.providers.dyndns2 import Dyndns2
from homing.providers.gandi import Gandi
from homing.providers.presets import PRESETS
from homing.providers.rfc2136 import Rfc2136
from homing.providers.zone import ZoneProvider
from homing.providers.zone_template import zone_template
from homing.standins.gandi import GandiServer
from homing.standins.listen import Listen
from homing.standins.strato import StratoServer
from tests import dns_servers
from tests.providers.fakes import Certificates, silent_server

HANG_LIMIT = 0.5
"""Seconds of a provider's timeout where a test lets it hang."""


@dataclass(frozen=True)
class Target:
    """A provider with a server behind it.

    ``held`` tells the addresses that the server really publishes. ``denied`` is the same provider with a wrong
    secret, ``hanging`` one whose server never answers; None where there is no such thing.
    """

    provider: Provider
    held: Callable[[Name], Awaitable[frozenset[str]]]
    secrets: tuple[str, ...] = ()
    deletes: bool = True
    denied: Provider | None = None
    hanging: Provider | None = None


Open = Callable[[pytest.FixtureRequest, HttpClient], AbstractAsyncContextManager[Target]]

DOMAIN = "example.net"
PASSWORD = "Tr0ub4dor&3 and more"
TOKEN = "a-token-of-gandi"

MAX_NAMES = 500
"""Hosts that exist at Strato; dyndns2 cannot make one."""


@asynccontextmanager
async def strato(request: pytest.FixtureRequest, http: HttpClient) -> AsyncIterator[Target]:
    certificates: Certificates = request.getfixturevalue("certificates")
    hosts = {f"host{number}.example.net": f"host{number}.example.net" for number in range(MAX_NAMES)}

    def provider(server: str, password: str, timeout: float = 20.0) -> Dyndns2:
        secret = secret_from_text(password)
        return Dyndns2("p", PRESETS["strato"], http=http, password=secret, server=server, timeout=timeout)

    listens = (Listen(tls=certificates.valid),)
    async with (
        StratoServer(hosts, dict.fromkeys(hosts, PASSWORD), listens=listens) as service,
        silent_server() as silent,
    ):

        async def held(name: Name) -> frozenset[str]:
            return frozenset(map(str, service.published[name.text]))

        url = service.endpoints[0].url()
        yield Target(
            provider(url, PASSWORD),
            held,
            (PASSWORD, "wrong-password"),
            deletes=False,
            denied=provider(url, "wrong-password"),
            hanging=provider(f"http://127.0.0.1:{silent}", PASSWORD, HANG_LIMIT),
        )


@asynccontextmanager
async def gandi(request: pytest.FixtureRequest, http: HttpClient) -> AsyncIterator[Target]:
    certificates: Certificates = request.getfixturevalue("certificates")

    def provider(server: str, token: str, timeout: float = 20.0) -> Gandi:
        return Gandi("p", http=http, token=secret_from_text(token), server=server, timeout=timeout)

    listens = (Listen(tls=certificates.valid),)
    async with GandiServer([DOMAIN], token=TOKEN, listens=listens) as service, silent_server() as silent:

        async def held(name: Name) -> frozenset[str]:
            label = name.relative(parse_name(DOMAIN))
            return frozenset(value for rtype in ("A", "AAAA") for value in service.values(DOMAIN, label, rtype))

        url = service.endpoints[0].url()
        yield Target(
            provider(url, TOKEN),
            held,
            (TOKEN, "not-the-token"),
            denied=provider(url, "not-the-token"),
            hanging=provider(f"http://127.0.0.1:{silent}", TOKEN, HANG_LIMIT),
        )


@asynccontextmanager
async def own_zone(_: pytest.FixtureRequest, __: HttpClient) -> AsyncIterator[Target]:
    origin = parse_name(DOMAIN)
    authority = Authority()

    async def save(change: Change) -> None:
        """No disk in this test."""

    template = zone_template(origin, {origin.prefixed("ns1"): [IPv4Address("192.0.2.53")]}, origin.prefixed("admin"))
    provider = ZoneProvider("p", authority, [template], save, SystemClock())
    await provider.start()

    async def held(name: Name) -> frozenset[str]:
        served = authority.zone(origin)
        types = served.nodes.get(name, {}) if served else {}
        return frozenset(value for rrset in types.values() for value in rrset.values)

    yield Target(provider, held)


@asynccontextmanager
async def rfc2136(peer: dns_servers.Server) -> AsyncIterator[Target]:
    def provider(server: str, key: str, timeout: float = 20.0) -> Rfc2136:
        return Rfc2136("p", server=server, key_name=dns_servers.KEY_NAME, key=secret_from_text(key), timeout=timeout)

    async def held(name: Name) -> frozenset[str]:
        return await peer.addresses(name.text)

    async with silent_server() as silent:
        yield Target(
            provider(peer.server, dns_servers.KEY),
            held,
            (dns_servers.KEY, dns_servers.OTHER_KEY),
            denied=provider(peer.server, dns_servers.OTHER_KEY),
            hanging=provider(f"127.0.0.1:{silent}", dns_servers.KEY, HANG_LIMIT),
        )


def knot(request: pytest.FixtureRequest, _: HttpClient) -> AbstractAsyncContextManager[Target]:
    return rfc2136(request.getfixturevalue("knot_server"))


def named(request: pytest.FixtureRequest, _: HttpClient) -> AbstractAsyncContextManager[Target]:
    return rfc2136(request.getfixturevalue("named_server"))


PROVIDERS: Mapping[str, Open] = {
    "zone": own_zone,
    "strato": strato,
    "gandi": gandi,
    "rfc2136-knot": knot,
    "rfc2136-bind": named,
}

PEERS = frozenset(("rfc2136-knot", "rfc2136-bind"))
"""Those that need a real peer program."""
