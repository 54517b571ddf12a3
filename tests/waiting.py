"""Waiting for a condition, with a limit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def patience() -> float:
    """How many times longer than at rest things may take now: 1 while there is a processor for everyone, 10 at most.

    It is the load of the last minute, for each processor. What a limit says holds for a machine that has time.
    """
    return min(10.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def until(condition: Callable[[], T], seconds: float = 10.0, what: str = "") -> T:
    """The first truthy value of a condition; fails when it does not come within so many seconds, with patience."""
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        found = condition()
        if found:
            return found
        if asked > began + seconds * patience():
            raise AssertionError(f"{what or condition} did not come true within {seconds:g} s; last: {found!r}")
        time.sleep(0.02)
