"""What is known of a member of an RRset by checks, and who is answered then."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Health(enum.Enum):
    """What is known of a target; never a bool, since a damped one works."""

    HEALTHY = "healthy"
    DAMPED = "damped"
    FAILING = "failing"

    def __bool__(self) -> bool:
        raise TypeError("compare with Health.HEALTHY: a damped target works, and is left out all the same")


def answered(members: Sequence[T], health: Callable[[T], Health]) -> tuple[T, ...]:
    """Those members of one RRset that are answered: the healthy; if none, the damped; if none, all.

    The last is fail-open: when all fail, the checker is the likelier fault, and an answer that may work is better than
    none. Never empty where there are members, and their order stays.
    """
    healths = [health(member) for member in members]
    for wanted in (Health.HEALTHY, Health.DAMPED):
        if chosen := tuple(member for member, found in zip(members, healths, strict=True) if found is wanted):
            return chosen
    return tuple(members)
