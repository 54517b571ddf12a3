"""Where the replicas of a cluster are fed: they connect, ask for transfers, and are told of every change at once.

Each keeps one TCP connection, so nobody need be registered and a change costs no search for who should hear of it. It
is a port of its own: what the world asks on port 53 cannot hold the replicas up. All is signed with one key.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncGenerator

from homing.dns.authority import Authority, Change
from homing.dns.transfers.frames import frame, notify, read_frame
from homing.dns.transfers.primary import Primary
from homing.dns.transfers.tsig import Key, Keyring, Signer, Verified, verify
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import ListenError, MessageError
from homing.model.rrset import RRset

MAX_REPLICAS = 64
"""Connections at a time."""

PATIENCE = 5.0
"""Seconds that a replica may be silent, or not take what it is sent."""

MAX_QUERY = 4096
"""Octets of a query."""

MAX_UNSENT = 4 << 20
"""Octets that may wait for one replica; beyond that it is cut off, and catches up when it is back."""

log = get_logger("transfers")


class Feed:
    """Serves replicas while ``begin`` has been said; ``key`` may be changed at any time, None lets nobody in."""

    def __init__(self, authority: Authority, primary: Primary, clock: Clock, chance: random.Random) -> None:
        self.key: Key | None = None
        self._authority = authority
        self._primary = primary
        self._clock = clock
        self._chance = chance
        self._is_open = False
        self._serving: dict[asyncio.Task[None], None] = {}
        self._known: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        """The replicas that have shown to have the key."""

    @property
    def replicas(self) -> int:
        """How many follow now."""
        return len(self._known)

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncGenerator[int]:
        """Listen while entered; gives the port. Raises ListenError."""
        try:
            server = await asyncio.start_server(self._accept, host, port, limit=MAX_QUERY)
        except OSError as error:
            remedy = "name an address of this machine with --advertise, and a port that is free"
            raise ListenError("replicas", host, port, error.strerror or str(error), remedy) from None
        unlisten = self._authority.listen(self._changed)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            unlisten()
            server.close()
            await self.end()

    def begin(self) -> None:
        """From now on replicas are served: what is served here is what they shall have."""
        self._is_open = True

    async def end(self) -> None:
        """Let every replica go, and none in: another may know more."""
        self._is_open = False
        serving = tuple(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection, beyond the limit in the place of one that has not shown to have the key."""
        strangers = (task for task in self._serving if task not in self._known)
        stranger = next(strangers, None) if len(self._serving) >= MAX_REPLICAS else None
        if not self._is_open or (len(self._serving) >= MAX_REPLICAS and stranger is None):
            writer.transport.abort()
            return
        if stranger is not None:
            stranger.cancel()
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving[task] = None
        task.add_done_callback(lambda task: self._serving.pop(task, None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it runs in one
        found: socket.socket | None = writer.get_extra_info("socket")
        client = str(writer.get_extra_info("peername")[0]) if writer.get_extra_info("peername") else ""
        try:
            if found is not None:
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                async with asyncio.timeout(PATIENCE):
                    query = await read_frame(reader)
                verdict = verify(query, self._keys, self._clock.time())
                if verdict is None or not await self._answer(query, client, writer):
                    return
                if not isinstance(verdict, Verified):
                    return  # the answer says what is wrong with the signature
                if task not in self._known:
                    self._known[task] = writer
                    log.info("a replica follows", replica=client)
        except (OSError, EOFError, TimeoutError, MessageError):
            pass  # it comes again
        finally:
            if self._known.pop(task, None) is not None:
                log.info("a replica is gone", replica=client)
            writer.transport.abort()

    @property
    def _keys(self) -> Keyring:
        return Keyring(() if self.key is None else (self.key,))

    async def _answer(self, query: bytes, client: str, writer: asyncio.StreamWriter) -> bool:
        """Send the answer, a transfer without waiting for a turn: replicas are few. False when there is none."""
        response = self._primary.respond(query, client, udp=False)
        if response is None:
            return False
        try:
            while (message := response.next()) is not None:
                writer.write(frame(message))
                async with asyncio.timeout(PATIENCE):
                    await writer.drain()
        finally:
            response.close()
        return True

    def _changed(self, change: Change) -> None:
        if change.after is not None and self._is_open:
            self._tell(change.after.soa_rrset)

    def _tell(self, soa: RRset) -> None:
        if self.key is None:
            return
        for writer in tuple(self._known.values()):
            if writer.transport.get_write_buffer_size() > MAX_UNSENT:
                writer.transport.abort()
            else:
                message = notify(self._chance.randrange(1 << 16), soa)
                writer.write(frame(Signer(self.key).sign(message, self._clock.time())))
