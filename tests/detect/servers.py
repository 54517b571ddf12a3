"""Small servers on loopback that answer as a test says, rightly or wrongly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from ipaddress import IPv4Network, IPv6Network
from typing import cast

from homing.detect.stun_message import XOR_MAPPED_ADDRESS, Kind, StunMessage, address_attribute, parse_message
from homing.model.address import Address, Network, parse_address

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
"""What tests accept as if it were globally reachable."""

WAN = parse_address("203.0.113.7")
SEEN: tuple[Network, ...] = (*LOOPBACK, IPv4Network("203.0.113.0/24"), IPv6Network("2001:db8::/32"))
"""Loopback and the documentation networks."""

Reply = Callable[[bytes, int], list[bytes]]
"""What to send back for a packet; the second argument is the asker's port."""


@contextlib.asynccontextmanager
async def udp_server(reply: Reply, host: str = "127.0.0.1") -> AsyncGenerator[tuple[Address, int]]:
    """A server over UDP; gives its address and port."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.DatagramTransport", transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            for packet in reply(data, addr[1]):
                self.transport.sendto(packet, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=(host, 0))
    try:
        yield parse_address(host), transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        await asyncio.sleep(0)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def tcp_server(talk: Talk, host: str = "127.0.0.1") -> AsyncGenerator[tuple[Address, int]]:
    """A server over TCP; gives its address and port. The connection closes when ``talk`` returns."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield parse_address(host), server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)


def stun_response(request: bytes, address: Address = WAN, *extra: tuple[int, bytes]) -> bytes:
    """A right answer to a Binding request."""
    transaction = parse_message(request).transaction
    mapped = (XOR_MAPPED_ADDRESS, address_attribute(address, 4000, transaction))
    return StunMessage(Kind.SUCCESS, transaction, (mapped, *extra)).encode(fingerprint=True)


def honest(data: bytes, _: int) -> list[bytes]:
    """The reply of an honest STUN server."""
    return [stun_response(data)]
