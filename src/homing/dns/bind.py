"""The sockets of the server, bound with the errors an operator can act on."""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import dataclass

from homing.errors import ListenError

BACKLOG = 128
"""Connections that may wait to be accepted."""

RECEIVE_BUFFER = 256 << 10
"""Octets of queries that the kernel may hold for a UDP socket while nobody reads; more would age in a flood."""

_PORT_ATTEMPTS = 16
"""For port 0: how often to look for a port that is free for both UDP and TCP."""

_REMEDIES = {
    errno.EADDRINUSE: "stop the program that listens there, or choose another port",
    errno.EACCES: "choose a port above 1023, or give Homing CAP_NET_BIND_SERVICE",
    errno.EPERM: "choose a port above 1023, or give Homing CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "choose an address that this machine has (see: ip address)",
    errno.EAFNOSUPPORT: "this machine does not speak that address family; choose an address of another",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """The sockets of one address: for UDP one a worker, which share the port; for TCP one."""

    udp: tuple[socket.socket, ...]
    tcp: socket.socket

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the host of a link-local address says its interface."""
        host, port, *rest = self.udp[0].getsockname()
        if not rest or not rest[1] or "%" in host:
            return host, port
        try:
            return f"{host}%{socket.if_indextoname(rest[1])}", port
        except OSError:  # the interface is gone
            return f"{host}%{rest[1]}", port

    def close(self) -> None:
        """Close them all."""
        for sock in (*self.udp, self.tcp):
            sock.close()


def bind(host: str, port: int, workers: int = 1) -> Bound:
    """The sockets for one address and port, 0 for a free one. Raises ListenError."""
    for attempt in range(_PORT_ATTEMPTS):
        with contextlib.ExitStack() as stack:
            # Alone first: sockets that share a port would share it with another server too, and neither would notice.
            with _socket(socket.SOCK_DGRAM, host, port) as alone:
                chosen = alone.getsockname()[1]
            try:
                udp = tuple(
                    stack.enter_context(_socket(socket.SOCK_DGRAM, host, chosen, shared=workers > 1))
                    for _ in range(workers)
                )
                bound = Bound(udp, stack.enter_context(_socket(socket.SOCK_STREAM, host, chosen)))
            except ListenError:
                if port or attempt == _PORT_ATTEMPTS - 1:
                    raise
                continue
            stack.pop_all()
            return bound
    raise AssertionError  # the last attempt returns or raises


def _socket(kind: socket.SocketKind, host: str, port: int, *, shared: bool = False) -> socket.socket:
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
            # For the last connections of a server that is gone.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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
