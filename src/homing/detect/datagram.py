"""One question and its answer over UDP: a connected socket, retransmission, and patience with foreign packets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import TypeVar

from homing.effects.sockets import prefer_stable_source
from homing.errors import ObservationError
from homing.model.address import Address

T = TypeVar("T")

MAX_DATAGRAM = 2048
"""Bytes of a packet that are read; longer than anything that is accepted."""

MAX_FOREIGN = 64
"""Packets that do not answer the question, before the server is given up."""


def open_socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket of the address's family that asks for a stable source address (RFC 5014)."""
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, kind)
    sock.setblocking(False)
    prefer_stable_source(sock)
    return sock


async def exchange(
    address: Address, port: int, packet: bytes, waits: Iterable[float], read: Callable[[bytes], T | None]
) -> T:
    """Send ``packet``, again after each of ``waits`` (seconds), until ``read`` makes something of an answer.

    The socket is connected, so that the kernel drops what other addresses and ports send. ``read`` returns None for
    a packet that does not answer this question: waiting goes on. Raises ObservationError, and OSError from the socket.
    """
    loop = asyncio.get_running_loop()
    foreign = 0
    with contextlib.closing(open_socket(address, socket.SOCK_DGRAM)) as sock:
        sock.connect((str(address), port))
        for wait in waits:
            await loop.sock_sendall(sock, packet)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while foreign < MAX_FOREIGN:
                        answer = read(await loop.sock_recv(sock, MAX_DATAGRAM))
                        if answer is not None:
                            return answer
                        foreign += 1
            if foreign >= MAX_FOREIGN:
                raise ObservationError("only packets that do not belong to the question came back")
    raise ObservationError(
        "only packets that do not belong to the question came back" if foreign else "no answer to any packet"
    )
