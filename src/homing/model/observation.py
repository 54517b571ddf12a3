"""What observers said of the WAN address, and what consensus makes of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NoReturn

from homing.model.address import Address, Family


class Method(enum.Enum):
    """The ways to learn the WAN address."""

    STUN = "stun"
    HTTP = "http"
    WHOAMI = "whoami"
    INTERFACE = "interface"


@dataclass(frozen=True, slots=True)
class Observation:
    """One observer's answer, or why there is none.

    ``observer`` is unique within a round (``stun.example:3478/udp``); ``operator`` is who runs it, and whose
    vote it is; ``at`` is Unix time in seconds, ``elapsed`` seconds from the question to the answer. ``address`` is
    None when the observer failed; an ``address`` that does not count (not globally reachable) comes with a
    ``failure`` that says so.
    """

    observer: str
    operator: str
    method: Method
    family: Family
    at: float
    elapsed: float
    address: Address | None = None
    failure: str = ""

    @property
    def counts(self) -> bool:
        """Whether this is a vote."""
        return self.address is not None and not self.failure


class Outcome(enum.Enum):
    """What consensus made of a round."""

    AGREED = "agreed"
    DISPUTED = "disputed"
    UNKNOWN = "unknown"

    def __bool__(self) -> NoReturn:
        raise TypeError("an outcome is neither true nor false; compare it with Outcome.AGREED")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What consensus made of the observations of one family.

    ``address`` is set exactly when ``outcome`` is AGREED. ``reason`` is a sentence for people. ``elapsed`` is seconds
    from the start of the round to the decision.
    """

    family: Family
    outcome: Outcome
    address: Address | None
    reason: str
    at: float
    elapsed: float
    observations: tuple[Observation, ...] = field(repr=False, default=())

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is neither true nor false; look at its outcome")
