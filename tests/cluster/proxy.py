"""An HTTP proxy before the API server that answers chosen requests itself: conflicts, expired tokens, silence."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from homing.standins.tls import Authority
from tests.cluster.beside import LoopThread

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
"""The reasons that the API server's own Status objects give (k8s.io/apimachinery, meta/v1/types.go)."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "host", "content-length"}
_REMEMBERED = 10_000
"""Requests that ``seen`` holds at most."""


@dataclass(slots=True)
class Fault:
    """What happens to requests whose method and path fit; ``hits`` counts them."""

    method: re.Pattern[str]
    path: re.Pattern[str]
    status: int
    """The HTTP status that is answered; 0 hangs until the client goes."""
    reason: str = ""
    retry_after: int | None = None
    in_watch: bool = False
    """Answer 200 and one watch event of type ERROR, as the API server tells a watch that its version is too old."""
    after: bool = False
    """Let the request through and hide its answer: it was carried out, and nobody knows."""
    times: int | None = None
    """How often yet; None is always."""
    hits: int = field(default=0, init=False)

    def takes(self, method: str, path: str) -> bool:
        """Whether it happens to this request; counts it then."""
        if self.times == 0 or not self.method.fullmatch(method) or not self.path.search(path):
            return False
        self.hits += 1
        if self.times is not None:
            self.times -= 1
        return True


class Proxy:
    """While entered, ``server`` leads to the API server at ``target``. Methods may be called from any thread."""

    def __init__(self, target: str, authority: Authority) -> None:
        self.server = ""
        """The URL; its certificate is of the same authority as the API server's."""
        self.seen: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)
        """Method and path with query of each request."""
        self.seen_at: deque[float] = deque(maxlen=_REMEMBERED)
        """When each of them came (Unix seconds)."""
        self._target = target
        self._tls = authority.issue(["127.0.0.1"]).context()
        self._ca_file = authority.ca_file
        self._faults: list[Fault] = []

    def __enter__(self) -> Self:
        self._thread = LoopThread()
        self._thread.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._stop())
        self._thread.close()

    def answer(
        self,
        status: int,
        method: str = ".*",
        path: str = "",
        *,
        times: int | None = None,
        reason: str = "",
        retry_after: int | None = None,
        in_watch: bool = False,
        after: bool = False,
    ) -> Fault:
        """Answer requests that fit with a status and a Status object. See ``Fault`` for the rest.

        Args:
            status: the HTTP status, or the code within the watch event.
            method: regular expression of the whole method: ``PUT|PATCH``.
            path: regular expression of a part of the path with its query: ``/status$``, ``[?&]watch=``.
        """
        kind = Fault(
            re.compile(method),
            re.compile(path),
            status,
            reason or REASONS.get(status, ""),
            retry_after,
            in_watch,
            after,
            times,
        )
        self._faults.append(kind)
        return kind

    def hang(self, method: str = ".*", path: str = "", *, times: int | None = None, after: bool = False) -> Fault:
        """Never answer requests that fit."""
        return self.answer(0, method, path, times=times, after=after)

    def heal(self) -> None:
        """Forget every fault. Requests that hang go on hanging: cut them."""
        self._faults.clear()

    def cut(self) -> None:
        """Cut every connection there is, watches too."""
        self._thread.run(self._cut())

    async def _cut(self) -> None:
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _start(self) -> None:
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self._ca_file), limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
        )
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.server = f"https://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._cut()
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.raw_path))
        self.seen_at.append(time.time())
        fault = next((each for each in tuple(self._faults) if each.takes(request.method, request.raw_path)), None)
        if fault is None:
            return await self._forward(request)
        if fault.after:
            async with self._ask(request, await request.read()) as answer:
                await answer.read()
        if fault.status == 0:
            await asyncio.Event().wait()
        return _refusal(fault)

    def _ask(self, request: web.Request, body: bytes) -> Any:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        url = URL(f"{self._target}{request.raw_path}", encoded=True)
        return self._session.request(request.method, url, headers=headers, data=body or None, allow_redirects=False)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        try:
            async with self._ask(request, await request.read()) as answer:
                passed = web.StreamResponse(status=answer.status, reason=answer.reason)
                for name, value in answer.headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        passed.headers.add(name, value)
                await passed.prepare(request)
                async for piece in answer.content.iter_any():
                    await passed.write(piece)
                return passed
        except (aiohttp.ClientError, OSError):
            if request.transport is not None:
                request.transport.abort()
            raise


def _refusal(fault: Fault) -> web.Response:
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "reason": fault.reason,
        "code": fault.status,
        "message": f"a test answers {fault.status}",
    }
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
        status["details"] = {"retryAfterSeconds": fault.retry_after}
    if fault.in_watch:
        return web.json_response({"type": "ERROR", "object": status}, headers=headers)
    return web.json_response(status, status=fault.status, headers=headers)
