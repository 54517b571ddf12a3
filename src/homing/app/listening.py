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


@contextlib.asynccontextmanager
async def listening(server: DnsServer, pairs: Iterable[Pair], clock: Clock) -> AsyncGenerator[None]:
    """Have a server listen on these (host, port) pairs, and follow the machine's addresses where a host is empty.

    Raises ListenError when one of the given addresses cannot be listened on, or none of the machine's.
    """
    fixed = [pair for pair in pairs if pair[0] != EVERYWHERE]
    ports = sorted({port for host, port in pairs if host == EVERYWHERE})
    await server.listen(fixed)
    if not ports:
        yield
        return
    everywhere = Everywhere(server, ports, frozenset(fixed))
    await everywhere.adapt()
    everywhere.insist()
    task = asyncio.create_task(everywhere.follow(clock))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Everywhere:
    """Every address of the machine, on some ports."""

    def __init__(self, server: DnsServer, ports: Iterable[int], fixed: frozenset[Pair]) -> None:
        self._server = server
        self._ports = tuple(ports)
        self._fixed = fixed
        self._open: set[Pair] = set()
        self._failed: dict[Pair, ListenError] = {}

    async def follow(self, clock: Clock) -> None:
        """Adapt whenever the kernel tells of a change."""
        async for _ in watch_addresses(clock, debounce=_DEBOUNCE):
            try:
                await self.adapt()
            except ObservationError as error:
                log.warning("listening on the addresses of before", reason=str(error))

    async def adapt(self) -> None:
        """Listen on the addresses of now. One that cannot be had is told, and tried again with the next change."""
        wanted = {(host, port) for host in _hosts() for port in self._ports} - self._fixed
        gone = self._open - wanted
        await self._server.leave(gone)
        self._open -= gone
        for pair in sorted(wanted - self._open):
            try:
                await self._server.listen([pair])
            except ListenError as error:
                if str(self._failed.get(pair)) != str(error):
                    log.warning("not listening on one of this machine's addresses", reason=str(error))
                self._failed[pair] = error
            else:
                self._open.add(pair)
                self._failed.pop(pair, None)

    def insist(self) -> None:
        """Raise ListenError when none of the addresses could be had."""
        if not self._open and self._failed:
            raise next(iter(self._failed.values()))


def _hosts() -> set[str]:
    """The machine's addresses; where they cannot be told, the wildcards, and the kernel chooses what a reply says."""
    found = {_host(one) for one in interface_addresses() if one.up and not (one.tentative or one.dad_failed)}
    return found if sys.platform == "linux" else {"0.0.0.0", "::"}


def _host(one: InterfaceAddress) -> str:
    """How to bind to it: a link-local address says nothing without its interface."""
    if isinstance(one.address, IPv6Address) and one.address.is_link_local:
        return f"{one.address}%{one.interface}"
    return str(one.address)
