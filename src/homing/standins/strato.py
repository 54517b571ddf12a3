"""A dyndns2 server as Strato runs it: ``/nic/update``, its codes, and its patience with bad clients."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from homing.effects.clock import Clock, SystemClock
from homing.errors import ModelError
from homing.model.address import Address, parse_address
from homing.model.name import is_host_name, parse_name
from homing.standins.faults import FaultScript, misbehave
from homing.standins.listen import Endpoint, Listen
from homing.standins.service import WebService

if TYPE_CHECKING:
    from aiohttp import web

PATH = "/nic/update"
MAX_HOSTS = 20
"""Hosts in one request; more are ``numhost``."""

MAX_LOG = 10_000
"""Requests that are remembered."""

_AGENT = re.compile(r"[\w.-]+/[\w.+-]+ .*(@|https?://)")


@dataclass(frozen=True, slots=True)
class Patience:
    """When a client has earned ``abuse``.

    ``nochg`` is how many unchanged updates in a row block a host; more than ``requests`` for one host within
    ``window`` seconds block all hosts of the account that were asked for in that time, as happens to two hosts retried
    every 10 s. None is endless patience.
    """

    nochg: int | None = 3
    requests: int | None = 5
    window: float = 60.0


@dataclass(frozen=True, slots=True)
class StratoRequest:
    """One request: when (Unix time), for which hosts, what it gave as addresses and what it was answered.

    ``code`` is the answer's text, or ``fault:`` and its kind. Credentials are not kept.
    """

    at: float
    hosts: tuple[str, ...]
    addresses: tuple[Address, ...]
    code: str

    @property
    def families(self) -> frozenset[int]:
        """The families given, as 4 and 6."""
        return frozenset(address.version for address in self.addresses)

    def as_json(self) -> dict[str, Any]:
        """For the control endpoint."""
        return {
            "at": self.at,
            "hosts": list(self.hosts),
            "addresses": [str(address) for address in self.addresses],
            "families": sorted(self.families),
            "code": self.code,
        }


@dataclass(slots=True)
class _Host:
    account: str
    addresses: tuple[Address, ...] = ()
    unchanged: int = 0
    blocked: bool = False
    requests: deque[float] = field(default_factory=lambda: deque(maxlen=1000))


class StratoServer:
    """Answers ``/nic/update`` while entered, over TLS where a Listen says so.

    ``hosts`` maps each host to its account, ``passwords`` each account to its password. The user is the account or one
    of its hosts. A missing or nameless User-Agent is ``badagent``; both families come by comma in ``myip``; a family
    that is not given is deleted, and no ``myip`` means the client's address. ``faults`` go by the host. A wrong
    password is answered 401 with ``badauth``, everything else 200.
    """

    def __init__(
        self,
        hosts: Mapping[str, str],
        passwords: Mapping[str, str],
        *,
        listens: Sequence[Listen] = (Listen(),),
        patience: Patience | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._hosts = {host.lower(): _Host(account) for host, account in hosts.items()}
        self.passwords = dict(passwords)
        self._patience = patience or Patience()
        self._clock = clock or SystemClock()
        self._service = WebService(self._answer, listens)
        self.faults = FaultScript()
        self.log: deque[StratoRequest] = deque(maxlen=MAX_LOG)

    async def __aenter__(self) -> Self:
        await self._service.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._service.aclose()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens."""
        return self._service.endpoints

    @property
    def published(self) -> dict[str, tuple[Address, ...]]:
        """What the world sees of each host, IPv4 before IPv6; a host never updated has none."""
        return {name: host.addresses for name, host in self._hosts.items()}

    @property
    def blocked(self) -> frozenset[str]:
        """The hosts that are answered ``abuse``."""
        return frozenset(name for name, host in self._hosts.items() if host.blocked)

    def unblock(self) -> None:
        """What Strato's support does after a call: every host works again."""
        for host in self._hosts.values():
            host.blocked = False
            host.unchanged = 0
            host.requests.clear()

    def as_json(self) -> dict[str, Any]:
        """The state, for the control endpoint."""
        return {
            "published": {name: [str(a) for a in addresses] for name, addresses in self.published.items()},
            "blocked": sorted(self.blocked),
            "log": [request.as_json() for request in self.log],
        }

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        if request.path != PATH:
            return web.Response(status=404, text="not found")
        hosts = tuple(host.lower() for host in request.query.get("hostname", "").split(",") if host)
        addresses = _addresses(request.query.get("myip", ""), request.remote or "")
        fault = self.faults.take(*hosts)
        if fault is not None:
            self._note(hosts, addresses, fault.body.strip() or f"fault:{fault.kind.value}")
            return await misbehave(request, fault)
        code = self.update(
            request.headers.get("Authorization", ""), request.headers.get("User-Agent", ""), hosts, addresses
        )
        headers = {"WWW-Authenticate": 'Basic realm="DynDNS"'} if code == "badauth" else {}
        return web.Response(status=401 if code == "badauth" else 200, text=f"{code}\n", headers=headers)

    def update(self, authorization: str, agent: str, hosts: tuple[str, ...], addresses: tuple[Address, ...]) -> str:
        """One update, without HTTP around it: the answer's lines; an account's error is one line alone."""
        account = self._account(authorization)
        if account is None:
            code = "badauth"
        elif not _AGENT.match(agent):
            code = "badagent"
        elif not hosts or not all(_is_fqdn(host) for host in hosts):
            code = "notfqdn"
        elif len(hosts) > MAX_HOSTS:
            code = "numhost"
        else:
            self._count(account, hosts)
            code = "\n".join(self._update_host(account, host, addresses) for host in hosts)
        self._note(hosts, addresses, code)
        return code

    def _note(self, hosts: tuple[str, ...], addresses: tuple[Address, ...], code: str) -> None:
        self.log.append(StratoRequest(self._clock.time(), hosts, addresses, code))

    def _account(self, authorization: str) -> str | None:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        host = self._hosts.get(user.lower())
        account = host.account if host is not None else user
        expected = self.passwords.get(account)
        if expected is None or not hmac.compare_digest(expected.encode(), password.encode()):
            return None
        return account

    def _count(self, account: str, names: tuple[str, ...]) -> None:
        """Block the hosts of an account that asks too often."""
        if self._patience.requests is None:
            return
        now = self._clock.monotonic()
        own = {name: host for name, host in self._hosts.items() if host.account == account}
        for name in names:
            if name in own:
                own[name].requests.append(now)
        busy = {name: sum(at > now - self._patience.window for at in host.requests) for name, host in own.items()}
        if max(busy.values(), default=0) > self._patience.requests:
            for name, count in busy.items():
                own[name].blocked |= count > 0

    def _update_host(self, account: str, name: str, addresses: tuple[Address, ...]) -> str:
        host = self._hosts.get(name)
        if host is None or host.account != account:
            return "nohost"
        if host.blocked:
            return "abuse"
        shown = " ".join(map(str, addresses))
        if host.addresses != addresses:
            host.addresses, host.unchanged = addresses, 0
            return f"good {shown}"
        host.unchanged += 1
        host.blocked = self._patience.nochg is not None and host.unchanged >= self._patience.nochg
        return "abuse" if host.blocked else f"nochg {shown}"


def _addresses(myip: str, peer: str) -> tuple[Address, ...]:
    """What to publish: one address a family, IPv4 first; where nothing usable is given, the client's own."""
    found: dict[int, Address] = {}
    for text in (*myip.split(","), *(() if myip else (peer,))):
        try:
            address = parse_address(text)
        except ModelError:
            continue
        found[address.version] = address
    return tuple(found[version] for version in sorted(found))


def _is_fqdn(host: str) -> bool:
    try:
        return is_host_name(parse_name(host))
    except ModelError:
        return False
