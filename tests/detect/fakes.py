"""An ``Ask`` that follows a script instead of the network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from homing.detect.observers import Observer, StunServer
from homing.effects.clock import ManualClock
from homing.model.address import Address, Family, parse_address
from homing.model.observation import Observation

A, B = parse_address("203.0.113.7"), parse_address("198.51.100.9")
SERVERS = tuple(StunServer(f"stun.{name}.example", operator=name) for name in ("ant", "bee", "cat", "dog", "eel"))


@dataclass
class ScriptedAsk:
    """Answers by operator: an address after a delay in seconds, a failure at once, or nothing for ever."""

    clock: ManualClock
    answers: dict[str, Address | str | None] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0

    def everyone(self, answer: Address | str | None) -> None:
        """From now on all say the same."""
        self.answers = {server.operator: answer for server in SERVERS}

    async def __call__(self, observer: Observer, family: Family, timeout: float) -> Observation:
        """What the script says."""
        self.asked[observer.operator] += 1
        began = self.clock.monotonic()
        answer = self.answers.get(observer.operator)
        try:
            await self.clock.sleep(timeout if answer is None else self.delays.get(observer.operator, 0.02))
        except BaseException:
            self.cancelled += 1
            raise
        address = None if isinstance(answer, str) else answer
        failure = answer if isinstance(answer, str) else "" if answer else "no answer"
        elapsed = self.clock.monotonic() - began
        return Observation(
            observer.name, observer.operator, observer.method, family, self.clock.time(), elapsed, address, failure
        )
