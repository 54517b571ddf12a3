"""Work that blocks, in a thread of its own, for which nobody waits at the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_thread(work: Callable[[], T], name: str = "zone files") -> asyncio.Future[T]:
    """What a daemon thread makes of it; asyncio's own threads would hold up the end when one hangs."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(finish: Callable[[], None]) -> None:
        if not future.done():
            finish()

    def run() -> None:
        try:
            finish = functools.partial(future.set_result, work())
        except BaseException as error:  # noqa: BLE001 - handed over whole, to be raised where it is awaited
            finish = functools.partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, finish)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
