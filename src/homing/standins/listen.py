"""Where a stand-in listens, and whose address it tells."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from homing.model.address import Address, Family, parse_address

Wan = Callable[[Family], Address | None]
"""The address to tell a client of a family; None makes the stand-in tell that it knows none."""


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to bind; port 0 takes a free one. With ``tls`` the stream is encrypted."""

    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that is being listened on."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, path: str = "/") -> str:
        """The address as an HTTP URL."""
        return f"{'https' if self.tls else 'http'}://{self}{path}"


def parse_listen(text: str, tls: ssl.SSLContext | None = None) -> Listen:
    """Read ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``. Raises ValueError."""
    host, _, port = text.rpartition(":")
    return Listen(str(parse_address(host.strip("[]"))), int(port), tls)


def bind(listen: Listen, kind: socket.SocketKind) -> socket.socket:
    """A bound socket (listening, for a stream), for one family only. Raises OSError."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((listen.host, listen.port))
        if kind == socket.SOCK_STREAM:
            sock.listen(64)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def bound(sock: socket.socket, listen: Listen) -> Endpoint:
    """Where a socket of ``bind`` came to listen."""
    return Endpoint(listen.host, int(sock.getsockname()[1]), listen.tls is not None)


def has_ipv6_loopback() -> bool:
    """Whether this machine has ``::1``."""
    with contextlib.suppress(OSError):
        bind(Listen("::1"), socket.SOCK_DGRAM).close()
        return True
    return False


def told_address(wan: Wan | None, peer: str) -> Address | None:
    """What a client at ``peer`` is told: what ``wan`` says for its family, else the address it is seen with."""
    address = parse_address(peer.partition("%")[0])
    return address if wan is None else wan(Family(address.version))
