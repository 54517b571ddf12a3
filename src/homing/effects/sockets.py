"""What is asked of the system for a socket."""

from __future__ import annotations

import contextlib
import socket

_IPV6_ADDR_PREFERENCES = 72
_IPV6_PREFER_SRC_PUBLIC = 2


def prefer_stable_source(sock: socket.socket) -> None:
    """Ask for a stable, not a temporary, IPv6 source address (RFC 5014); does nothing where it is not offered."""
    if sock.family == socket.AF_INET6:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_ADDR_PREFERENCES, _IPV6_PREFER_SRC_PUBLIC)
