"""What a row of results says about one target, and what that means for an answer. Pure; times are arguments.

health     result                           becomes
HEALTHY    ``fall`` failures in a row       FAILING, and the penalty grows by one
FAILING    ``rise`` successes in a row      HEALTHY, or DAMPED when it turned too often of late
DAMPED     a success, penalty below reuse   HEALTHY
DAMPED     ``fall`` failures in a row       FAILING, and the penalty grows by one
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from homing.checks.check import Check
from homing.model.health import Health


@dataclass(frozen=True, slots=True)
class Damping:
    """Flap damping as in RFC 2439, section 4.2, with figures for machines instead of routes.

    Each turn to FAILING adds 1 to a penalty that halves every ``half_life`` seconds. Over ``suppress`` the target
    stays out, though it works again, until the penalty is below ``reuse``. ``ceiling`` bounds the penalty, and so the
    time: ``half_life * log2(ceiling / reuse)``, six minutes.
    """

    half_life: float = 120.0
    suppress: float = 2.5
    reuse: float = 0.75
    ceiling: float = 6.0


@dataclass(frozen=True, slots=True)
class State:
    """One target. The first one counts as healthy: who was never checked is not known to fail."""

    health: Health = Health.HEALTHY
    row: int = 0
    """Results in a row that speak against ``health``."""
    penalty: float = 0.0
    penalty_at: float = 0.0
    """When ``penalty`` was that, in seconds of a monotonic clock."""
    suppressed: bool = False

    def succeeded(self, check: Check, damping: Damping, now: float) -> State:
        """After a success."""
        if self.health is Health.HEALTHY:
            return replace(self, row=0) if self.row else self
        if self.health is Health.FAILING and self.row + 1 < check.rise:
            return replace(self, row=self.row + 1)
        if self.suppressed and self._decayed(damping, now) >= damping.reuse:
            return replace(self, health=Health.DAMPED, row=0)
        return replace(self, health=Health.HEALTHY, row=0, suppressed=False)

    def failed(self, check: Check, damping: Damping, now: float) -> State:
        """After a failure that counts."""
        if self.health is Health.FAILING:
            return self.interrupted()
        if self.row + 1 < check.fall:
            return replace(self, row=self.row + 1)
        decayed = self._decayed(damping, now)
        penalty = min(decayed + 1, damping.ceiling)
        suppressed = penalty > damping.suppress or (self.suppressed and decayed >= damping.reuse)
        return State(Health.FAILING, 0, penalty, now, suppressed)

    def interrupted(self) -> State:
        """After a failure that says nothing: what comes next begins a new row."""
        return replace(self, row=0) if self.row else self

    def _decayed(self, damping: Damping, now: float) -> float:
        return float(self.penalty * 0.5 ** (max(0.0, now - self.penalty_at) / damping.half_life))
