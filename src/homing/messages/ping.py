"""The dead man's switch: a sign of life after a good turn, /fail after a bad one (as healthchecks.io takes them).

When the signs stop, whoever waits for them tells the person: a machine that is off cannot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from homing.effects.http import HttpClient, HttpError
from homing.effects.log import get_logger
from homing.errors import ConfigError

log = get_logger("ping")

PAUSE = 60.0
"""Seconds between two pings at the least."""

TIMEOUT = 10.0


class Ping:
    """Pings at most once a minute, and only after a turn it has not told of."""

    def __init__(self, http: HttpClient, count: Callable[[str], None]) -> None:
        self._http = http
        self._count = count
        self._last = float("-inf")
        self._told = 0.0
        self._failing = ""
        self._sending: asyncio.Task[None] | None = None

    def consider(self, now: float, url: str, turned_at: float, *, failing: bool) -> None:
        """Ping if it is time to, without waiting. ``now`` is monotonic, ``turned_at`` when the last turn ended."""
        if not url or turned_at <= self._told or now - self._last < PAUSE or self._is_sending:
            return
        self._last = now
        self._sending = asyncio.create_task(self._send(url, turned_at, failing=failing))

    @property
    def _is_sending(self) -> bool:
        return self._sending is not None and not self._sending.done()

    async def aclose(self) -> None:
        """Wait for nothing any more."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _send(self, url: str, turned_at: float, *, failing: bool) -> None:
        problem = ""
        try:
            answer = await self._http.request("GET", with_fail(url) if failing else url, timeout=TIMEOUT)
            if answer.status >= 300:
                problem = f"it answers with status {answer.status}"
        except HttpError as error:
            problem = str(error)
        self._count("failed" if problem else "ok")
        if problem:
            if problem != self._failing:
                log.warning("no sign of life could be sent, trying again", reason=problem)
        else:
            self._told = turned_at
        self._failing = problem


def ping_url(text: str, where: str) -> str:
    """The URL of a check. Raises ConfigError, which does not tell it: who knows it can ping."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text
    except ValueError:
        is_url = False
    if not is_url:
        raise ConfigError(where, "is no URL that begins with https://", "copy it from the page of your check")
    return text


def with_fail(url: str) -> str:
    """The URL that tells of a failure: /fail at the end of the path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))
