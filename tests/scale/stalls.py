"""When this machine had no processor to give: a process of its own sleeps, and notes when it was woken too late.

What is late then is the machine's fault, and is not held against who is judged.
"""

from __future__ import annotations

import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Self

PERIOD, WORTH = 0.01, 0.03
"""Seconds that it sleeps, and those beyond that are noted."""

_PROGRAM = f"""
import time
while True:
    begun = time.monotonic()
    time.sleep({PERIOD})
    late = time.monotonic() - begun - {PERIOD}
    if late > {WORTH}:
        print(begun, late, flush=True)
"""


class Stalls:
    """While entered, stalls are noted; afterwards ``during`` tells how long they were."""

    def __init__(self) -> None:
        self._begun: list[float] = []
        self._sums = [0.0]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        said, _error = self._process.communicate()
        pairs = (line.split() for line in said.splitlines())
        self.note((float(pair[0]), float(pair[1])) for pair in pairs if len(pair) == 2)

    def note(self, found: Iterable[tuple[float, float]]) -> None:
        """Moments (monotonic) and seconds, in their order."""
        noted = list(found)
        self._begun = [begun for begun, _ in noted]
        self._sums = [0.0, *accumulate(late for _, late in noted)]

    @property
    def total(self) -> float:
        """Seconds of all."""
        return self._sums[-1]

    def during(self, begin: float, end: float) -> float:
        """Seconds of those that began between two moments."""
        return self._sums[bisect_left(self._begun, end)] - self._sums[bisect_left(self._begun, begin)]
