"""A TCP relay on loopback, with the faults of a network, switched while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Self

from tests.cluster.beside import LoopThread

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 seconds: closing sends a reset."""


class Relay:
    """While entered, ``port`` of 127.0.0.1 leads to the port ``target``. Its methods may be called from any thread."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.accepted = 0
        """Connections that came in so far."""
        self._target = target
        self._delay = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._cutter: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.WriteTransport] = set()

    @property
    def server(self) -> str:
        """The URL of the API server by this way."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    def __enter__(self) -> Self:
        self._thread = LoopThread()
        self._thread.run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._stop())
        self._thread.close()

    def cut(self) -> None:
        """Reset every connection there is; new ones are welcome."""
        self._thread.run(self._cut())

    def refuse(self) -> None:
        """Reset every connection, and refuse new ones."""
        self._thread.run(self._stop())

    def black_hole(self) -> None:
        """Forward nothing, on old connections and on new ones, which are accepted: nobody is told (half-open)."""
        self._thread.run(self._dam())

    def delay(self, seconds: float) -> None:
        """Hold every piece of data for so long, in both directions."""
        self._delay = seconds

    def cut_every(self, seconds: float) -> None:
        """Reset every connection, again and again, with so many seconds between."""
        self._thread.run(self._keep_cutting(seconds))

    def heal(self) -> None:
        """End every fault. What a black hole held is forwarded now, as when a lost route is back."""
        self._delay = 0.0
        self._thread.run(self._heal())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for transport in self._transports:
            found: socket.socket | None = transport.get_extra_info("socket")
            if found is not None:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        cut = list(self._connections)
        for connection in cut:
            connection.cancel()
        await asyncio.gather(*cut, return_exceptions=True)

    async def _dam(self) -> None:
        self._flowing.clear()

    async def _keep_cutting(self, seconds: float) -> None:
        async def cut_forever() -> None:
            while True:
                await asyncio.sleep(seconds)
                await self._cut()

        if self._cutter is not None:
            self._cutter.cancel()
        self._cutter = asyncio.create_task(cut_forever())

    async def _heal(self) -> None:
        if self._cutter is not None:
            self._cutter.cancel()
            self._cutter = None
        self._flowing.set()
        if self._server is None:
            await self._listen()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._kept(writer), contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            with self._kept(far_writer):
                pumps = {
                    asyncio.create_task(self._pump(reader, far_writer)),
                    asyncio.create_task(self._pump(far_reader, writer)),
                }
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)

    @contextlib.contextmanager
    def _kept(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        """Within the reach of a cut, and closed in the end."""
        self._transports.add(writer.transport)
        try:
            yield
        finally:
            self._transports.discard(writer.transport)
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
