"""When the names of one provider must wait: its lockouts, the least time between two requests, a clock set back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from homing.effects.log import get_logger
from homing.model.lockout import Lockout
from homing.model.name import Name
from homing.plan import Plan
from homing.providers.base import Provider
from homing.providers.lockout import active, next_allowed
from homing.store import Event
from homing.turn.memory import Memory
from homing.turn.names import NameSpec, NameState

log = get_logger("restraint")

CLOCK_SLACK = 5.0
"""Seconds that the clock may be corrected backwards without any consequence."""


class Restraint:
    """What holds one provider's names back, and what no longer does."""

    def __init__(
        self, provider: Provider, names: Sequence[NameSpec], states: Mapping[Name, NameState], memory: Memory
    ) -> None:
        self._provider = provider
        self._names = names
        self._states = states
        self._memory = memory
        self._last_turn = 0.0

    @property
    def lockouts(self) -> list[Lockout]:
        """The pauses that concern any of the names."""
        return [one for one in self._memory.lockouts if self._first_concerned(one) is not None]

    def ended(self, now: float) -> list[Lockout]:
        """The pauses that are over and not forgotten yet."""
        return [one for one in self.lockouts if self._is_over(one, now)]

    async def lift(self, now: float) -> None:
        """Forget pauses that are over: their time has come, or the credentials changed (U7)."""
        for lockout in self.ended(now):
            await self._memory.lifted(lockout)
            detail = f"{lockout.code} no longer holds {lockout.host or 'the account'} back"
            await self._memory.happened(Event(now, "recovered", lockout.provider, detail))
            log.info("pause lifted", provider=lockout.provider, host=lockout.host, code=lockout.code)
            for spec in self._names:
                if self._concerns(lockout, spec.name):
                    self._states[spec.name].not_before = 0.0

    def holds(self, plan: Plan, now: float) -> dict[tuple[str, Name], str]:
        """Reasons from outside the plan: lockouts, and the provider's least time between two requests."""
        holds: dict[tuple[str, Name], str] = {}
        provider, cooldown = self._provider, self._provider.traits.cooldown
        for name in (item.name for item in plan.changes):
            key, state = (provider.name, name), self._states[name]
            lockout = active(
                self._memory.lockouts,
                provider.name,
                provider.account(name),
                name,
                now,
                provider.fingerprint(name, self._memory.salt) if self._memory.lockouts else "",
            )
            state.locked = lockout is not None
            allowed = next_allowed(self._memory.requests.get(key), cooldown, now)
            if lockout is not None:
                holds[key] = lockout.reason
                if lockout.until is not None:
                    state.not_before, state.patient = lockout.until, True
            elif now < allowed:
                holds[key] = f"{provider.name} is asked for one host at most every {cooldown:g} s"
                state.not_before, state.patient = allowed, True
        return holds

    async def notice_clock(self, now: float) -> None:
        """When the clock was set back, times noted before it lie ahead: start their waits anew from now."""
        if now < self._last_turn - CLOCK_SLACK:
            log.warning("the clock was set back", seconds=round(self._last_turn - now))
            for state in self._states.values():
                state.not_before, state.last_read = 0.0, 0.0
        self._last_turn = now
        for spec in self._names:
            if self._memory.requests.get(spec.key, 0.0) > now + CLOCK_SLACK:
                await self._memory.asked(*spec.key, now)
        for lockout in self.lockouts:
            if lockout.until is not None and lockout.since > now + CLOCK_SLACK:
                await self._memory.locked(replace(lockout, since=now, until=now + lockout.until - lockout.since))

    def _is_over(self, lockout: Lockout, now: float) -> bool:
        name = self._first_concerned(lockout)
        if name is None:
            return False
        fingerprint = self._provider.fingerprint(name, self._memory.salt)
        return active([lockout], lockout.provider, lockout.account, name, now, fingerprint) is None

    def _first_concerned(self, lockout: Lockout) -> Name | None:
        return next((spec.name for spec in self._names if self._concerns(lockout, spec.name)), None)

    def _concerns(self, lockout: Lockout, name: Name) -> bool:
        if (lockout.provider, lockout.account) != (self._provider.name, self._provider.account(name)):
            return False
        return lockout.host in ("", name.text)
