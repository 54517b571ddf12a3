"""Follows the WAN address of one machine: full rounds now and then, a single packet in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from homing.detect.ask import Ask
from homing.detect.observers import Observer, StunServer
from homing.detect.round import OnObservation, RoundSettings, cancel, run_round
from homing.detect.stun import Transport
from homing.effects.backoff import Backoff
from homing.effects.clock import Clock
from homing.model.address import Address, Family
from homing.model.observation import Method, Outcome, Verdict

PROBE_TRIES = 3
"""Observers that one probe asks, one after another, until one answers."""

PROBE_TIMEOUT = 1.5
"""Seconds for the answer to a probe."""

TRIGGER_GAP = 1.0
"""Seconds between the starts of two rounds, whatever triggers them."""

GRACE = 0.3
"""Seconds that a running round still gets when the machine's addresses change; then it is broken off."""

MAX_RESTARTS = 3
"""Rounds in a row that may be broken off."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How closely the address is followed; all times are seconds.

    ``interval`` lies between full rounds, ``probe_interval`` between single packets. After a round without
    agreement the next one comes after ``retry``.
    """

    families: tuple[Family, ...] = tuple(Family)
    round: RoundSettings = field(default_factory=RoundSettings)
    interval: float = 300.0
    probe_interval: float = 15.0
    retry: Backoff = Backoff(first=5.0, limit=60.0)  # noqa: RUF009 - frozen


class Detector:
    """Runs until cancelled; each family goes its own way.

    ``observers`` is called for every round, so that lists may change. ``on_round`` hears the verdict of every round,
    ``on_verdict`` only one whose outcome or address differs from the one before. ``changes`` makes an iterator that
    yields when the machine's own addresses changed (see watch.py). The callbacks run on the event loop and must
    not block.
    """

    def __init__(
        self,
        observers: Callable[[], Sequence[Observer]],
        ask: Ask,
        *,
        clock: Clock,
        chance: random.Random,
        settings: DetectorSettings | None = None,
        on_verdict: Callable[[Verdict], None] | None = None,
        on_round: Callable[[Verdict], None] | None = None,
        on_observation: OnObservation | None = None,
        changes: Callable[[], AsyncGenerator[None]] | None = None,
    ) -> None:
        self._settings = settings or DetectorSettings()
        self._changes = changes
        self._followers = {
            family: _Follower(
                family, observers, ask, clock, chance, self._settings, on_verdict, on_round, on_observation
            )
            for family in self._settings.families
        }

    @property
    def verdicts(self) -> dict[Family, Verdict]:
        """The last verdict of each family that has one, with its observations."""
        return {family: one.last for family, one in self._followers.items() if one.last is not None}

    def trigger(self) -> None:
        """Start a full round of every family now; at most one a second is started, the others are remembered."""
        for follower in self._followers.values():
            follower.wake.set()

    async def run(self) -> None:
        """Follow the address until cancelled."""
        async with asyncio.TaskGroup() as group:
            for follower in self._followers.values():
                group.create_task(follower.run())
            if self._changes is not None:
                group.create_task(self._watch(self._changes()))

    async def _watch(self, changes: AsyncGenerator[None]) -> None:
        async with aclosing(changes):
            async for _ in changes:
                self.trigger()


