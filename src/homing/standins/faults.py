"""Faults that a stand-in can be told to have, once, some times or always."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

MAX_SCRIPTED = 1000
"""Faults that can wait in one script."""


class Kind(enum.Enum):
    """The ways an HTTP service goes wrong."""

    ANSWER = "answer"
    """Answers ``status`` and ``body``."""
    HANG = "hang"
    """Says nothing for ``seconds``, then closes."""
    RESET = "reset"
    """Resets the TCP connection."""
    DRIP = "drip"
    """Sends ``body`` one octet every ``seconds``."""
    FLOOD = "flood"
    """Sends ``size`` octets."""
    REDIRECT = "redirect"
    """Redirects to ``body``, or to the same address for ever."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong; ``seconds`` and ``size`` (octets) belong to the kinds that name them."""

    kind: Kind
    status: int = 200
    body: str = ""
    seconds: float = 3600.0
    size: int = 2**30
    content_type: str = "text/plain"


def answer(body: str, status: int = 200, content_type: str = "text/plain") -> Fault:
    """A fault that is an answer, such as a dyndns2 code."""
    return Fault(Kind.ANSWER, status=status, body=body, content_type=content_type)


def parse_fault(fields: Mapping[str, Any]) -> Fault:
    """Read a fault from JSON: the fields of Fault by name. Raises ValueError, KeyError or TypeError."""
    known = {name: fields[name] for name in ("status", "body", "seconds", "size", "content_type") if name in fields}
    return Fault(Kind(fields["kind"]), **known)


class FaultScript:
    """What goes wrong next: first in, first out, for one key (a host, a path) or for all."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str | None, Fault, int | None]] = []

    def add(self, fault: Fault, *, key: str | None = None, times: int | None = 1) -> None:
        """Have this fault ``times`` times, or always when that is None; with a key only for requests that bear it."""
        if len(self._waiting) >= MAX_SCRIPTED:
            raise ValueError(f"more than {MAX_SCRIPTED} faults are waiting")
        self._waiting.append((key, fault, times))

    def clear(self) -> None:
        """Behave again."""
        self._waiting.clear()

    def take(self, *keys: str) -> Fault | None:
        """The fault for a request with these keys, used up once; None when it goes well."""
        for index, (key, fault, times) in enumerate(self._waiting):
            if key is not None and key not in keys:
                continue
            if times is not None and times <= 1:
                del self._waiting[index]
            elif times is not None:
                self._waiting[index] = (key, fault, times - 1)
            return fault
        return None


async def misbehave(request: web.Request, fault: Fault) -> web.StreamResponse:
    """Answer a request with a fault."""
    from aiohttp import web

    if fault.kind is Kind.ANSWER:
        return web.Response(status=fault.status, text=fault.body, content_type=fault.content_type)
    if fault.kind is Kind.REDIRECT:
        return web.Response(status=302, headers={"Location": fault.body or str(request.rel_url)})
    if fault.kind is Kind.HANG:
        await asyncio.sleep(fault.seconds)
    elif fault.kind is not Kind.RESET:
        return await _stream(request, fault)
    _reset(request)
    return web.Response()


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _stream(request: web.Request, fault: Fault) -> web.StreamResponse:
    from aiohttp import web

    response = web.StreamResponse(status=fault.status, headers={"Content-Type": fault.content_type})
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        if fault.kind is Kind.DRIP:
            for octet in fault.body.encode():
                await asyncio.sleep(fault.seconds)
                await response.write(bytes((octet,)))
        else:
            block = b" " * 65536
            for start in range(0, fault.size, len(block)):
                await response.write(block[: fault.size - start])
        await response.write_eof()
    return response
