"""A DNS server that tells who asks: the names of Cloudflare, OpenDNS and Google, over UDP."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Self

from homing.model.address import Address
from homing.standins.listen import Endpoint, Listen, Wan, bind, bound, told_address

_A, _TXT, _AAAA, _OPT = 1, 16, 28, 41
_IN, _CH = 1, 3
_REFUSED, _NOERROR, _FORMERR = 5, 0, 1

NAMES: dict[tuple[bytes, ...], tuple[int, tuple[int, ...]]] = {
    (b"whoami", b"cloudflare"): (_CH, (_TXT,)),
    (b"myip", b"opendns", b"com"): (_IN, (_A, _AAAA)),
    (b"o-o", b"myaddr", b"l", b"google", b"com"): (_IN, (_TXT,)),
}
"""The names that are answered, with their class and types."""


def whoami_answer(query: bytes, address: Address | None) -> bytes | None:
    """The answer to a query from ``address``; None where none is due (RFC 1035, section 4.1)."""
    if len(query) < 12 or query[2] & 0x80:
        return None
    ident, flags, questions, _, _, additional = struct.unpack_from("!6H", query)
    labels, end = _question(query)
    if questions != 1 or end + 4 > len(query):
        return struct.pack("!6H", ident, 0x8000 | _FORMERR, 0, 0, 0, 0)
    rtype, rclass = struct.unpack_from("!HH", query, end)
    known_class, types = NAMES.get(labels, (0, ()))
    rdata = _rdata(rtype, address) if rtype in types and address is not None else None
    rcode = _NOERROR if known_class == rclass else _REFUSED
    record = b""
    if rdata is not None and rcode == _NOERROR:
        record = struct.pack("!HHHIH", 0xC00C, rtype, rclass, 0, len(rdata)) + rdata
    option = struct.pack("!BHHIH", 0, _OPT, 1232, 0, 0) if additional else b""
    header = struct.pack("!6H", ident, 0x8400 | flags & 0x0100 | rcode, 1, 1 if record else 0, 0, 1 if option else 0)
    return header + query[12 : end + 4] + record + option


def _question(query: bytes) -> tuple[tuple[bytes, ...], int]:
    labels: list[bytes] = []
    at = 12
    while at < len(query) and 0 < query[at] < 64 and len(labels) < 128:
        labels.append(query[at + 1 : at + 1 + query[at]].lower())
        at += 1 + query[at]
    return tuple(labels), at + 1


def _rdata(rtype: int, address: Address) -> bytes | None:
    if rtype == _TXT:
        text = str(address).encode()
        return bytes((len(text),)) + text
    return address.packed if address.version == (4 if rtype == _A else 6) else None


class WhoamiServer:
    """Listens on UDP while entered; tells as StunServer does, and can lie (``wan``) or be ``silent`` as it can."""

    def __init__(self, listens: Sequence[Listen] = (Listen(),), wan: Wan | None = None) -> None:
        self._listens = tuple(listens)
        self.wan = wan
        self.silent = False
        self.answered = 0
        self.endpoints: tuple[Endpoint, ...] = ()
        self._transports: list[asyncio.DatagramTransport] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        endpoints: list[Endpoint] = []
        try:
            for listen in self._listens:
                sock = bind(listen, socket.SOCK_DGRAM)
                endpoints.append(bound(sock, listen))
                transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sock)
                self._transports.append(transport)
        except OSError:
            await self.aclose()
            raise
        self.endpoints = tuple(endpoints)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening."""
        for transport in self._transports:
            transport.close()
        self._transports = []
        await asyncio.sleep(0)  # transports close on the loop's next turn

    def answer(self, query: bytes, peer: str) -> bytes | None:
        """What a client at ``peer`` is answered."""
        if self.silent:
            return None
        answer = whoami_answer(query, told_address(self.wan, peer))
        self.answered += answer is not None
        return answer


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: WhoamiServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data, addr[0])
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)
