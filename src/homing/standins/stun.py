"""A STUN server over UDP and TCP (RFC 8489): answers a Binding request with XOR-MAPPED-ADDRESS, and nothing else.

The codec is the server's half only and written apart from ``detect``, so that each checks the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import Self

from homing.model.address import Address
from homing.standins.listen import Endpoint, Listen, Wan, bind, bound, told_address

MAGIC = 0x2112A442
"""The magic cookie (RFC 8489, section 5)."""

MAX_BODY = 548
"""Octets of a request after its header; one larger than the least IPv4 datagram is not read."""

MAX_STREAMS = 64
"""TCP connections at a time; further ones are closed at once."""

IDLE = 30.0
"""Seconds a TCP connection may take for its next request."""

_REQUEST, _SUCCESS, _ERROR = 0x0001, 0x0101, 0x0111
_XOR_MAPPED_ADDRESS, _ERROR_CODE, _SOFTWARE = 0x0020, 0x0009, 0x8022


def binding_answer(request: bytes, address: Address | None, port: int) -> bytes | None:
    """The answer to a Binding request: the address, or error 500 when there is none; None for anything else."""
    if len(request) < 20:
        return None
    kind, length, magic = struct.unpack_from("!HHI", request)
    if kind != _REQUEST or magic != MAGIC or length != len(request) - 20 or length % 4:
        return None
    transaction = request[8:20]
    if address is None:
        return _message(_ERROR, transaction, _attribute(_ERROR_CODE, b"\0\0\x05\0no address"))
    mask = struct.pack("!I", MAGIC) + transaction
    host = bytes(one ^ two for one, two in zip(address.packed, mask, strict=False))
    mapped = struct.pack("!BBH", 0, 1 if address.version == 4 else 2, port ^ (MAGIC >> 16)) + host
    return _message(_SUCCESS, transaction, _attribute(_XOR_MAPPED_ADDRESS, mapped) + _attribute(_SOFTWARE, b"stand-in"))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def _message(kind: int, transaction: bytes, attributes: bytes) -> bytes:
    return struct.pack("!HHI", kind, len(attributes), MAGIC) + transaction + attributes


class StunServer:
    """Listens on UDP and TCP at the same addresses while entered.

    It tells what ``wan`` says for the client's family, else the address the client is seen with. ``wan`` may be
    set to something else to lie, ``silent`` to say nothing. ``answered`` counts answers.
    """

    def __init__(self, listens: Sequence[Listen] = (Listen(),), wan: Wan | None = None) -> None:
        self._listens = tuple(listens)
        self.wan = wan
        self.silent = False
        self.answered = 0
        self.endpoints: tuple[Endpoint, ...] = ()
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._servers: list[asyncio.Server] = []
        self._streams: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        try:
            self.endpoints = tuple([await self._open(listen) for listen in self._listens])
        except OSError:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections and stop listening."""
        for transport in self._datagrams:
            transport.close()
        for server in self._servers:
            server.close()
        streams = list(self._streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        self._datagrams, self._servers = [], []
        await asyncio.sleep(0)  # transports close on the loop's next turn

    async def _open(self, listen: Listen) -> Endpoint:
        stream, datagram = _pair(listen)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagram)
        self._datagrams.append(transport)
        self._servers.append(await asyncio.start_server(self._accept, sock=stream, limit=1024))
        return bound(stream, listen)

    def answer(self, request: bytes, peer: tuple[str, int]) -> bytes | None:
        """What a client at ``peer`` is answered."""
        if self.silent:
            return None
        answer = binding_answer(request, told_address(self.wan, peer[0]), peer[1])
        self.answered += answer is not None
        return answer

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._streams) >= MAX_STREAMS:
            writer.close()
            return
        self._streams.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass
        except asyncio.CancelledError:
            pass  # closing: nobody awaits this task but aclose
        finally:
            self._streams.discard(task)
            writer.transport.abort()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        while True:
            async with asyncio.timeout(IDLE):
                header = await reader.readexactly(20)
                length = int.from_bytes(header[2:4], "big")
                if length > MAX_BODY:
                    return
                body = await reader.readexactly(length)
            answer = self.answer(header + body, peer)
            if answer is not None:
                writer.write(answer)
                await writer.drain()


def _pair(listen: Listen) -> tuple[socket.socket, socket.socket]:
    """A stream and a datagram socket at the same port."""
    for attempt in range(20):
        stream = bind(listen, socket.SOCK_STREAM)
        try:
            return stream, bind(Listen(listen.host, bound(stream, listen).port), socket.SOCK_DGRAM)
        except OSError:  # someone else has the port for datagrams; a free port is drawn again
            stream.close()
            if listen.port or attempt == 19:
                raise
    raise AssertionError


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: StunServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data, addr)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)
