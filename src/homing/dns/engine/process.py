"""One worker process as the main process has it: what it is told, what it says, and when it has to go."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from homing.dns.engine.answers import Client
from homing.dns.engine.frames import MAX_REPORT, Frames, Kind, frame, stats_from
from homing.dns.stats import Stats
from homing.effects.clock import Clock
from homing.errors import ModelError

HANG = 5.0
"""Seconds within which a worker acts on what it is told; then it is replaced. In half of that it is told something."""

LOAD = 120.0
"""The same for all zones, at its start."""

BACKLOG = 256 << 20
"""Octets that may wait for a worker beside all zones at its start; with more it counts as hanging."""

_TICK = 0.25
_FAREWELL = 0.5
"""Seconds that a worker has to end by itself."""
_TURNED = 4
"""Forwarded packets answered before the event loop gets its turn."""
_FORWARD_SIZE = 8192
_FORWARD_BUFFER = 1 << 18


class Process:
    """One process and the sockets to it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        control: socket.socket,
        forward: socket.socket,
        clock: Clock,
        progress: Callable[[], None],
        hear: Callable[[Stats], None],
        turn: Callable[[int, bytes, Client], None],
    ) -> None:
        self._process = process
        self._control = control
        self._forward = forward
        self._clock = clock
        self._progress, self._hear, self._turn = progress, hear, turn
        self._loop = asyncio.get_running_loop()
        self._frames = Frames(MAX_REPORT)
        self._queue: asyncio.Queue[tuple[bytes, socket.socket | None]] = asyncio.Queue()
        self._queued = 0
        self._bound = BACKLOG
        self._sent = self._done = 0
        self._since = clock.monotonic()
        """When the oldest frame not acted on was sent, or when the last was acted on."""
        self._fault = ""
        self._sender = asyncio.create_task(self._send_all())
        self._loop.add_reader(control.fileno(), self._read)
        self._loop.add_reader(forward.fileno(), self._read_forward)

    @classmethod
    async def start(
        cls,
        clock: Clock,
        progress: Callable[[], None],
        hear: Callable[[Stats], None],
        turn: Callable[[int, bytes, Client], None],
    ) -> Process:
        """Start a process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        kind = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
        inbox, outbox = socket.socketpair(socket.AF_UNIX, kind)
        with theirs, outbox:
            outbox.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _FORWARD_BUFFER)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    "homing.dns.engine.worker",
                    str(theirs.fileno()),
                    str(outbox.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), outbox.fileno()),
                )
            except BaseException:
                ours.close()
                inbox.close()
                raise
        ours.setblocking(False)
        inbox.setblocking(False)
        return cls(process, ours, inbox, clock, progress, hear, turn)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_synced(self) -> bool:
        """Whether it has acted on all that it was told."""
        return self._sent > 0 and self._done == self._sent

    @property
    def has_zones(self) -> bool:
        """Whether it has acted on the first thing it was told."""
        return self._done > 0

    def begin(self, zones: bytes) -> None:
        """Tell it the zones, of any size."""
        self._bound += len(zones)
        self.send(zones)

    def send(self, told: bytes, sock: socket.socket | None = None) -> None:
        """Tell it something, with a socket if one belongs to it."""
        try:  # a copy: the socket may be closed before its turn to be sent comes
            given = sock.dup() if sock is not None else None
        except OSError as error:
            self._fault = f"it cannot be given a socket: {error.strerror}"
            return
        if self._done == self._sent:
            self._since = self._clock.monotonic()
        self._sent += 1
        self._queued += len(told)
        self._queue.put_nowait((told, given))

    async def ended(self) -> str:
        """Wait until the process ended or hangs; why."""
        exited = asyncio.create_task(self._process.wait())
        try:
            while not exited.done():
                await asyncio.wait([exited], timeout=_TICK)
                patience = HANG if self._done else LOAD
                quiet = self._clock.monotonic() - self._since
                if self._fault:
                    return self._fault
                if (self._done < self._sent and quiet > patience) or self._queued > self._bound:
                    return f"it hangs: told {self._sent} times, acted on {self._done}"
                if self.is_synced and quiet > HANG / 2:
                    self.send(frame(Kind.REPORT))  # is it there still?
        finally:
            exited.cancel()
        code = self._process.returncode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    async def aclose(self) -> None:
        """End the process, whatever it does, and when this is cancelled too."""
        self._loop.remove_reader(self._control.fileno())
        self._loop.remove_reader(self._forward.fileno())
        try:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        finally:
            self._control.close()
            self._forward.close()
            while not self._queue.empty():
                _, given = self._queue.get_nowait()
                if given is not None:
                    given.close()
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_FAREWELL):
                        await self._process.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()

    async def _send_all(self) -> None:
        with contextlib.suppress(OSError):  # it ended; ``ended`` tells
            while True:
                told, sock = await self._queue.get()
                with sock or contextlib.nullcontext():
                    begun = await self._send_with(told, sock) if sock is not None else 0
                await self._loop.sock_sendall(self._control, told[begun:])
                self._queued -= len(told)

    async def _send_with(self, told: bytes, sock: socket.socket) -> int:
        while True:
            try:
                return socket.send_fds(self._control, [told], [sock.fileno()])
            except BlockingIOError:
                await self._writable()

    async def _writable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_writer(self._control.fileno(), ready.set_result, None)
        try:
            await ready
        finally:
            self._loop.remove_writer(self._control.fileno())

    def _read(self) -> None:
        try:
            data = self._control.recv(1 << 16)
            for kind, body in self._frames.feed(data):
                self._act(kind, body)
        except BlockingIOError:
            return
        except ConnectionError:  # it ended with something unread: its exit status says more
            data = b""
        except (OSError, ModelError, ValueError, TypeError, EOFError) as error:
            data = b""
            self._fault = f"it sent what cannot be read: {error}"
        if not data:
            self._loop.remove_reader(self._control.fileno())

    def _act(self, kind: Kind, body: Any) -> None:
        if kind is Kind.DONE:
            self._done = int(body)
            self._since = self._clock.monotonic()
            self._progress()
        elif kind is Kind.STATS:
            self._hear(stats_from(body))

    def _read_forward(self) -> None:
        for _ in range(_TURNED):
            try:
                data = self._forward.recv(_FORWARD_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(self._forward.fileno())
                return
            try:
                number, client, packet = marshal.loads(data)  # noqa: S302 - from a process we started
            except (ValueError, TypeError, EOFError) as error:
                self._fault = f"it sent what cannot be read: {error}"
                return
            self._turn(number, packet, client)
