"""The names Homing cares for, and what it knows of each while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from homing.effects.backoff import Backoff
from homing.model.address import Network
from homing.model.name import Name
from homing.model.rrset import RRset
from homing.sources import Source

RETRY_FIRST = 10.0
"""Seconds before a failed request is repeated the first time."""

RETRY_LIMIT = 900.0
"""Seconds between repetitions at the most."""


@dataclass(frozen=True, slots=True)
class NameSpec:
    """One name at one provider as the settings want it. ``ttl`` and ``interval`` are seconds."""

    name: Name
    provider: str
    source: Source
    ttl: int
    interval: float
    accepted: tuple[Network, ...] = ()
    enabled: bool = True

    @property
    def key(self) -> tuple[str, Name]:
        """What makes it one of a kind: no two may share it (law 2)."""
        return (self.provider, self.name)


@dataclass(slots=True)
class NameState:
    """What is known of one name; changes with every turn. Times are Unix seconds, 0 for never.

    ``missing``, ``held`` and ``error`` are sentences for people; ``not_before`` is when it may be tried again, and
    ``patient`` tells that the provider asked for that wait: then no news from here shortens it.
    """

    wanted: tuple[RRset, ...] = ()
    missing: str = ""
    held: str = ""
    locked: bool = False
    error: str = ""
    retry: Backoff = field(default_factory=lambda: Backoff(RETRY_FIRST, RETRY_LIMIT))
    not_before: float = 0.0
    patient: bool = False
    last_read: float = 0.0
    last_sync: float = 0.0

    def hurry(self) -> None:
        """Something changed for the better: try again now, unless the provider asked for a wait."""
        if not self.patient:
            self.retry = Backoff(RETRY_FIRST, RETRY_LIMIT)
            self.not_before = 0.0

    def succeeded(self, now: float) -> None:
        """The provider holds what is wanted."""
        self.error, self.held, self.locked = "", "", False
        self.retry = Backoff(RETRY_FIRST, RETRY_LIMIT)
        self.not_before, self.patient = 0.0, False
        self.last_sync = now
