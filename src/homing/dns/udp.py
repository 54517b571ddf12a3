"""Answering over UDP: one socket, read on the event loop in bounded batches."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from homing.dns.authority import Authority
from homing.dns.respond import PLAIN, Manner, Reply, respond, seen
from homing.dns.stats import Stats, Transport
from homing.dns.transfers.primary import TURNED_AWAY, Primary
from homing.effects.clock import Clock, SystemClock

BATCH = 64
"""Packets answered before the event loop gets its turn."""

MAX_QUERY = 4096
"""Octets read of one packet; a longer one counts as cut off, which is a format error."""


class UdpListener:
    """Answers the queries that reach one bound, non-blocking socket, which it owns from then on.

    On a wildcard address the kernel chooses the source of a reply, which need not be the address that was asked.
    """

    def __init__(
        self,
        sock: socket.socket,
        authority: Authority,
        stats: Stats,
        primary: Primary | None = None,
        manner: Manner = PLAIN,
        clock: Clock | None = None,
    ) -> None:
        self._socket = sock
        self._manner = manner
        self._clock = clock or SystemClock()
        self._turn = 0
        self._primary = primary
        self._authority = authority
        self._stats = stats
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._drain)

    def close(self) -> None:
        """Stop answering and close the socket."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _drain(self) -> None:
        sock, authority = self._socket, self._authority
        for _ in range(BATCH):
            try:
                packet, client = sock.recvfrom(MAX_QUERY)
            except BlockingIOError:
                return
            except OSError:  # a reported ICMP error: the socket is fine, the next packet may be too
                continue
            zones = authority.zones
            address = socket.inet_pton(sock.family, client[0].partition("%")[0])
            now = int(self._clock.time())
            reply = respond(packet, zones, udp=True, client=address, now=now, manner=self._manner, turn=self._turn)
            self._turn += 1
            if reply is not None and reply.rcode in TURNED_AWAY and self._primary is not None:
                found = self._primary.datagram(packet, client[0])
                reply = Reply(*found, reply.query) if found is not None else reply
            if reply is not None:
                # A full send queue, a client without a route, source port 0: it is UDP, the client asks again.
                with contextlib.suppress(OSError):
                    sock.sendto(reply.message, client)
            self._stats.queries[seen(reply, zones, Transport.UDP)] += 1
