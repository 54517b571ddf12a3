"""The page live: server-sent events for all who watch. Drawn once for everybody, at most once a second.

Nobody watching costs nothing. Who reads slowly gets the newest of each part when it can take it, and is dropped when it
takes nothing for a while. However long a look takes, looking takes a tenth of the time at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from homing.effects.clock import Clock
from homing.effects.log import get_logger, tell_fault
from homing.web.page import Part

log = get_logger("live")

MOST = 256
"""Pages that are live at a time; more are told to come again later."""

EVERY = 1.0
"""Seconds between two looks at the least."""

SHARE = 9.0
"""How many times as long as the last look took is waited at the least before the next."""

BEAT = 15.0
"""Seconds between two signs of life, which tell the server's time."""

PATIENCE = 10.0
"""Seconds that a reader may take nothing."""

RETRY = 5000
"""Milliseconds after which a browser that lost the stream comes back."""

Draw = Callable[[str], Awaitable[dict[str, Part]]]


class _Watcher:
    """One open page, and what it has not been sent yet: of each part the newest."""

    def __init__(self, request: web.Request, span: str) -> None:
        self.span = span
        self._request = request
        self.waiting: dict[str, bytes] = {}
        self.news = asyncio.Event()
        self.closed = False

    @property
    def gone(self) -> bool:
        return self._request.transport is None

    def put(self, name: str, message: bytes) -> None:
        self.waiting[name] = message
        self.news.set()

    def close(self) -> None:
        self.closed = True
        self.news.set()


class Hub:
    """Sends every watcher the parts that changed. ``draw`` gives the parts for a range of the timeline."""

    def __init__(self, draw: Draw, clock: Clock) -> None:
        self._draw = draw
        self._clock = clock
        self._watchers: set[_Watcher] = set()
        self._known: dict[str, dict[str, tuple[Part, bytes]]] = {}
        self._watched = asyncio.Event()
        self._closed = False
        self._beaten = clock.monotonic()

    @property
    def watchers(self) -> int:
        """Pages that are live."""
        return len(self._watchers)

    async def run(self) -> None:
        """Look and send until cancelled."""
        while True:
            await self._watched.wait()
            began = time.perf_counter()
            try:
                await self._look()
            except Exception as fault:  # noqa: BLE001 - told below
                # A bug in drawing must not end all streams for good: told by kind and place, see docs/design/005.
                tell_fault(log, "page", fault)
            self._give_signs_of_life()
            await self._clock.sleep(max(EVERY, SHARE * (time.perf_counter() - began)))

    async def _look(self) -> None:
        self._forget_gone()
        spans = {watcher.span for watcher in self._watchers}
        for span in spans ^ self._known.keys():
            self._known.pop(span, None)
        for span in spans:
            known = self._known.setdefault(span, {})
            for name, part in (await self._draw(span)).items():
                before = known.get(name)
                if before is not None and before[0].version == part.version:
                    continue
                message = _message(name, part.html)
                known[name] = (part, message)
                for watcher in self._watchers:
                    if watcher.span == span:
                        watcher.put(name, message)

    def _give_signs_of_life(self) -> None:
        now = self._clock.monotonic()
        if now - self._beaten >= BEAT:
            self._beaten = now
            beat = self._beat()
            for watcher in self._watchers:
                watcher.put("beat", beat)

    def _forget_gone(self) -> None:
        for watcher in [watcher for watcher in self._watchers if watcher.gone]:
            watcher.close()
            self._leave(watcher)

    def _leave(self, watcher: _Watcher) -> None:
        """After the last one nobody looks any more, so what is known grows old: the next one gets none of it."""
        self._watchers.discard(watcher)
        if not self._watchers:
            self._watched.clear()
            self._known.clear()

    async def serve(self, request: web.Request, span: str) -> web.StreamResponse:
        """The stream for one page."""
        self._forget_gone()
        if len(self._watchers) >= MOST or self._closed:
            return web.Response(status=503, headers={"Retry-After": "30"}, text="too many open pages\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        watcher = _Watcher(request, span)
        for name, (_, message) in self._known.get(span, {}).items():
            watcher.put(name, message)
        self._watchers.add(watcher)
        self._watched.set()
        try:
            async with asyncio.timeout(PATIENCE):
                await response.prepare(request)
                await response.write(f"retry: {RETRY}\n\n".encode() + self._beat())
            await self._send(response, watcher)
        except (TimeoutError, ConnectionError):
            # The reader takes nothing or has gone: it comes back by itself if it wants to.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._leave(watcher)
        return response

    async def _send(self, response: web.StreamResponse, watcher: _Watcher) -> None:
        while not watcher.closed:
            await watcher.news.wait()
            watcher.news.clear()
            body = b"".join(watcher.waiting.values())
            watcher.waiting.clear()
            async with asyncio.timeout(PATIENCE):
                await response.write(body)

    def _beat(self) -> bytes:
        return f"event: beat\ndata: {self._clock.time():.3f}\n\n".encode()

    def close(self) -> None:
        """End all streams, and take no more."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()


def _message(name: str, html: str) -> bytes:
    return b"event: part\ndata: " + msgspec.json.encode({"name": name, "html": html}) + b"\n\n"
