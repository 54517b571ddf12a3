"""The connection of a replica to the one that leads: transfers, signs of life, and word of every change."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncGenerator, Callable

from homing.dns.message import HEADER_SIZE, read_name
from homing.dns.transfers.frames import frame, is_notify, read_frame, soa_query
from homing.dns.transfers.inbound import Current, Inbound, Steps, Whole, transfer_query
from homing.dns.transfers.tsig import Key, Keyring, Signer, Verified, Verifier, verify
from homing.effects.clock import Clock
from homing.errors import MessageError
from homing.model.name import Name
from homing.model.zone import Zone

PATIENCE = 2.0
"""Seconds for the connection, and for each message of an answer."""

LONGEST = 60.0
"""Seconds for a whole transfer."""

_ROOT = Name(())


class Upstream:
    """One connection; one question at a time. ``on_change`` is told the zones that changed there.

    Each method raises OSError, EOFError, TimeoutError or MessageError when the connection is of no use any more.
    """

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        key: Key,
        clock: Clock,
        chance: random.Random,
        on_change: Callable[[Name], None],
    ) -> None:
        self._reader, self._writer = streams
        self._key = key
        self._clock = clock
        self._chance = chance
        self._on_change = on_change
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue(4)

    async def alive(self) -> None:
        """Ask for a sign of life; all changes until then have been told when it is there."""
        query = soa_query(self._chance.randrange(1 << 16), _ROOT)
        verifier = self._send(query)
        answer = verifier.check(await self._answer(), self._clock.time())
        if answer[:2] != query[:2]:
            raise MessageError("an answer to another question")

    async def transfer(self, origin: Name, held: Zone | None) -> Current | Whole | Steps:
        """What is newer than the version held, or the whole zone. Raises Refused; then the connection is fine."""
        ident = self._chance.randrange(1 << 16)
        inbound = Inbound(ident, origin, held)
        verifier = self._send(transfer_query(ident, origin, held))
        async with asyncio.timeout(LONGEST):
            while inbound.result is None:
                inbound.take(verifier.check(await self._answer(), self._clock.time()))
                await asyncio.sleep(0)  # reading many records takes a while: let answers to others out between
        return inbound.result

    async def read(self) -> None:
        """Read what comes, until the connection ends; to be run beside all else."""
        keys = Keyring((self._key,))
        try:
            while True:
                message = await read_frame(self._reader)
                if not is_notify(message):
                    await self._answers.put(message)
                    continue
                verdict = verify(message, keys, self._clock.time())
                if not isinstance(verdict, Verified):
                    raise MessageError("a NOTIFY is not signed as it must be")
                self._on_change(read_name(verdict.message, HEADER_SIZE)[0])
        finally:
            with contextlib.suppress(asyncio.QueueFull):
                self._answers.put_nowait(None)

    def _send(self, query: bytes) -> Verifier:
        signer = Signer(self._key)
        self._writer.write(frame(signer.sign(query, self._clock.time())))
        return Verifier(self._key, signer.mac)

    async def _answer(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            answer = await self._answers.get()
        if answer is None:
            raise EOFError
        return answer


@contextlib.asynccontextmanager
async def connected(
    host: str, port: int, key: Key, clock: Clock, chance: random.Random, on_change: Callable[[Name], None]
) -> AsyncGenerator[Upstream]:
    """A connection while entered. Raises OSError or TimeoutError when there is none to be had."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 18)
    reading: asyncio.Task[None] | None = None
    try:
        found: socket.socket = writer.get_extra_info("socket")
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream = Upstream((reader, writer), key, clock, chance, on_change)
        reading = asyncio.create_task(upstream.read())
        yield upstream
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        writer.transport.abort()
