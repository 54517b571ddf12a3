"""Names to addresses through the system's resolver, in threads that nobody has to wait for."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

from homing.effects.clock import Clock
from homing.errors import ModelError, ResolveError
from homing.model.address import Address, Family, family_of, parse_address

Lookup = Callable[[str, Family], list[str]]
"""Looks a host up and blocks meanwhile; raises OSError."""

MAX_THREADS = 48
"""Look-ups at a time; those that hang keep theirs until the system gives up."""

FRESH = 300.0
"""Seconds that an answer is used without asking again."""

MAX_REMEMBERED = 512
"""Answers kept."""

MAX_ADDRESSES = 4
"""Addresses of an answer that are used."""


def system_lookup(host: str, family: Family) -> list[str]:
    """The addresses that getaddrinfo(3) tells, in its order."""
    kind = socket.AF_INET if family is Family.V4 else socket.AF_INET6
    found = socket.getaddrinfo(host, None, kind, socket.SOCK_DGRAM)
    return [str(entry[4][0]) for entry in found]


class Resolver:
    """Looks host names up.

    Each look-up has a daemon thread of its own, so that a hung resolver delays neither whoever asked nor the end
    of the process. Answers are used for ``FRESH`` seconds, and beyond that when asking again fails: a line that
    just came back has no working resolver yet.
    """

    def __init__(self, clock: Clock, lookup: Lookup = system_lookup, *, max_threads: int = MAX_THREADS) -> None:
        self._clock = clock
        self._lookup = lookup
        self._free = max_threads
        self._known: dict[tuple[str, Family], tuple[float, tuple[Address, ...]]] = {}

    async def resolve(self, host: str, family: Family) -> tuple[Address, ...]:
        """The addresses of a host in one family, at least one. Raises ResolveError."""
        literal = _parse(host)
        if literal is not None and family_of(literal) is family:
            return (literal,)
        known = self._known.get((host, family))
        if known is not None and self._clock.monotonic() - known[0] < FRESH:
            return known[1]
        try:
            addresses = await self._ask(host, family)
        except ResolveError:
            if known is None:
                raise
            return known[1]
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[host, family] = (self._clock.monotonic(), addresses)
        return addresses

    async def _ask(self, host: str, family: Family) -> tuple[Address, ...]:
        if self._free <= 0:
            raise ResolveError("the system's resolver hangs: too many look-ups are waiting for it")
        self._free -= 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[str]] = loop.create_future()

        def finish(found: list[str] | None, problem: str) -> None:
            self._free += 1
            if not future.done():
                if found is None:
                    future.set_exception(ResolveError(problem))
                else:
                    future.set_result(found)

        def work() -> None:
            found, problem = None, ""
            try:
                found = self._lookup(host, family)
            except (OSError, UnicodeError) as error:
                problem = _sentence(host, family, error)
            try:
                loop.call_soon_threadsafe(finish, found, problem)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

        threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
        usable = [address for text in await future if (address := _parse(text)) and family_of(address) is family]
        if not usable:
            raise ResolveError(f"{host} has no {family} address")
        return tuple(usable[:MAX_ADDRESSES])


def _parse(text: str) -> Address | None:
    try:
        return parse_address(text)
    except ModelError:
        return None


def _sentence(host: str, family: Family, error: Exception) -> str:
    if isinstance(error, socket.gaierror) and error.errno in _NO_ADDRESS:
        return f"{host} has no {family} address"
    return f"the name {host} could not be resolved"


_NO_ADDRESS = {getattr(socket, "EAI_NODATA", None), getattr(socket, "EAI_ADDRFAMILY", None)}
