"""The HTTP server: the page, the API and a few plain endpoints, read-only, with strict headers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from homing import __version__
from homing.effects.clock import Clock, SystemClock
from homing.errors import ListenError, ModelError
from homing.model.address import parse_address
from homing.web import api
from homing.web.access import Access
from homing.web.board import Board, Past
from homing.web.live import Hub
from homing.web.page import policy
from homing.web.problem import problem
from homing.web.raw import raw_state
from homing.web.timeline import RANGES
from homing.web.view import StateView

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_FILTER = 100
"""Characters of the page's filter."""


class WebServer:
    """Serves views on one or more addresses.

    ``state`` gives the current view (without it there is no page), ``ready`` None or the reason why Homing cannot serve
    yet, ``healthy`` None or why it should be started anew, ``live`` whether what is
    served was looked at in this run, ``metrics`` the exposition, ``documents`` more paths that give JSON, ``past`` the
    history, ``queries`` how many DNS queries were answered, ``access`` who may read. With
    ``legacy`` only ``/`` and ``/raw`` exist, as ESDDNS did. ``negotiated`` gives the exposition for a header Accept.
    """

    def __init__(
        self,
        state: Callable[[], StateView] | None,
        *,
        ready: Callable[[], str | None],
        metrics: Callable[[], bytes],
        healthy: Callable[[], str | None] = lambda: None,
        live: Callable[[], bool] = lambda: True,
        documents: Mapping[str, Callable[[], object]] | None = None,
        past: Past | None = None,
        queries: Callable[[], int] | None = None,
        access: Access | None = None,
        clock: Clock | None = None,
        legacy: bool = False,
        negotiated: Callable[[str], tuple[bytes, str]] | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._state = state
        self._board = Board(state, clock, past=past, queries=queries, live=not legacy) if state is not None else None
        self._hub = Hub(self._board.parts, clock) if self._board is not None and not legacy else None
        self._ready = ready
        self._healthy = healthy
        self._live = live
        self._metrics = metrics
        self._documents = {} if legacy else dict(documents or {})
        self._access = access
        self._legacy = legacy
        self._negotiated = negotiated
        self._local_only = False
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, addresses: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Listen; gives the addresses with their real ports. Raises ListenError."""
        self._local_only = all(_is_local(host) for host, _ in addresses)
        application = web.Application(middlewares=[_errors, self._own_hosts, self._allowed], client_max_size=4096)
        application.on_response_prepare.append(_add_headers)
        self._add_routes(application.router)
        runner = web.AppRunner(
            application, access_log=None, keepalive_timeout=15, handle_signals=False, shutdown_timeout=0.5
        )
        await runner.setup()
        self._runner = runner
        for host, port in addresses:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                await self.aclose()
                remedy = "stop what uses it, or name another address with --web (--web off for none)"
                # asyncio wraps the system's sentence into one that repeats the address.
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
                raise ListenError("page", host, port, reason, remedy) from None
        if self._board is not None:
            self._tasks.append(asyncio.create_task(self._board.count()))
        if self._hub is not None:
            self._tasks.append(asyncio.create_task(self._hub.run()))
        return [(address[0], address[1]) for address in runner.addresses]

    def _add_routes(self, router: web.UrlDispatcher) -> None:
        if self._state is not None and self._board is not None:
            router.add_get("/", self._page(self._board))
            router.add_get("/raw", _giving_raw(self._state))
            if self._hub is not None:
                router.add_get("/live", self._stream(self._hub), allow_head=False)
            if not self._legacy:
                api.add_routes(router, self._board, __version__, secured=self._access is not None)
        if not self._legacy:
            router.add_get("/healthz", self._health)
            router.add_get("/livez", self._health)
            router.add_get("/readyz", self._readiness)
            router.add_get("/metrics", self._exposition)
        for path, document in self._documents.items():
            router.add_get(path, _giving(document))

    @web.middleware
    async def _own_hosts(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A page for this machine only is not for a strange name that was made to lead here (DNS rebinding)."""
        host = request.host.rpartition(":")[0] if not request.host.endswith("]") else request.host
        host = (host if request.host.count(":") else request.host).strip("[]").lower()
        if self._local_only and host not in ("localhost", socket.gethostname().lower()) and not _is_address(host):
            raise web.HTTPMisdirectedRequest
        return await handler(request)

    @web.middleware
    async def _allowed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = self._access.refusal(request) if self._access is not None else None
        return refusal or await handler(request)

    async def aclose(self) -> None:
        """Stop listening and end all connections within a second."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._hub is not None:
            self._hub.close()
        if self._runner is not None:
            with contextlib.suppress(TimeoutError):
                await self._runner.cleanup()
            self._runner = None

    def _page(self, board: Board) -> Handler:
        async def page(request: web.Request) -> web.StreamResponse:
            query = request.query
            text = query.get("q", "").strip()[:MAX_FILTER]
            html = await board.page(_span(request), text, only_wrong=bool(query.get("wrong")))
            response = web.Response(text=html, content_type="text/html", charset="utf-8")
            response.headers["Content-Security-Policy"] = policy()
            return response

        return page

    def _stream(self, hub: Hub) -> Handler:
        async def stream(request: web.Request) -> web.StreamResponse:
            return await hub.serve(request, _span(request))

        return stream

    async def _health(self, _: web.Request) -> web.StreamResponse:
        reason = self._healthy()
        return _json({"status": "ok"}) if reason is None else _json({"status": reason}, 503)

    async def _readiness(self, _: web.Request) -> web.StreamResponse:
        reason = self._ready()
        if reason is not None:
            return _json({"status": reason}, 503)
        return _json({"status": "ready", "view": "live" if self._live() else "last-good"})

    async def _exposition(self, request: web.Request) -> web.StreamResponse:
        if self._negotiated is not None:
            body, kind = self._negotiated(request.headers.get("Accept", ""))
            return web.Response(body=body, headers={"Content-Type": kind})
        return web.Response(body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _span(request: web.Request) -> str:
    """The range of the timeline that is asked for; what is none gets the first."""
    span = request.query.get("range", "")
    return span if span in RANGES else next(iter(RANGES))


def _giving_raw(state: Callable[[], StateView]) -> Handler:
    async def raw(_: web.Request) -> web.StreamResponse:
        return _json(raw_state(state()))

    return raw


def _giving(document: Callable[[], object]) -> Handler:
    async def give(_: web.Request) -> web.StreamResponse:
        return _json(document())

    return give


def _is_address(host: str) -> bool:
    try:
        parse_address(host)
    except ModelError:
        return False
    return True


def _is_local(host: str) -> bool:
    return _is_address(host) and parse_address(host).is_loopback


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body) + b"\n", status=status, content_type="application/json")


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.headers.update(HEADERS)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in words; of the API as JSON (RFC 9457)."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if request.path.startswith("/api/"):
            response = problem(error.status, f"{request.method} {request.path[:200]}: {error.reason}")
        else:
            response = web.Response(status=error.status, text=f"{error.status} {error.reason}\n")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
