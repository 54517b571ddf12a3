"""Looks at the situation every two seconds, tells what is new, and gives signs of life."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, replace

from homing.effects.clock import Clock
from homing.effects.http import HttpClient
from homing.effects.log import get_logger, tell_fault
from homing.effects.metrics import Metrics
from homing.effects.secret import Secret
from homing.errors import ConfigError
from homing.messages.by_apprise import Apprise
from homing.messages.outbox import Deliver, Outbox, read_receivers
from homing.messages.ping import Ping, ping_url
from homing.messages.watch import Kind, Message, Situation, Trouble, Watch

log = get_logger("messages")

LOOK = 2.0
"""Seconds between two looks."""

KINDS: tuple[Kind, ...] = ("address", "disputed", "lockout", "failed", "drift", "fault", "recovered")


@dataclass(frozen=True, slots=True)
class Wishes:
    """Who is told what. ``receivers`` holds URLs, one a line; ``ping`` the URL of a check. Times are seconds."""

    receivers: Secret | None = None
    ping: Secret | None = None
    kinds: tuple[Kind, ...] = KINDS
    gather: float = 10.0
    repeat: float = 3600.0
    failed_after: float = 900.0

    @property
    def any(self) -> bool:
        """Whether anybody is told anything."""
        return self.receivers is not None or self.ping is not None


class Messenger:
    """Tells people; ``wishes`` may be replaced at any time. Nothing waits for it, whatever receivers do."""

    def __init__(
        self,
        wishes: Wishes,
        situation: Callable[[], Situation | None],
        metrics: Metrics,
        *,
        clock: Clock,
        chance: random.Random,
        deliver: Deliver | None = None,
        http: HttpClient | None = None,
    ) -> None:
        """``situation`` gives None while nothing is known, or this process is not the one to tell."""
        self._wishes = wishes
        self._situation = situation
        self._metrics = metrics
        self._clock = clock
        self._watch = Watch()
        self._http = http or HttpClient()
        self._ping = Ping(self._http, lambda result: metrics.pings.labels(result).inc())
        self._problem = ""
        self._outbox = Outbox(
            self._receivers,
            deliver or Apprise().deliver,
            self._count,
            gather=lambda: self._wishes.gather,
            clock=clock,
            chance=chance,
        )
        self.use(wishes)

    def use(self, wishes: Wishes) -> None:
        """Tell so from now on."""
        self._wishes = wishes
        if wishes.receivers is not None:  # an increase from nothing is none to Prometheus
            for kind in wishes.kinds:
                for result in ("sent", "failed", "dropped"):
                    self._metrics.messages.labels(kind, result)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Tell while entered."""
        tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._outbox.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._ping.aclose()
            await self._http.aclose()

    async def _look(self) -> None:
        while True:
            try:
                situation = self._situation() if self._wishes.any else None
                if situation is not None:
                    self._tell(situation)
            except Exception as fault:  # noqa: BLE001 - a bug here must not end what keeps names right
                self._metrics.faults.labels("messages").inc()
                tell_fault(log, "messages", fault)
            await self._clock.sleep(LOOK)

    def _tell(self, situation: Situation) -> None:
        wishes = self._wishes
        situation = replace(situation, happened={**situation.happened, **self._faults()})
        news = self._watch.look(self._clock.time(), situation, repeat=wishes.repeat, failed_after=wishes.failed_after)
        for message in news if wishes.receivers is not None else ():
            if message.kind in wishes.kinds:
                self._outbox.put(message)
        if wishes.ping is not None:
            try:
                url = ping_url(wishes.ping.reveal(), wishes.ping.origin)
            except ConfigError as error:
                if str(error) != self._problem:
                    log.warning("no sign of life can be sent", reason=str(error))
                self._problem = str(error)
                return
            self._problem = ""
            self._ping.consider(self._clock.monotonic(), url, situation.turned_at, failing=situation.failing)

    def _faults(self) -> dict[Trouble, tuple[float, str]]:
        """What failed through a bug, whichever part of the process it was: the counter knows all."""
        told = "{}: a part of Homing failed through a bug and goes on; please report it, with the line of the log"
        samples = [sample for family in self._metrics.faults.collect() for sample in family.samples]
        return {
            ("fault", sample.labels["part"]): (sample.value, told.format(sample.labels["part"]))
            for sample in samples
            if sample.name.endswith("_total")
        }

    def _receivers(self) -> tuple[str, ...]:
        return read_receivers(self._wishes.receivers.reveal()) if self._wishes.receivers is not None else ()

    def _count(self, messages: Collection[Message], result: str) -> None:
        for message in messages:
            self._metrics.messages.labels(message.kind, result).inc()
