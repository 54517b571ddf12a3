"""Which addresses the DNS server listens on: those given, or all that the machine has, as they come and go.

A socket for each address, instead of one for all, so that a response leaves from the address that was asked, on every
system and at no cost for each packet: resolvers discard responses from another.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Iterable
from ipaddress import IPv6Address

from homing.detect.interface import InterfaceAddress, interface_addresses
from homing.detect.watch import watch_addresses
from homing.dns.server import DnsServer
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import ListenError, ObservationError

log = get_logger("dns")

Pair = tuple[str, int]

EVERYWHERE = ""
"""The host that stands for every address of the machine."""

_DEBOUNCE = 0.2
"""Seconds for addresses that come together."""

_AGAIN = 1.0
"""Seconds until a kernel that did not tell the addresses is asked again: it is slow while namespaces or links go."""


@contextlib.asynccontextmanager
async def listening(server: DnsServer, pairs: Iterable[Pair], clock: Clock) -> AsyncGenerator[Listening]:
    """Have a server listen on these (host, port) pairs, and follow the machine's addresses where a host is empty.

    Raises ListenError when one of the given addresses cannot be listened on, or none of the machine's.
    """
    found = Listening(server, clock)
    try:
        await found.change(pairs)
        yield found
    finally:
        await found.aclose()


class Listening:
    """Where a server listens. ``aclose`` ends the following, not the listening."""

    def __init__(self, server: DnsServer, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._fixed: frozenset[Pair] = frozenset()
        self._ports: frozenset[int] = frozenset()
        self._open: set[Pair] = set()
        self._failed: dict[Pair, ListenError] = {}
        self._lock = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    @property
    def pairs(self) -> frozenset[Pair]:
        """What was asked for last."""
        return self._fixed | {(EVERYWHERE, port) for port in self._ports}

    async def change(self, pairs: Iterable[Pair]) -> None:
        """Listen on these from now on, and no longer on others.

        Raises ListenError when one that is given cannot be had, or none of the machine's; then all is as it was.
        """
        wanted = frozenset(pairs)
        async with self._lock:
            before = self._fixed, self._ports
            fixed = frozenset(pair for pair in wanted if pair[0] != EVERYWHERE)
            added = sorted(fixed - self._open)
            if added:
                await self._server.listen(added)
            self._open.update(added)
            self._fixed, self._ports = fixed, frozenset(port for _, port in wanted - fixed)
            if not await self._open_everywhere():
                self._fixed, self._ports = before
                await self._leave(added)
                raise next(iter(self._failed.values()))
            await self._leave(self._open - self._wanted())
        if self._ports and self._following is None:
            self._following = asyncio.create_task(self._follow())
        elif not self._ports:
            await self.aclose()

    async def aclose(self) -> None:
        """Follow the machine's addresses no longer."""
        task, self._following = self._following, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        """Adapt whenever the kernel tells of a change, and to what changed until it was asked to."""
        async for _ in watch_addresses(self._clock, debounce=_DEBOUNCE, begun=True):
            while not await self._adapt():
                await self._clock.sleep(_AGAIN)

    async def _adapt(self) -> bool:
        """Listen on what the machine has now; whether the kernel told what that is."""
        try:
            async with self._lock:
                await self._leave(self._open - self._wanted())
                await self._open_everywhere()
        except ObservationError as error:
            log.warning("listening on the addresses of before", reason=str(error))
            return False
        return True

    async def _open_everywhere(self) -> bool:
        """Listen on the machine's addresses; whether one could be had, or none was to be.

        One that cannot be had is told, and tried again with the next change.
        """
        wanted = self._wanted()
        for pair in sorted(wanted - self._open):
            try:
                await self._server.listen([pair])
            except ListenError as error:
                if str(self._failed.get(pair)) != str(error):
                    log.warning("not listening on one of this machine's addresses", reason=str(error))
                self._failed[pair] = error
            else:
                self._open.add(pair)
        self._failed = {pair: error for pair, error in self._failed.items() if pair in wanted - self._open}
        return not self._failed or bool((wanted - self._fixed) & self._open)

    async def _leave(self, pairs: Iterable[Pair]) -> None:
        gone = set(pairs)
        self._open -= gone
        await self._server.leave(gone)

    def _wanted(self) -> set[Pair]:
        return {
            *self._fixed,
            *((host, port) for host in (machine_hosts() if self._ports else ()) for port in self._ports),
        }


def machine_hosts() -> set[str]:
    """The machine's addresses; where they cannot be told, the wildcards, and the kernel chooses what a reply says."""
    found = {_host(one) for one in interface_addresses() if one.up and not (one.tentative or one.dad_failed)}
    return found if sys.platform == "linux" else {"0.0.0.0", "::"}


def _host(one: InterfaceAddress) -> str:
    """How to bind to it: a link-local address says nothing without its interface."""
    if isinstance(one.address, IPv6Address) and one.address.is_link_local:
        return f"{one.address}%{one.interface}"
    return str(one.address)
