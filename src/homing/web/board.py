"""What the page shows now: looks at the state, the past and the DNS server's counts, and has the page drawn.

Drawing and looking at the past happen in a thread, one at a time, so that answering DNS queries goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from homing.effects.clock import Clock
from homing.errors import StoreError
from homing.store import Marks, Place, Question, Row
from homing.web.page import Look, Page, Part
from homing.web.timeline import RANGES, STEPS, Timeline, timeline
from homing.web.view import ChangeView, StateView

COUNT_EVERY, COUNTED = 5.0, 13
"""Seconds between two looks at the count of queries, and how many are kept: the rate is that of the last minute."""

MOVES = 60.0
"""Seconds after which a timeline is drawn again though nothing happened, since time went on."""


class Past(Protocol):
    """The history; Store is one. Called from threads. Raises StoreError."""

    def history(self, question: Question) -> list[tuple[Place, Row]]:
        """Lines with their places, newest first."""
        ...

    def marks(self, since: float, until: float, steps: int) -> Marks:
        """What a timeline shows."""
        ...


class Board:
    """The page's parts as they are now."""

    def __init__(
        self,
        look: Callable[[], StateView],
        clock: Clock,
        *,
        past: Past | None = None,
        queries: Callable[[], int] | None = None,
        live: bool = True,
    ) -> None:
        """``queries`` counts the DNS queries answered since the start."""
        self.look = look
        self.past = past
        self._clock = clock
        self._queries = queries
        self._counts: deque[tuple[float, int]] = deque(maxlen=COUNTED)
        self._page = Page(live=live)
        self._timelines: dict[str, tuple[tuple[ChangeView, ...], Timeline]] = {}
        self._drawing = asyncio.Lock()

    async def count(self) -> None:
        """Look at the count of queries now and then, until cancelled."""
        while self._queries is not None:
            self._counts.append((self._clock.monotonic(), self._queries()))
            await self._clock.sleep(COUNT_EVERY)

    @property
    def queries(self) -> int | None:
        """DNS queries since the start; None where none are answered."""
        return self._queries() if self._queries is not None else None

    @property
    def rate(self) -> float | None:
        """DNS queries a second in the last minute, to two digits; None while not known."""
        if len(self._counts) < 2:
            return None
        (start, before), (end, now) = self._counts[0], self._counts[-1]
        return float(f"{(now - before) / (end - start):.2g}") if end > start else None

    async def parts(self, span: str) -> dict[str, Part]:
        """The parts for those who watch: the same until what they show changes."""
        async with self._drawing:
            state = self.look()
            return await asyncio.to_thread(lambda: self._page.parts(self._seen(state, span), fresh=False))

    async def page(self, span: str, text: str, *, only_wrong: bool) -> str:
        """The whole page."""
        async with self._drawing:
            state = self.look()
            return await asyncio.to_thread(
                lambda: self._page.whole(self._seen(state, span, text, only_wrong=only_wrong), span)
            )

    def _seen(self, state: StateView, span: str, text: str = "", *, only_wrong: bool = False) -> Look:
        return Look(state, self._timeline(state, span), self.rate, text, only_wrong)

    def _timeline(self, state: StateView, span: str) -> Timeline | None:
        if self.past is None:
            return None
        changes, known = self._timelines.get(span, ((), None))
        moves = max(MOVES, RANGES[span] / STEPS / 4)
        if known is None or changes != state.changes or not known.until <= state.at < known.until + moves:
            try:
                known = timeline(self.past.marks(state.at - RANGES[span], state.at, STEPS), span)
            except StoreError:
                return known  # told as trouble where it is written; the page shows what was
            self._timelines[span] = (state.changes, known)
        return known
