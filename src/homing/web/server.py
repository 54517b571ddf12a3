"""The HTTP server: a page and a few plain endpoints, read-only, with strict headers."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from homing.errors import ListenError, ModelError
from homing.model.address import parse_address
from homing.web.page import render
from homing.web.raw import raw_state
from homing.web.view import StateView

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class WebServer:
    """Serves views on one or more addresses.

    ``state`` gives the current view (without it there is no page), ``ready`` None or the reason why Homing cannot serve
    yet, ``healthy`` None or why it should be started anew, ``live`` whether what is
    served was looked at in this run, ``metrics`` the exposition, ``documents`` more paths that give JSON. With
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
        legacy: bool = False,
        negotiated: Callable[[str], tuple[bytes, str]] | None = None,
    ) -> None:
        self._state = state
        self._ready = ready
        self._healthy = healthy
        self._live = live
        self._metrics = metrics
        self._documents = {} if legacy else dict(documents or {})
        self._legacy = legacy
        self._negotiated = negotiated
        self._local_only = False
        self._runner: web.AppRunner | None = None

    async def start(self, addresses: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Listen; gives the addresses with their real ports. Raises ListenError."""
        self._local_only = all(_is_local(host) for host, _ in addresses)
        application = web.Application(middlewares=[_secure_headers, self._own_hosts], client_max_size=4096)
        if self._state is not None:
            application.router.add_get("/", _giving_page(self._state))
            application.router.add_get("/raw", _giving_raw(self._state))
        if not self._legacy:
            application.router.add_get("/healthz", self._health)
            application.router.add_get("/livez", self._health)
            application.router.add_get("/readyz", self._readiness)
            application.router.add_get("/metrics", self._exposition)
        for path, document in self._documents.items():
            application.router.add_get(path, _giving(document))
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
        return [(address[0], address[1]) for address in runner.addresses]

    @web.middleware
    async def _own_hosts(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A page for this machine only is not for a strange name that was made to lead here (DNS rebinding)."""
        host = request.host.rpartition(":")[0] if not request.host.endswith("]") else request.host
        host = (host if request.host.count(":") else request.host).strip("[]").lower()
        if self._local_only and host not in ("localhost", socket.gethostname().lower()) and not _is_address(host):
            raise web.HTTPMisdirectedRequest
        return await handler(request)

    async def aclose(self) -> None:
        """Stop listening and end all connections within a second."""
        if self._runner is not None:
            with contextlib.suppress(TimeoutError):
                await self._runner.cleanup()
            self._runner = None

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


def _giving_page(state: Callable[[], StateView]) -> Handler:
    async def page(_: web.Request) -> web.StreamResponse:
        nonce = secrets.token_urlsafe(16)
        response = web.Response(text=render(state(), nonce), content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = PAGE_POLICY.format(nonce=nonce)
        return response

    return page


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


@web.middleware
async def _secure_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = web.Response(status=error.status, text=f"{error.status} {error.reason}\n")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response
