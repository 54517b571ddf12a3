"""Work beside the event loop, so that answering goes on and SIGTERM does not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 -- says what happened
    """It is time to end, so work beside the event loop ends too."""


def end_at(stop: asyncio.Event) -> Callable[[], None]:
    """What work beside the event loop calls now and then: raises Stopped once it is time to end.

    Such work would hold up the end itself, as each step to it waits for the interpreter's lock.
    """

    def look() -> None:
        if stop.is_set():
            raise Stopped

    return look


async def unless(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """What comes of it; None as soon as it is time to stop."""
    working = asyncio.ensure_future(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        stopped.cancel()
        working.cancel()


async def first_of(*events: asyncio.Event) -> None:
    """Wait for any of these."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
