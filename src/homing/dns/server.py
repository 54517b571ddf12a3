"""The server: a UDP and a TCP socket for each address, answering from one Authority."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterable

from homing.dns.authority import Authority
from homing.dns.respond import PLAIN, Manner
from homing.dns.stats import Stats
from homing.dns.tcp import Connections, TcpLimits
from homing.dns.transfers.primary import Primary
from homing.dns.udp import UdpListener
from homing.effects.clock import Clock, SystemClock
from homing.errors import ListenError

BACKLOG = 128
"""Connections that may wait to be accepted."""

RECEIVE_BUFFER = 1 << 20
"""Octets of queries the kernel may hold for a UDP socket while the event loop does something else."""

_CLOSE_PATIENCE = 0.5
"""Seconds that clients get to take their last responses."""

_PORT_ATTEMPTS = 16
"""For port 0: how often to look for a port that is free for both UDP and TCP."""

_REMEDIES = {
    errno.EADDRINUSE: "stop the program that listens there, or choose another port",
    errno.EACCES: "choose a port above 1023, or give Homing CAP_NET_BIND_SERVICE",
    errno.EPERM: "choose a port above 1023, or give Homing CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "choose an address that this machine has (see: ip address)",
    errno.EAFNOSUPPORT: "this machine does not speak that address family; choose an address of another",
}


class DnsServer:
    """Answers DNS queries from what the authority holds at that moment. Open it by ``listen``, end it by ``aclose``.

    ``primary`` serves transfers and signed queries; without it they are refused.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        stats: Stats | None = None,
        limits: TcpLimits | None = None,
        clock: Clock | None = None,
        primary: Primary | None = None,
        manner: Manner = PLAIN,
    ) -> None:
        self._primary = primary
        self._manner = manner
        self._clock = clock or SystemClock()
        self._authority = authority
        self.stats = stats or Stats()
        self._connections = Connections(authority, self.stats, limits or TcpLimits(), self._clock, primary, manner)
        self._listeners: list[UdpListener] = []
        self._servers: list[asyncio.Server] = []
        self._addresses: list[tuple[str, int]] = []

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses and ports listened on, as (host, port)."""
        return tuple(self._addresses)

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return len(self._connections)

    async def listen(self, addresses: Iterable[tuple[str, int]]) -> None:
        """Listen on all of these (host, port) pairs, UDP and TCP; hosts are IP addresses, port 0 takes a free one.

        Raises ListenError, and then listens on none of them.
        """
        pairs: list[tuple[socket.socket, socket.socket]] = []
        try:
            pairs.extend(_bind(host, port) for host, port in addresses)
        except ListenError:
            for pair in pairs:
                for sock in pair:
                    sock.close()
            raise
        for udp, tcp in pairs:
            self._listeners.append(
                UdpListener(udp, self._authority, self.stats, self._primary, self._manner, self._clock)
            )
            self._servers.append(await asyncio.get_running_loop().create_server(self._connections.new, sock=tcp))
            self._addresses.append(udp.getsockname()[:2])

    async def aclose(self) -> None:
        """Stop listening, give TCP clients a moment to take what was answered, and close everything within 1 s."""
        for listener in self._listeners:
            listener.close()
        for server in self._servers:
            server.close()
        await self._connections.aclose(_CLOSE_PATIENCE)
        for server in self._servers:
            await server.wait_closed()
        self._listeners.clear()
        self._servers.clear()
        self._addresses.clear()


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one address and port. Raises ListenError."""
    for attempt in range(_PORT_ATTEMPTS):
        udp = _socket(socket.SOCK_DGRAM, host, port)
        try:
            return udp, _socket(socket.SOCK_STREAM, host, udp.getsockname()[1])
        except ListenError:
            udp.close()
            if port or attempt == _PORT_ATTEMPTS - 1:
                raise
    raise AssertionError  # the last attempt returns or raises


def _socket(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    service = f"DNS over {'UDP' if kind is socket.SOCK_DGRAM else 'TCP'}"
    try:
        if not host or not 0 <= port < 2**16:  # getaddrinfo takes the one for all addresses and cuts off the other
            raise ValueError
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=kind, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
        )[0]
    except (OSError, ValueError):
        raise ListenError(
            service, host, port, "that is not an IP address and a port", "write them like 127.0.0.1 and 5300"
        ) from None
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind is socket.SOCK_STREAM:
            # Only for TCP, where it is about the last connections of a server that is gone; with UDP it would let
            # two servers share the port without either noticing.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind(address)
        if kind is socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        remedy = _REMEDIES.get(error.errno or 0, "choose another address or port")
        raise ListenError(service, host, port, error.strerror or str(error), remedy) from None
    return sock
