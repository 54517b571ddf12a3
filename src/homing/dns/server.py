"""The server: UDP and TCP sockets for each address, answering from one Authority."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from homing.dns.authority import Authority
from homing.dns.bind import Bound, bind
from homing.dns.engine.answers import Client
from homing.dns.engine.pool import Pool
from homing.dns.engine.setup import Setup
from homing.dns.respond import respond, seen
from homing.dns.stats import Stats, Transport
from homing.dns.tcp import Connections, TcpLimits
from homing.dns.transfers.primary import Primary
from homing.dns.udp import UdpListener
from homing.effects.clock import Clock, SystemClock

_CLOSE_PATIENCE = 0.5
"""Seconds that clients get to take their last responses."""


@dataclass(frozen=True, slots=True)
class _Listening:
    number: int
    bound: Bound
    tcp: asyncio.Server


class DnsServer:
    """Answers DNS queries from what the authority holds at that moment. Open it by ``listen``, end it by ``aclose``.

    Queries over UDP are answered by as many processes as ``workers`` says, or by this one for 0; those over TCP by this
    one always. ``primary`` serves transfers and signed queries; without it they are refused.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        stats: Stats | None = None,
        limits: TcpLimits | None = None,
        clock: Clock | None = None,
        primary: Primary | None = None,
        workers: int = 0,
        setup: Setup | None = None,
    ) -> None:
        self._primary = primary
        self._authority = authority
        self._stats = stats or Stats()
        self._clock = clock or SystemClock()
        self._workers = workers
        self._setup = setup or Setup()
        if primary is not None:
            primary.manner = self._setup.manner
        self._connections = Connections(
            authority, self._stats, limits or TcpLimits(), self._clock, primary, self._setup.manner
        )
        self._udp: Pool | UdpListener | None = None
        self._listening: dict[tuple[str, int], _Listening] = {}
        self._numbers = 0

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses and ports listened on, as (host, port)."""
        return tuple(each.bound.address for each in self._listening.values())

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return len(self._connections)

    @property
    def workers(self) -> tuple[int, ...]:
        """The process ids of the workers."""
        return self._udp.pids if self._udp is not None else ()

    @property
    def stats(self) -> Stats:
        """What was counted; what workers counted is up to a second old."""
        if isinstance(self._udp, UdpListener):
            self._udp.report()
        return self._stats

    async def listen(self, addresses: Iterable[tuple[str, int]]) -> None:
        """Listen on all of these (host, port) pairs, UDP and TCP; hosts are IP addresses, port 0 takes a free one.

        Raises ListenError, and WorkerError where no worker starts; then it listens on none of them.
        """
        opened: dict[tuple[str, int], Bound] = {}
        try:
            for host, port in addresses:
                opened[host, port] = bind(host, port, max(1, self._workers))
            udp = self._udp or await self._start()
            for key in tuple(opened):
                tcp = await asyncio.get_running_loop().create_server(self._connections.new, sock=opened[key].tcp)
                bound = opened.pop(key)
                self._numbers += 1
                self._listening[key] = _Listening(self._numbers, bound, tcp)
                udp.serve(self._numbers, bound.udp)
        finally:
            for bound in opened.values():
                bound.close()

    async def leave(self, addresses: Iterable[tuple[str, int]]) -> None:
        """Listen on these pairs, as they were given to ``listen``, no longer; open connections stay."""
        for key in addresses:
            gone = self._listening.pop(key)
            gone.tcp.close()
            assert self._udp is not None  # noqa: S101 - it listens
            self._udp.leave(gone.number)
        await self.synced()  # the workers too have let go of the ports

    async def synced(self) -> None:
        """Wait until every worker answers from the zones of now."""
        if self._udp is not None:
            await self._udp.synced()

    async def aclose(self) -> None:
        """Stop listening, give TCP clients a moment to take what was answered, and close everything within 1 s."""
        for each in self._listening.values():
            each.tcp.close()
        udp, self._udp = self._udp, None
        if udp is not None:
            await udp.aclose()
        await self._connections.aclose(_CLOSE_PATIENCE)
        for each in self._listening.values():
            await each.tcp.wait_closed()
        self._listening.clear()

    async def _start(self) -> Pool | UdpListener:
        if not self._workers:
            self._udp = UdpListener(
                self._authority, stats=self._stats, setup=self._setup, clock=self._clock, turned=self._answer
            )
            return self._udp
        pool = Pool(
            self._authority, self._workers, stats=self._stats, setup=self._setup, clock=self._clock, turned=self._turned
        )
        self._udp = pool
        try:
            await pool.start()
        except BaseException:
            self._udp = None
            await pool.aclose()
            raise
        return pool

    def _turned(self, number: int, index: int, packet: bytes, client: Client) -> None:
        """Answer what a worker turned away, from the socket it came to."""
        for each in self._listening.values():
            if each.number == number:
                try:
                    each.bound.udp[index].sendto(self._answer(packet, client), client)
                except OSError:  # it is UDP, the client asks again
                    return

    def _answer(self, packet: bytes, client: Client) -> bytes:
        """The response to a query that is signed or asks for a transfer."""
        zones = self._authority.zones
        address = ip_address(client[0].partition("%")[0]).packed
        reply = respond(packet, zones, udp=True, client=address, now=int(self._clock.time()), manner=self._setup.manner)
        assert reply is not None  # noqa: S101 - it was read before
        found = self._primary.datagram(packet, client[0]) if self._primary is not None else None
        if found is not None:
            reply = type(reply)(*found, reply.query)
        self._stats.count(seen(reply, zones, Transport.UDP))
        return reply.message