@dataclass(slots=True)
class _Follower:
    """Follows one family."""

    family: Family
    observers: Callable[[], Sequence[Observer]]
    ask: Ask
    clock: Clock
    chance: random.Random
    settings: DetectorSettings
    on_verdict: Callable[[Verdict], None] | None
    on_round: Callable[[Verdict], None] | None
    on_observation: OnObservation | None
    last: Verdict | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    turn: int = 0
    distrusted: set[str] = field(default_factory=set[str])
    """Observers whose probes a full round refuted: until the address changes they are asked in rounds only."""

    async def run(self) -> None:
        retry, restarts = self.settings.retry, 0
        while True:
            began = self.clock.monotonic()
            self.wake.clear()
            verdict = await self._unless_woken(self._round(), GRACE, heed=restarts < MAX_RESTARTS)
            if verdict is None:
                restarts += 1
            else:
                restarts = 0
                self._publish(verdict)
                if verdict.outcome is Outcome.AGREED:
                    retry, pause = self.settings.retry, self.settings.interval
                else:
                    retry = retry.after_failure()
                    pause = min(retry.seconds(self.chance), self.settings.interval)
                await self._between(verdict, pause)
            gap = began + TRIGGER_GAP - self.clock.monotonic()
            if gap > 0:
                await self.clock.sleep(gap)

    async def _round(self) -> Verdict:
        return await run_round(
            self.observers(),
            self.family,
            self.ask,
            clock=self.clock,
            settings=self.settings.round,
            on_observation=self.on_observation,
        )

    def _publish(self, verdict: Verdict) -> None:
        before, self.last = self.last, verdict
        changed = before is None or (before.outcome, before.address) != (verdict.outcome, verdict.address)
        if changed:
            self.distrusted.clear()
        if self.on_round is not None:
            self.on_round(verdict)
        if changed and self.on_verdict is not None:
            self.on_verdict(verdict)

    async def _between(self, verdict: Verdict, seconds: float) -> None:
        """Wait for the next round; ``wake``, or a probe that surprises, brings it forward."""
        end = self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            pause = min(left, self.settings.probe_interval)
            await self._unless_woken(self.clock.sleep(pause))
            if self.wake.is_set() or (pause < left and await self._probe_surprises(verdict)):
                return

    async def _probe_surprises(self, verdict: Verdict) -> bool:
        """Whether one observer's answer does not fit the verdict, or a round is due for another reason.

        One that gives no answer is followed by another at once, so that a dead server does not hide a change.
        """
        for _ in range(PROBE_TRIES):
            observer = self._next_observer()
            if observer is None:
                return False
            answer = await self._unless_woken(self.ask(observer, self.family, PROBE_TIMEOUT))
            if answer is None:
                return self.wake.is_set()
            if answer.counts:
                if answer.address in _expected(verdict):
                    return self.wake.is_set()
                self._suspect(observer, answer.address)
                return True
        return self.wake.is_set()

    def _suspect(self, observer: Observer, address: Address | None) -> None:
        """Unless the round that follows changes the verdict, this observer is not asked for probes again."""
        if self.last is not None and self.last.outcome is Outcome.AGREED and address != self.last.address:
            self.distrusted.add(observer.name)

    def _next_observer(self) -> Observer | None:
        able = [one for one in self.observers() if self.family in one.families]
        stun: list[Observer] = [one for one in able if isinstance(one, StunServer) and one.transport is Transport.UDP]
        quick = stun or [one for one in able if one.method is Method.WHOAMI]
        trusted = [one for one in quick if one.name not in self.distrusted]
        if not trusted:
            return None
        self.turn += 1
        return trusted[self.turn % len(trusted)]

    async def _unless_woken(self, work: Awaitable[T], grace: float = 0.0, *, heed: bool = True) -> T | None:
        """The result of the work; None when ``wake`` came and it did not end within ``grace`` seconds from then."""
        task = asyncio.ensure_future(work)
        alarms: list[asyncio.Future[Any]] = [asyncio.create_task(self.wake.wait())] if heed else []
        try:
            await asyncio.wait([task, *alarms], return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and grace > 0:
                alarms.append(asyncio.create_task(self.clock.sleep(grace)))
                await asyncio.wait([task, alarms[-1]], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            await cancel([task, *alarms])


def _expected(verdict: Verdict) -> set[Address | None]:
    """The addresses whose sight is no news: the agreed one, or all those that a dispute is about."""
    if verdict.outcome is Outcome.AGREED:
        return {verdict.address}
    return {one.address for one in verdict.observations if one.counts}
