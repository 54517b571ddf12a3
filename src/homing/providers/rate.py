"""A limit on requests that all names of a provider share."""

from __future__ import annotations

from homing.effects.clock import Clock

_SHORTEST = 0.001
"""Seconds below which waiting is not worth it (and what is left of a float's rounding)."""


class Rate:
    """Lets ``per_minute`` requests a minute pass, ``burst`` of them at once (a token bucket, kept as one time).

    In any minute at most ``per_minute + burst`` requests pass.
    """

    def __init__(self, per_minute: float, burst: int, clock: Clock) -> None:
        self._spacing = 60.0 / per_minute
        self._slack = self._spacing * (burst - 1)
        self._clock = clock
        self._next = 0.0

    async def admit(self, patience: float) -> float:
        """Wait for this request's turn and give 0; or, when that takes over ``patience`` seconds, give what it takes.

        A request that is not admitted takes no place.
        """
        now = self._clock.monotonic()
        due = max(self._next, now)
        wait = due - self._slack - now
        if wait > max(patience, _SHORTEST):
            return wait
        self._next = due + self._spacing
        if wait > _SHORTEST:
            await self._clock.sleep(wait)
        return 0.0

    def pause(self, seconds: float) -> None:
        """Let nothing pass for some time, because the provider asked for that."""
        self._next = max(self._next, self._clock.monotonic() + seconds + self._slack)
