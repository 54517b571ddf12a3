"""One bounded HTTP service on any number of addresses: what the HTTP stand-ins are built on."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from homing.standins.listen import Endpoint, Listen, bind, bound

if TYPE_CHECKING:
    from aiohttp import web

MAX_REQUEST = 64 * 1024
"""Octets of a request's body."""

Answer = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class WebService:
    """Answers every method and path with ``answer`` while entered; closing waits for nobody."""

    def __init__(self, answer: Answer, listens: Sequence[Listen] = (), unix: Path | None = None) -> None:
        self._answer = answer
        self._listens = tuple(listens)
        self._unix = unix
        self._runner: web.AppRunner | None = None
        self.endpoints: tuple[Endpoint, ...] = ()

    async def __aenter__(self) -> Self:
        from aiohttp import web

        app = web.Application(client_max_size=MAX_REQUEST)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handle_signals=False)
        await self._runner.setup()
        try:
            endpoints: list[Endpoint] = []
            for listen in self._listens:
                sock = bind(listen, socket.SOCK_STREAM)
                endpoints.append(bound(sock, listen))
                await web.SockSite(self._runner, sock, ssl_context=listen.tls).start()
            if self._unix is not None:
                await web.UnixSite(self._runner, self._unix).start()
            self.endpoints = tuple(endpoints)
        except OSError:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections and stop listening."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
