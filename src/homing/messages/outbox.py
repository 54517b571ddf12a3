"""The way out: news are gathered into one message, each receiver has a queue and a task of its own.

A receiver that refuses is asked again, ever more rarely; one that hangs holds up its own queue only. What does not
fit is dropped and counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime

from homing.effects.backoff import Backoff
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import ConfigError, DeliveryError
from homing.messages.watch import Message

log = get_logger("messages")

MAX_WAITING = 1000
"""News that wait to be gathered."""

MAX_BATCHES = 8
"""Messages that wait for one receiver."""

MAX_RECEIVERS = 16

SHOWN = 20
"""News in one message; the rest is a number."""

TRIES = 6
"""How often a receiver is asked to take a message, within a quarter of an hour."""

_AGAIN, _AGAIN_LIMIT = 30.0, 480.0
"""Seconds before it is asked again: the first time, and at the most."""

Deliver = Callable[[str, str, str], Awaitable[None]]
"""Delivers to a URL a title and a text. Raises DeliveryError."""

Count = Callable[[Collection[Message], str], None]
"""Counts what became of news: ``sent``, ``failed`` or ``dropped``."""


class Outbox:
    """Takes news at any time, without waiting. ``run`` it."""

    def __init__(
        self,
        receivers: Callable[[], Sequence[str]],
        deliver: Deliver,
        count: Count,
        *,
        gather: Callable[[], float],
        clock: Clock,
        chance: random.Random,
    ) -> None:
        """``receivers`` gives URLs, read anew each time, or raises ConfigError; ``gather`` is seconds."""
        self._receivers = receivers
        self._deliver = deliver
        self._count = count
        self._gather = gather
        self._clock = clock
        self._chance = chance
        self._news: deque[Message] = deque()
        self._woken = asyncio.Event()
        self._lines: dict[str, asyncio.Queue[tuple[Message, ...]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def put(self, message: Message) -> None:
        """Tell it soon."""
        if len(self._news) >= MAX_WAITING:
            self._count([message], "dropped")
            return
        self._news.append(message)
        self._woken.set()

    async def run(self) -> None:
        """Gather and deliver until cancelled."""
        try:
            while True:
                await self._woken.wait()
                await self._clock.sleep(self._gather())
                self._woken.clear()
                batch, self._news = tuple(self._news), deque()
                self._hand_out(batch)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()
            self._lines.clear()

    def _hand_out(self, batch: tuple[Message, ...]) -> None:
        try:
            urls = tuple(dict.fromkeys(self._receivers()))[:MAX_RECEIVERS]
        except ConfigError as error:
            log.warning("messages not sent", reason=str(error), count=len(batch))
            self._count(batch, "failed")
            return
        keys = {_key(url): url for url in urls}
        for gone in self._tasks.keys() - keys.keys():
            self._tasks.pop(gone).cancel()
            self._lines.pop(gone)
        for number, (key, url) in enumerate(keys.items(), 1):
            line = self._lines.setdefault(key, asyncio.Queue(MAX_BATCHES))
            if key not in self._tasks:
                self._tasks[key] = asyncio.create_task(self._serve(line, url, told(number, url)))
            try:
                line.put_nowait(batch)
            except asyncio.QueueFull:
                log.warning("message dropped, too many wait for this receiver", receiver=told(number, url))
                self._count(batch, "dropped")

    async def _serve(self, line: asyncio.Queue[tuple[Message, ...]], url: str, name: str) -> None:
        while True:
            batch = await line.get()
            again = Backoff(_AGAIN, _AGAIN_LIMIT)
            while True:
                try:
                    await self._deliver(url, *digest(batch))
                except DeliveryError as error:
                    again = again.after_failure()
                    last = again.failures >= TRIES
                    log.warning("message not delivered", receiver=name, reason=str(error), given_up=last)
                    if last:
                        self._count(batch, "failed")
                        break
                    await self._clock.sleep(again.seconds(self._chance))
                else:
                    self._count(batch, "sent")
                    log.info("message delivered", receiver=name, news=len(batch))
                    break


def digest(batch: Sequence[Message]) -> tuple[str, str]:
    """Title and text of one message for several news."""
    host = socket.gethostname()
    kinds = ", ".join(dict.fromkeys(message.kind for message in batch))
    title = f"Homing on {host}: {batch[0].subject} {kinds}" if len(batch) == 1 else f"Homing on {host}: {kinds}"
    lines = [f"{_clock(message.at)}  {message.text}" for message in batch[:SHOWN]]
    if len(batch) > SHOWN:
        lines.append(f"and {len(batch) - SHOWN} more")
    return title, "\n".join(lines)


def told(number: int, url: str) -> str:
    """How a receiver is called in the log: its URL may hold secrets, so only its kind is told."""
    scheme = url.partition("://")[0]
    return f"{number} ({scheme})" if scheme.isalnum() and len(scheme) <= 20 else str(number)


def read_receivers(text: str) -> tuple[str, ...]:
    """The URLs in a text: one a line, without comments."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
