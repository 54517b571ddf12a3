"""Answering over UDP in this process, on its event loop: for a server without workers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from homing.dns.authority import Authority
from homing.dns.engine.answers import Answers, Client
from homing.dns.engine.batch import udp_socket
from homing.dns.engine.setup import Setup
from homing.dns.stats import Stats
from homing.effects.clock import Clock

Turned = Callable[[bytes, Client], bytes]
"""Answers a packet that only the primary can."""


class UdpListener:
    """Answers what reaches the sockets it is given."""

    def __init__(self, authority: Authority, *, stats: Stats, setup: Setup, clock: Clock, turned: Turned) -> None:
        self._authority = authority
        self._answers = Answers(
            authority.zones,
            stats=stats,
            manner=setup.manner,
            limit=setup.limit,
            forward=turned,
            wall=clock.time,
            monotonic=clock.monotonic,
        )
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[int, socket.socket] = {}
        self._unlisten = authority.listen(lambda change: self._answers.update(authority.zones, change))

    @property
    def pids(self) -> tuple[int, ...]:
        """There are no processes."""
        return ()

    def serve(self, number: int, sockets: Sequence[socket.socket]) -> None:
        """Have a socket answered, which is closed at the end; there is just one."""
        (sock,) = sockets
        self._sockets[number] = sock
        self._loop.add_reader(sock.fileno(), udp_socket(sock, self._answers).serve)

    def leave(self, number: int) -> None:
        """Answer a socket no longer, and close it."""
        sock = self._sockets.pop(number)
        self._loop.remove_reader(sock.fileno())
        sock.close()

    def report(self) -> None:
        """Add up what was counted."""
        self._answers.settle()

    async def start(self) -> None:
        """Nothing to start."""

    async def synced(self) -> None:
        """Every change is there at once."""

    async def aclose(self) -> None:
        """Close the sockets."""
        self._unlisten()
        for number in tuple(self._sockets):
            self.leave(number)
        self._answers.settle()
