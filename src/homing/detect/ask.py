"""Asks one observer and judges its answer: the seam between the round, which knows no network, and the network."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

from homing.detect.interface import has_route, source_address
from homing.detect.observers import HttpService, Interfaces, Observer, StunServer, literal
from homing.detect.stun import ask_stun
from homing.detect.whoami import ask_whoami
from homing.detect.whoami_message import TYPE_A, TYPE_AAAA
from homing.effects.clock import Clock
from homing.effects.http import HttpClient
from homing.effects.resolve import Resolver
from homing.errors import ObservationError, ResolveError
from homing.model.address import Address, Family, Network, Reach, family_of, publishable, reach_of
from homing.model.observation import Method, Observation

Ask = Callable[[Observer, Family, float], Awaitable[Observation]]
"""Asks an observer over a family, taking at most so many seconds; never raises for what the network does."""

HEAVY_PAUSE = 0.1
"""Seconds that the first HTTP request of a process waits for the observers that need one packet."""

_NO_ROUTE = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class NetworkAsk:
    """Asks through real sockets. It is an ``Ask``; addresses in ``accept`` count though not global."""

    def __init__(
        self, http: HttpClient, clock: Clock, *, accept: Sequence[Network] = (), resolver: Resolver | None = None
    ) -> None:
        self._http = http
        self._clock = clock
        self._accept = accept
        self._resolver = resolver or Resolver(clock)

    async def __call__(self, observer: Observer, family: Family, timeout: float) -> Observation:
        """What the observer says within ``timeout`` seconds, or why it says nothing."""
        began = self._clock.monotonic()
        address: Address | None = None
        try:
            async with asyncio.timeout(timeout):
                address = await self._address(observer, family, timeout)
            failure = judge(observer.method, address, family, self._accept)
        except TimeoutError:
            failure = f"no answer within {timeout:.2g} s"
        except (ObservationError, ResolveError) as error:
            failure = str(error)
        except OSError as error:
            failure = _sentence(error, family)
        elapsed = self._clock.monotonic() - began
        return Observation(
            observer.name, observer.operator, observer.method, family, self._clock.time(), elapsed, address, failure
        )

    async def _address(self, observer: Observer, family: Family, timeout: float) -> Address:
        if isinstance(observer, Interfaces):
            return source_address(family)
        if isinstance(observer, HttpService):
            self._need_route(observer.host, family)
            if "aiohttp" not in sys.modules:
                # It takes a third of a second to import, and competes for the interpreter with the datagrams, which
                # settle most rounds: they go first.
                await self._clock.sleep(HEAVY_PAUSE)
                await asyncio.to_thread(__import__, "aiohttp")
            return await _http(self._http, observer.url, family, self._clock, timeout)
        address = literal(observer.host)
        if address is None:
            self._need_route(observer.host, family)
            address = (await self._resolver.resolve(observer.host, family))[0]
        if isinstance(observer, StunServer):
            return await ask_stun(address, observer.port, observer.transport, accept=self._accept)
        rdtype = observer.rdtype or (TYPE_A if family is Family.V4 else TYPE_AAAA)
        return await ask_whoami(address, observer.port, (observer.question, rdtype, observer.rdclass))

    def _need_route(self, host: str, family: Family) -> None:
        """Fail at once, without a look-up, where the family has no way out."""
        if host != "localhost" and literal(host) is None and not has_route(family):
            raise ObservationError(f"this machine has no {family} route to the internet")


def judge(method: Method, address: Address, family: Family, accept: Sequence[Network] = ()) -> str:
    """Why an address does not count, as a sentence; empty when it does."""
    if family_of(address) is not family:
        return f"answered {address}, which is not an {family} address"
    if publishable(address, accept):
        return ""
    reach = reach_of(address)
    article = "" if reach is Reach.CGNAT else "an " if reach.description[0] in "aeiou" else "a "
    kind = "behind carrier-grade NAT, inside 100.64.0.0/10" if reach is Reach.CGNAT else f"{reach.description} address"
    if method is Method.INTERFACE:
        return f"{address} is {article}{kind}: this machine is behind NAT"
    return f"answered {address}, which is {article}{kind}, not reachable from the internet"


async def _http(client: HttpClient, url: str, family: Family, clock: Clock, timeout: float) -> Address:
    from homing.detect.http_service import ask_http

    return await ask_http(client, url, family, clock=clock, timeout=timeout)


def _sentence(error: OSError, family: Family) -> str:
    if error.errno in _NO_ROUTE:
        return f"this machine has no {family} route to the internet"
    if error.errno == errno.ECONNREFUSED:
        return "nobody answers there (connection refused)"
    return f"cannot be reached: {os.strerror(error.errno) if error.errno else 'connection failed'}"
