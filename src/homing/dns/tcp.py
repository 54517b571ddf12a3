"""Answering over TCP (RFC 7766): pipelined queries, transfers beside them, limits so that nobody holds the server up.

Who asks is served: when the limits are reached, a new connection takes the place of the one that was idle longest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from homing.dns.authority import Authority
from homing.dns.places import Places
from homing.dns.respond import PLAIN, Manner, Reply, respond, seen
from homing.dns.stats import Event, Stats, Transport
from homing.dns.transfers.primary import TURNED_AWAY, Primary
from homing.dns.transfers.turns import Response
from homing.effects.clock import Clock

_FRAME = 2
"""Octets of the length before each message (RFC 1035, section 4.2.2)."""

_BATCH = 16
"""Queries of one connection answered before the others get their turn."""

_BATCH_OCTETS = 64 * 1024
"""Octets of responses after which they get it too: thousands of addresses at one name take milliseconds."""

_MAX_TRANSFERS = 8
"""Transfers that a connection may wait for; beyond that no more of its queries are answered before one has ended."""

_UNSENT = 64 * 1024
"""Octets of responses that may wait for a client; beyond that no more of its queries are read."""

_MAX_SWEEP = 1.0
"""Seconds between two looks for quiet connections."""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """``connections`` in all and ``per_client`` (an IPv4 address, an IPv6 /64).

    Beyond them the connection that was idle longest, of that client or of all, gives way to a new one; one that waits
    for a transfer does not, and where all do, the new one is closed at once.
    ``idle`` is seconds within which a client must complete its next query and take the responses to those before.
    """

    connections: int = 256
    per_client: int = 32
    idle: float = 10.0


class Connections:
    """All TCP connections of a server."""

    def __init__(
        self,
        authority: Authority,
        stats: Stats,
        limits: TcpLimits,
        clock: Clock,
        primary: Primary | None = None,
        manner: Manner = PLAIN,
    ) -> None:
        self.authority = authority
        self.primary = primary
        self.manner = manner
        self.stats = stats
        self.clock = clock
        self.limits = limits
        self.turn = 0
        """Where the address RRsets of the next answer start."""
        self._places: Places[_Connection] = Places(limits.connections, limits.per_client)
        self._sweeper: asyncio.Task[None] | None = None
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._places)

    def new(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _Connection(self)

    def admit(self, connection: _Connection, client: str) -> bool:
        """Count a connection in; False when there is no place for it."""
        gone = None if self._closing else self._places.take(connection, client)
        if gone is None:
            self.stats.events[Event.CONNECTION_REFUSED] += 1
            return False
        for other in gone:
            self._evict(other)
        self._empty.clear()
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())
        return True

    def used(self, connection: _Connection) -> None:
        """A connection was of use."""
        self._places.used(connection)

    def leave(self, connection: _Connection) -> None:
        """Count a connection out."""
        self._places.leave(connection)
        if not self._places:
            self._empty.set()

    async def aclose(self, patience: float) -> None:
        """Send what waits for the clients for up to ``patience`` seconds, then close them all."""
        self._closing = True
        for connection in self._places.holders:
            connection.finish()
        try:
            async with asyncio.timeout(patience):
                await self._empty.wait()
        except TimeoutError:
            for connection in self._places.holders:
                connection.abort()
            await self._empty.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    def _evict(self, connection: _Connection) -> None:
        self.stats.events[Event.CONNECTION_EVICTED] += 1
        connection.abort()
        self.leave(connection)

    async def _sweep(self) -> None:
        """Close what is quiet for too long; runs only while there are connections."""
        while self._places:
            await self.clock.sleep(min(_MAX_SWEEP, self.limits.idle / 4))
            now = self.clock.monotonic()
            for connection in self._places.holders:
                if now >= connection.deadline:
                    self._evict(connection)


class _Connection(asyncio.Protocol):
    """One client. Only a complete query moves its ``deadline`` (seconds of the monotonic clock), not a single octet.

    Queries are answered in rounds: a batch of them, then one message of the transfer that is under way, so that a
    transfer holds no query up (RFC 7766, section 6.2.1.1: answers may come in any order).
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._host = ""
        self._address = b""
        self._received = bytearray()
        self._written = 0
        self._stalled = False
        self._scheduled = False
        self._ending = False
        self._transfers: deque[Response] = deque()
        self._turn_by: float | None = None
        self._touch()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server gives nothing else
        self._host = _host(transport)
        if not self._host or not self._connections.admit(self, _client(self._host)):
            transport.abort()
            return
        self._address = ip_address(self._host).packed
        transport.set_write_buffer_limits(high=_UNSENT)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._transport = None
        while self._transfers:
            self._transfers.popleft().close()
        self._connections.leave(self)

    def data_received(self, data: bytes) -> None:
        """Octets arrived."""
        self._received += data
        self._work()

    def eof_received(self) -> bool:
        """The client asks nothing more; what it asked is answered still."""
        self._ending = True
        self._work()
        return self._transport is not None and not self._transport.is_closing()

    def pause_writing(self) -> None:
        """The client does not take its responses."""
        self._stalled = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It took them."""
        self._stalled = False
        self._work()

    def finish(self) -> None:
        """Close once what is written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def transfers(self) -> int:
        """How many transfers it waits for."""
        return len(self._transfers)

    @property
    def deadline(self) -> float:
        """When the client's time is up; later while it is us it waits for."""
        return self._deadline if self._turn_by is None else max(self._deadline, self._turn_by)

    def _touch(self) -> None:
        self._deadline = self._connections.clock.monotonic() + self._connections.limits.idle
        self._connections.used(self)

    def _work(self) -> None:
        """One round; the next comes in the loop's next round, and nothing more is read while queries are left."""
        transport = self._transport
        if transport is None or self._scheduled:
            return
        left = self._answer_some(transport)
        moved = self._transfer_some(transport)
        if self._stalled or transport.is_closing():
            return
        if left:
            transport.pause_reading()
        elif self._ending and not self._transfers:
            transport.close()
            return
        elif not self._ending:
            transport.resume_reading()
        if moved or (left and len(self._transfers) < _MAX_TRANSFERS):
            self._scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._scheduled = False
        self._work()

    def _answer_some(self, transport: asyncio.Transport) -> bool:
        """Answer complete queries; whether there may be more."""
        self._written = 0
        for _ in range(_BATCH):
            if self._written >= _BATCH_OCTETS:
                return True
            if self._stalled or transport.is_closing() or len(self._transfers) >= _MAX_TRANSFERS:
                return True
            query = self._next()
            if query is None:
                return False
            self._answer(transport, query)
        return True

    def _transfer_some(self, transport: asyncio.Transport) -> bool:
        """Write a message of the first transfer; False while it has to wait for its turn, or when its time is up."""
        if not self._transfers or self._stalled or transport.is_closing():
            return False
        transfer = self._transfers[0]
        if not transfer.admitted(self._wake):
            if self._turn_by is None:
                self._turn_by = self._connections.clock.monotonic() + transfer.seconds
            return False
        self._turn_by = None
        if transfer.overdue:
            transport.abort()
            return False
        message = transfer.next()
        if message is None:
            self._transfers.popleft()
            self._touch()
        else:
            self._write(transport, message)
        return True

    def _wake(self) -> None:
        """It may be the turn of the transfer that waits."""
        self._loop.call_soon(self._work)

    def _next(self) -> bytes | None:
        size = _FRAME + int.from_bytes(self._received[:_FRAME])
        if len(self._received) < max(size, _FRAME):
            return None
        query = bytes(self._received[_FRAME:size])
        del self._received[:size]
        return query

    def _answer(self, transport: asyncio.Transport, query: bytes) -> None:
        server = self._connections
        zones = server.authority.zones
        reply = respond(
            query,
            zones,
            udp=False,
            client=self._address,
            now=int(server.clock.time()),
            manner=server.manner,
            turn=server.turn,
            idle=server.limits.idle,
        )
        server.turn += 1
        if reply is not None and reply.rcode in TURNED_AWAY and server.primary is not None:
            response = server.primary.respond(query, self._host, udp=False)
            if response is not None:
                told = Reply(b"", response.rcode, reply.query)
                server.stats.count(seen(told, zones, Transport.TCP))
                self._take(transport, response)
                return
        server.stats.count(seen(reply, zones, Transport.TCP))
        if reply is None:  # no DNS client sends that; there is no telling where its next message would begin
            transport.close()
        else:
            self._write(transport, reply.message)

    def _take(self, transport: asyncio.Transport, response: Response) -> None:
        """Queue what has to wait for a turn, write what has not."""
        if response.seconds:
            self._transfers.append(response)
            self._touch()
            return
        while (message := response.next()) is not None:
            self._write(transport, message)

    def _write(self, transport: asyncio.Transport, message: bytes) -> None:
        self._touch()
        self._written += _FRAME + len(message)
        transport.write(len(message).to_bytes(2) + message)


def _client(host: str) -> str:
    """Whom a connection counts for: one IPv6 network is one client, it has addresses without end."""
    address = ip_address(host)
    return str(IPv6Address(int(address) >> 64 << 64)) if isinstance(address, IPv6Address) else str(address)


def _host(transport: asyncio.Transport) -> str:
    """The address of the client, without the scope of a link-local one; empty when it is gone again."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]).partition("%")[0] if peer else ""
