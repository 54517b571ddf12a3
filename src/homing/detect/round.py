"""One round: everyone is asked at once, and the verdict is given as soon as it can no longer change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from homing.detect.ask import Ask
from homing.detect.consensus import DEFAULT_QUORUM, decide, lone_address
from homing.detect.observers import Observer
from homing.effects.clock import Clock
from homing.model.address import Address, Family
from homing.model.observation import Observation, Outcome, Verdict

DEADLINE = 5.0
"""Seconds from the start of a round to its verdict, at the latest."""

CONCURRENCY = 64
"""Observers of one family that are asked at the same time."""

OnObservation = Callable[[Observation], None]


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """How a round goes. ``deadline`` is seconds; ``complete`` waits for every answer, though the verdict stands."""

    quorum: int = DEFAULT_QUORUM
    deadline: float = DEADLINE
    complete: bool = False
    concurrency: int = CONCURRENCY


async def run_rounds(
    observers: Sequence[Observer],
    ask: Ask,
    *,
    clock: Clock,
    families: Sequence[Family] = tuple(Family),
    settings: RoundSettings | None = None,
    on_observation: OnObservation | None = None,
) -> dict[Family, Verdict]:
    """A round for each family, side by side; the verdicts by family."""
    async with asyncio.TaskGroup() as group:
        tasks = {
            family: group.create_task(
                run_round(observers, family, ask, clock=clock, settings=settings, on_observation=on_observation)
            )
            for family in families
        }
    return {family: task.result() for family, task in tasks.items()}


async def run_round(
    observers: Sequence[Observer],
    family: Family,
    ask: Ask,
    *,
    clock: Clock,
    settings: RoundSettings | None = None,
    on_observation: OnObservation | None = None,
) -> Verdict:
    """The verdict on one family; answers go to ``on_observation`` as they arrive.

    After a lone answer one second round follows at once, with a deadline of its own. Does not raise for what the
    network does.
    """
    settings = settings or RoundSettings()
    began = clock.monotonic()
    asked = [observer for observer in observers if family in observer.families]
    verdict = await _Round(asked, family, ask, clock, settings, began, None, on_observation).run()
    lone = lone_address(verdict.observations, settings.quorum)
    if verdict.outcome is Outcome.UNKNOWN and lone is not None:
        verdict = await _Round(asked, family, ask, clock, settings, began, lone, on_observation).run()
    return verdict


@dataclass(slots=True)
class _Round:
    asked: Sequence[Observer]
    family: Family
    ask: Ask
    clock: Clock
    settings: RoundSettings
    began: float
    previous_lone: Address | None
    on_observation: OnObservation | None

    async def run(self) -> Verdict:
        slots = asyncio.Semaphore(self.settings.concurrency)
        end = self.clock.monotonic() + self.settings.deadline
        running = {asyncio.create_task(self._one(one, slots, end)): one for one in self.asked}
        alarm = asyncio.create_task(self.clock.sleep(self.settings.deadline))
        seen: list[Observation] = []
        verdict = self._decide(seen, list(self.asked))
        try:
            while running and not alarm.done() and (verdict is None or self.settings.complete):
                await asyncio.wait([*running, alarm], return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task.done()]:
                    del running[task]
                    self._note(task.result(), seen)
                if verdict is None:
                    verdict = self._decide(seen, list(running.values()))
            if verdict is None or self.settings.complete:
                for observer in running.values():
                    self._note(self._silent(observer), seen)
                last = self._decide(seen, ())
                assert last is not None  # noqa: S101 - decide() always gives a verdict when nobody is pending
                verdict = last if verdict is None else replace(last, at=verdict.at, elapsed=verdict.elapsed)
        finally:
            await cancel([*running, alarm])
        return verdict

    async def _one(self, observer: Observer, slots: asyncio.Semaphore, end: float) -> Observation:
        async with slots:
            return await self.ask(observer, self.family, max(end - self.clock.monotonic(), 0.001))

    def _note(self, observation: Observation, seen: list[Observation]) -> None:
        seen.append(observation)
        if self.on_observation is not None:
            self.on_observation(observation)

    def _decide(self, seen: Sequence[Observation], running: Sequence[Observer]) -> Verdict | None:
        return decide(
            self.family,
            seen,
            [one.operator for one in running],
            self.settings.quorum,
            previous_lone=self.previous_lone,
            at=self.clock.time(),
            elapsed=self.clock.monotonic() - self.began,
        )

    def _silent(self, observer: Observer) -> Observation:
        waited = self.settings.deadline
        failure = f"no answer within {waited:.3g} s"
        return Observation(
            observer.name, observer.operator, observer.method, self.family, self.clock.time(), waited, None, failure
        )


async def cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
