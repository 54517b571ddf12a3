"""A TCP connection, opened and dropped."""

from __future__ import annotations

import asyncio
import socket
import struct

from homing.model.address import Address

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 s: the connection ends with RST, and leaves no TIME_WAIT here and no conntrack entry on the way."""


async def connect(address: Address, port: int) -> None:
    """Open a connection and drop it. Raises OSError; the caller bounds the time."""
    with await opened(address, port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


async def opened(address: Address, port: int) -> socket.socket:
    """A connection that the caller closes. Raises OSError; the caller bounds the time."""
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock
