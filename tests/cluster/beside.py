"""An event loop in a thread of its own, so that blocking and asynchronous tests alike can have servers beside them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_LIMIT = 10.0
"""Seconds that something run in the loop may take."""


class LoopThread:
    """The loop, which runs until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="beside", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine gives that runs in the loop; waits for it. Not to be called in the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_LIMIT)

    def close(self) -> None:
        """End whatever still runs, and the thread."""
        self.run(_end_all_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LIMIT)
        self._loop.close()


async def _end_all_others() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
