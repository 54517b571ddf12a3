"""How long to wait before trying again: exponential, bounded, with jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Backoff:
    """A waiting time that doubles with each failure, up to a limit. Frozen: ``after_failure`` gives the next one.

    ``first`` and ``limit`` are seconds. Each wait is spread over its upper half (equal jitter), so that many
    clients that failed together do not come back together.
    """

    first: float
    limit: float
    failures: int = 0

    def after_failure(self) -> Backoff:
        """The backoff after one more failure."""
        return replace(self, failures=self.failures + 1)

    def seconds(self, chance: random.Random) -> float:
        """The seconds to wait now; 0 when nothing has failed."""
        if not self.failures:
            return 0.0
        full = min(self.limit, self.first * 2.0 ** min(self.failures - 1, 32))
        return full / 2 + chance.random() * full / 2
