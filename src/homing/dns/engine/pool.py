"""The workers as the main process sees them: started, told of every change, replaced when they end or hang."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncGenerator, Callable, Sequence

from homing.dns.authority import Authority, Change
from homing.dns.engine.answers import Client
from homing.dns.engine.frames import Kind, change_data, frame, zones_data
from homing.dns.engine.process import Process
from homing.dns.engine.setup import Setup
from homing.dns.stats import Event, Stats
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import WorkerError

log = get_logger("dns")

ATTEMPTS = 4
"""Ends of a worker before it had the zones after which a start is given up; a running server goes on trying."""

_RESTS = (0.0, 0.1, 0.5, 2.0, 5.0)
"""Seconds before a worker is started again, by how many in a row lived shorter than ``_YOUNG`` seconds."""
_YOUNG = 10.0

Turned = Callable[[int, int, bytes, Client], None]
"""Answers a packet that a worker turned away: number of the socket, index of the worker, packet, client."""


class Pool:
    """As many workers as asked for, while it is open."""

    def __init__(
        self, authority: Authority, count: int, *, stats: Stats, setup: Setup, clock: Clock, turned: Turned
    ) -> None:
        self._authority = authority
        self._stats = stats
        self._setup = setup
        self._clock = clock
        self._turned = turned
        self._sockets: dict[int, Sequence[socket.socket]] = {}
        self._workers: list[Process | None] = [None] * count
        self._keepers: list[asyncio.Task[None]] = []
        self._failed = [0] * count
        """How often in a row each worker ended before it had the zones."""
        self._failure = ""
        self._closed = False
        self._unlisten: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers that run."""
        return tuple(worker.pid for worker in self._workers if worker is not None)

    async def start(self) -> None:
        """Start the workers and wait until each has the zones. Raises WorkerError when one cannot, or on ``aclose``."""
        self._unlisten = self._authority.listen(self._tell)
        self._keepers = [asyncio.create_task(self._keep(index)) for index in range(len(self._workers))]
        while not all(worker is not None and worker.is_synced for worker in self._workers):
            if max(self._failed) >= ATTEMPTS:
                raise WorkerError(self._failure, "look at what it wrote, and at the limits on memory and processes")
            await self._progress()

    async def synced(self) -> None:
        """Wait until no worker is behind what it was told so far; one that is being replaced says nothing old."""
        while any(worker is not None and not worker.is_synced for worker in self._workers):
            await self._progress()

    async def _progress(self) -> None:
        if self._closed:
            raise WorkerError("the server is closed", "start it again")
        self._changed.clear()
        await self._changed.wait()

    def serve(self, number: int, sockets: Sequence[socket.socket]) -> None:
        """Have sockets answered, one by each worker; the pool closes them when it ends."""
        self._sockets[number] = sockets
        for worker, sock in zip(self._workers, sockets, strict=True):
            if worker is not None:
                worker.send(frame(Kind.LISTEN, number), sock)

    def leave(self, number: int) -> None:
        """Answer sockets no longer, and close them."""
        for worker, sock in zip(self._workers, self._sockets.pop(number), strict=True):
            if worker is not None:
                worker.send(frame(Kind.CLOSE, number))
            sock.close()

    def report(self) -> None:
        """Ask the workers what they counted; it arrives with ``synced``."""
        for worker in self._workers:
            if worker is not None:
                worker.send(frame(Kind.REPORT))

    async def aclose(self) -> None:
        """End the workers."""
        self._closed = True
        self._changed.set()
        unlisten, self._unlisten = self._unlisten, lambda: None
        unlisten()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for number in tuple(self._sockets):
            for sock in self._sockets.pop(number):
                sock.close()

    def _tell(self, change: Change) -> None:
        told = frame(Kind.CHANGE, change_data(change, change.origin in self._authority.zones.awaited))
        for worker in self._workers:
            if worker is not None:
                worker.send(told)

    async def _keep(self, index: int) -> None:
        """Keep one worker running."""
        young = 0
        while True:
            began = self._clock.monotonic()
            try:
                async with self._running(index) as worker:
                    reason = await worker.ended()
                    self._failed[index] = 0 if worker.has_zones else self._failed[index] + 1
            except OSError as error:  # no process, memory or descriptor to be had just now
                reason = error.strerror or str(error)
                self._failed[index] += 1
            young = young + 1 if self._clock.monotonic() - began < _YOUNG else 0
            rest = _RESTS[min(young, len(_RESTS) - 1)]
            self._failure = reason
            self._stats.events[Event.WORKER_REPLACED] += 1
            log.error("DNS worker ended, starting another", worker=index, reason=reason, seconds=rest)
            self._changed.set()
            await self._clock.sleep(rest)

    @contextlib.asynccontextmanager
    async def _running(self, index: int) -> AsyncGenerator[Process, None]:
        turn = functools.partial(self._turn, index)
        worker = await Process.start(self._clock, self._changed.set, self._stats.add, turn)
        try:
            worker.begin(frame(Kind.ZONES, (self._setup.data(), zones_data(self._authority.zones))))
            for number, sockets in self._sockets.items():
                worker.send(frame(Kind.LISTEN, number), sockets[index])
            self._workers[index] = worker
            yield worker
        finally:
            self._workers[index] = None
            try:
                await worker.aclose()
            finally:
                self._changed.set()

    def _turn(self, index: int, number: int, packet: bytes, client: Client) -> None:
        if number in self._sockets:
            self._turned(number, index, packet, client)
