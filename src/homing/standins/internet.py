"""The whole stand-in internet on loopback: several operators that tell an address, and two that publish one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Self

from homing.effects.clock import Clock, SystemClock
from homing.model.address import Address, Family
from homing.standins.checkip import CheckIpServer
from homing.standins.gandi import GandiServer
from homing.standins.listen import Endpoint, Listen, has_ipv6_loopback
from homing.standins.strato import Patience, StratoServer
from homing.standins.stun import StunServer
from homing.standins.whoami import WhoamiServer

STUN_OPERATORS = 3
HTTP_OPERATORS = 2

Teller = StunServer | CheckIpServer | WhoamiServer


@dataclass(frozen=True, slots=True)
class Observer:
    """One address to ask: who runs it, where, and for which family of client."""

    operator: str
    family: Family
    endpoint: Endpoint


class StandInInternet:
    """Three STUN operators, two HTTP services, a whoami DNS, a Strato and a Gandi, on loopback at free ports.

    All tell the WAN address set last by ``move``; an operator may be made to lie through its own ``wan``. Where the
    machine has no ``::1``, and where ``ipv6`` is false, only IPv4 is served. The endless patience of ``patience``'s
    default suits a demo; tests of lockouts pass ``Patience()``.
    """

    def __init__(
        self,
        ipv4: IPv4Address | None,
        ipv6: IPv6Address | None = None,
        *,
        strato_hosts: Mapping[str, str] | None = None,
        strato_passwords: Mapping[str, str] | None = None,
        gandi_domains: Iterable[str] = (),
        gandi_token: str = "",
        patience: Patience | None = None,
        serve_ipv6: bool = True,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        hosts = ["127.0.0.1", "::1"] if serve_ipv6 and has_ipv6_loopback() else ["127.0.0.1"]
        listens = tuple(Listen(host) for host in hosts)
        self._addresses: dict[Family, Address | None] = {Family.V4: ipv4, Family.V6: ipv6}
        self.stun = tuple(StunServer(listens, self.wan) for _ in range(STUN_OPERATORS))
        self.http = tuple(CheckIpServer(listens, self.wan) for _ in range(HTTP_OPERATORS))
        self.whoami = WhoamiServer(listens, self.wan)
        endless = Patience(nochg=None, requests=None)
        self.strato = StratoServer(
            strato_hosts or {}, strato_passwords or {}, patience=patience or endless, clock=clock
        )
        self.gandi = GandiServer(gandi_domains, token=gandi_token, clock=clock)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            tellers: list[Teller] = [*self.stun, *self.http, self.whoami]
            for server in (*tellers, self.strato, self.gandi):
                await stack.enter_async_context(server)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def wan(self, family: Family) -> Address | None:
        """The WAN address of a family now."""
        return self._addresses[family]

    def move(self, ipv4: IPv4Address | None, ipv6: IPv6Address | None = None) -> None:
        """Get other WAN addresses; None has none of that family."""
        self._addresses = {Family.V4: ipv4, Family.V6: ipv6}

    @property
    def stun_observers(self) -> tuple[Observer, ...]:
        """Where to ask by STUN, over UDP or TCP."""
        return _observers("stun", self.stun)

    @property
    def http_observers(self) -> tuple[Observer, ...]:
        """Where to ask by HTTP: ``/`` answers text, ``/json`` JSON."""
        return _observers("http", self.http)

    @property
    def whoami_observers(self) -> tuple[Observer, ...]:
        """Where to ask by DNS, over UDP."""
        return _observers("whoami", (self.whoami,))

    @property
    def strato_url(self) -> str:
        """The update URL of the Strato stand-in."""
        return self.strato.endpoints[0].url("/nic/update")

    @property
    def gandi_url(self) -> str:
        """The base URL of the Gandi stand-in, as ``https://api.gandi.net`` is the real one's."""
        return self.gandi.endpoints[0].url("")

    def as_json(self) -> dict[str, Any]:
        """The state: addresses, what was published and asked."""
        return {
            "wan": {str(family.value): str(address) for family, address in self._addresses.items() if address},
            "strato": self.strato.as_json(),
            "gandi": self.gandi.as_json(),
        }


def _observers(kind: str, servers: tuple[Teller, ...]) -> tuple[Observer, ...]:
    return tuple(
        Observer(f"{kind}-{index}.example", Family.V6 if ":" in endpoint.host else Family.V4, endpoint)
        for index, server in enumerate(servers, start=1)
        for endpoint in server.endpoints
    )
