"""Answering over TCP (RFC 7766): pipelined queries, and limits so that nobody holds the server up."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from homing.dns.authority import Authority
from homing.dns.respond import Reply, respond, seen
from homing.dns.stats import Stats, Transport
from homing.dns.transfers.primary import TURNED_AWAY, Primary
from homing.dns.transfers.turns import Response
from homing.effects.clock import Clock

_FRAME = 2
"""Octets of the length before each message (RFC 1035, section 4.2.2)."""

_BATCH = 16
"""Queries of one connection answered before the others get their turn."""

_UNSENT = 64 * 1024
"""Octets of responses that may wait for a client; beyond that no more of its queries are read."""

_MAX_SWEEP = 1.0
"""Seconds between two looks for quiet connections."""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """``connections`` in all and ``per_client`` (an IPv4 address, an IPv6 /64); more are closed at once.

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
    ) -> None:
        self.authority = authority
        self.primary = primary
        self.stats = stats
        self.clock = clock
        self.limits = limits
        self._open: dict[_Connection, str] = {}
        self._clients: Counter[str] = Counter()
        self._sweeper: asyncio.Task[None] | None = None
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def new(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _Connection(self)

    def admit(self, connection: _Connection, client: str) -> bool:
        """Count a connection in; False when the limits are reached."""
        full = len(self._open) >= self.limits.connections or self._clients[client] >= self.limits.per_client
        if full or self._closing:
            return False
        self._open[connection] = client
        self._clients[client] += 1
        self._empty.clear()
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())
        return True

    def leave(self, connection: _Connection) -> None:
        """Count a connection out."""
        client = self._open.pop(connection, None)
        if client is not None:
            self._clients -= Counter((client,))
        if not self._open:
            self._empty.set()

    async def aclose(self, patience: float) -> None:
        """Send what waits for the clients for up to ``patience`` seconds, then close them all."""
        self._closing = True
        for connection in tuple(self._open):
            connection.finish()
        try:
            async with asyncio.timeout(patience):
                await self._empty.wait()
        except TimeoutError:
            for connection in tuple(self._open):
                connection.abort()
            await self._empty.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    async def _sweep(self) -> None:
        """Close what is quiet for too long; runs only while there are connections."""
        while self._open:
            await self.clock.sleep(min(_MAX_SWEEP, self.limits.idle / 4))
            now = self.clock.monotonic()
            for connection in tuple(self._open):
                if now >= connection.deadline:
                    connection.abort()


class _Connection(asyncio.Protocol):
    """One client. Only a complete query moves its ``deadline`` (seconds of the monotonic clock), not a single octet."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._stalled = False
        self._scheduled = False
        self._ending = False
        self._stream: Response | None = None
        self._touch()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server gives nothing else
        if not self._connections.admit(self, _client(transport)):
            transport.abort()
            return
        transport.set_write_buffer_limits(high=_UNSENT)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._transport = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None
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
    def deadline(self) -> float:
        """When the client's time is up."""
        return self._deadline

    def _touch(self) -> None:
        self._deadline = self._connections.clock.monotonic() + self._connections.limits.idle

    def _work(self) -> None:
        """Answer complete queries: a batch, then the rest in the loop's next round, reading nothing meanwhile."""
        transport = self._transport
        if transport is None or self._scheduled:
            return
        for _ in range(_BATCH):
            if self._stalled or transport.is_closing():
                return
            if self._stream is not None:
                if not self._pump(transport, self._stream):
                    return
                break  # 16 KB are work enough for one round
            query = self._next()
            if query is None:
                if self._ending:
                    transport.close()
                elif not transport.is_reading():
                    transport.resume_reading()
                return
            self._answer(transport, query)
        self._scheduled = True
        transport.pause_reading()
        self._loop.call_soon(self._go_on)

    def _pump(self, transport: asyncio.Transport, stream: Response) -> bool:
        """Write the next message of a transfer; False while it has to wait for its turn, or when its time is up."""
        if not stream.admitted(self._wake):
            transport.pause_reading()
            self._deadline = self._connections.clock.monotonic() + stream.seconds
            return False
        if stream.overdue:
            transport.abort()
            return False
        message = stream.next()
        if message is None:
            self._stream = None
            self._touch()
            return True
        self._touch()
        transport.write(len(message).to_bytes(2) + message)
        return True

    def _wake(self) -> None:
        """It may be the turn of the transfer that waits."""
        self._loop.call_soon(self._work)

    def _go_on(self) -> None:
        self._scheduled = False
        self._work()

    def _next(self) -> bytes | None:
        size = _FRAME + int.from_bytes(self._received[:_FRAME])
        if len(self._received) < max(size, _FRAME):
            return None
        query = bytes(self._received[_FRAME:size])
        del self._received[:size]
        return query

    def _answer(self, transport: asyncio.Transport, query: bytes) -> None:
        zones = self._connections.authority.zones
        reply = respond(query, zones, udp=False)
        primary = self._connections.primary
        if reply is not None and reply.rcode in TURNED_AWAY and primary is not None:
            self._stream = primary.respond(query, _host(transport), udp=False)
            if self._stream is not None:
                told = Reply(b"", self._stream.rcode, reply.query)
                self._connections.stats.queries[seen(told, zones, Transport.TCP)] += 1
                self._touch()
                return
        self._connections.stats.queries[seen(reply, zones, Transport.TCP)] += 1
        if reply is None:  # no DNS client sends that; there is no telling where its next message would begin
            transport.close()
            return
        self._touch()
        transport.write(len(reply.message).to_bytes(2) + reply.message)


def _client(transport: asyncio.Transport) -> str:
    """Whom a connection counts for: one IPv6 network is one client, it has addresses without end."""
    host = _host(transport)
    if not host:  # already gone again
        return ""
    address = ip_address(host)
    return str(IPv6Address(int(address) >> 64 << 64)) if isinstance(address, IPv6Address) else str(address)


def _host(transport: asyncio.Transport) -> str:
    """The address of the client, without the scope of a link-local one; empty when it is gone."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]).partition("%")[0] if peer else ""
