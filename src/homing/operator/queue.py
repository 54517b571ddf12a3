"""A queue of keys: one turn a key at a time, again when something changed meanwhile, later when it asks for that.

Level-triggered: what happened is not queued, only that something did. So nothing is lost, nothing piles up, and the
queue is never longer than there are objects.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from homing.effects.backoff import Backoff
from homing.effects.clock import Clock, wait_until
from homing.effects.log import get_logger, tell_fault
from homing.errors import NotLeading

log = get_logger("queue")

K = TypeVar("K")

ENDING = 1.5
"""Seconds that turns under way get to end."""

_TICK = 10.0
"""Seconds between two looks at the queue at the most."""

_FIRST, _LIMIT = 5.0, 300.0
"""Seconds before a key whose turn failed through a bug has its next one: the first time, and at the most."""


@dataclass(slots=True)
class _Place:
    due: float | None = None
    running: bool = False
    since: float = 0.0
    """When the turn that runs was due."""
    faults: Backoff = field(default_factory=lambda: Backoff(_FIRST, _LIMIT))


class Turns(Generic[K]):
    """Runs ``turn(key)`` for every key that was woken; what it gives is the seconds until its next turn, or None.

    Keys do not wait for each other: whoever must be spared limits its own requests. A turn that fails through a bug is
    told, and has its next one after a backoff; the others go on (U9).
    """

    def __init__(
        self,
        turn: Callable[[K], Awaitable[float | None]],
        *,
        clock: Clock,
        chance: random.Random,
        on_fault: Callable[[K], None] = lambda _: None,
    ) -> None:
        self._turn = turn
        self._clock = clock
        self._chance = chance
        self._on_fault = on_fault
        self._places: dict[K, _Place] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._woken = asyncio.Event()
        self.ticked = clock.monotonic()
        """When the queue was last looked at: tells whether the loop lives."""

    @property
    def depth(self) -> int:
        """Keys that are due now or have their turn."""
        now = self._clock.monotonic()
        return sum(place.running or (place.due is not None and place.due <= now) for place in self._places.values())

    @property
    def overdue(self) -> float:
        """Seconds since the turn was due that waits, or is under way, the longest; 0 when none is."""
        now = self._clock.monotonic()
        dues = (place.since if place.running else place.due for place in self._places.values())
        return max((now - due for due in dues if due is not None and due < now), default=0.0)

    def wake(self, key: K, seconds: float = 0.0) -> None:
        """Take a turn no later than in ``seconds``."""
        place = self._places.setdefault(key, _Place())
        due = self._clock.monotonic() + seconds
        if place.due is None or due < place.due:
            place.due = due
            if not place.running:
                self._push(due, key)

    async def run(self) -> None:
        """Take turns until cancelled; those under way then get a moment to end."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                now = self.ticked = self._clock.monotonic()
                while self._heap and self._heap[0][0] <= now:
                    due, _, key = heapq.heappop(self._heap)
                    place = self._places.get(key)
                    if place is not None and not place.running and place.due == due:
                        place.running, place.due, place.since = True, None, due
                        task = asyncio.create_task(self._take(key, place))
                        running.add(task)
                        task.add_done_callback(running.discard)
                self._woken.clear()
                wait = self._heap[0][0] - now if self._heap else _TICK
                await wait_until(self._woken, min(wait, _TICK), self._clock)
        finally:
            if running:  # a request that is cut off is made twice
                await asyncio.wait(running, timeout=ENDING)
            for task in tuple(running):
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _take(self, key: K, place: _Place) -> None:
        try:
            seconds = await self._turn(key)
            place.faults = Backoff(_FIRST, _LIMIT)
        except NotLeading:
            seconds = None  # the end of leading is told where it is noticed
        except Exception as fault:  # noqa: BLE001 - told below
            # What nobody expected, told by kind and place as in the daemon (docs/design/005).
            place.faults = place.faults.after_failure()
            seconds = place.faults.seconds(self._chance)
            tell_fault(log, str(key), fault)
            self._on_fault(key)
        if seconds is not None:
            self.wake(key, seconds)
        place.running = False
        if place.due is None:
            del self._places[key]
        else:
            self._push(place.due, key)

    def _push(self, due: float, key: K) -> None:
        if len(self._heap) > 2 * len(self._places) + 64:  # who is woken early leaves a time behind
            self._heap = [
                item for item in self._heap if item[2] in self._places and self._places[item[2]].due == item[0]
            ]
            heapq.heapify(self._heap)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        if self._heap[0][2] == key:
            self._woken.set()
