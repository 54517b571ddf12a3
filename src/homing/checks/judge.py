"""What the results of many targets say together: a failure counts only while another target answers.

A checker whose own way out is dead sees everything fail. So a failure waits for a witness: another target, probed the
same way (address family and kind of probe), that answers a probe begun no earlier. A failure that finds no witness
before the next one breaks the row. While nothing at all answers, nothing changes.

What another checker found failing may be believed at first. That ends with the first success, with a probe that cannot
be made from here, and with ``fall`` failures while nothing else answered either: then this checker cannot tell.

Pure: no event loop, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, field

from homing.checks.check import Probe, Target
from homing.checks.health import Damping, State
from homing.model.address import Address
from homing.model.health import Health

Way = tuple[int, str]
"""IP version and kind of probe."""

NEVER = float("-inf")

SILENT = 2
"""Failures in a row after which a target counts as silent: one lost packet is no news."""


def way_of(target: Target) -> Way:
    """How the probes of a target travel."""
    return target.address.version, target.check.probe.kind


@dataclass(slots=True)
class _Entry:
    state: State = field(default_factory=State)
    missed: int = 0
    """Failures since the last success."""
    waits: float | None = None
    """When the failure began that waits for a witness."""
    believed: bool = False
    """Failing by the word of another checker."""
    missed_since: float = NEVER
    """When the first of ``missed`` began."""


@dataclass(slots=True)
class _Sight:
    """What is seen one way: the two targets whose probes were begun last among those that answered."""

    first: Target | None = None
    first_at: float = NEVER
    second_at: float = NEVER
    members: int = 0
    silent: int = 0
    waiting: dict[Target, None] = field(default_factory=dict[Target, None])

    def answered(self, target: Target, started: float) -> None:
        if target == self.first:
            self.first_at = max(self.first_at, started)
        elif started >= self.first_at:
            self.first, self.first_at, self.second_at = target, started, self.first_at
        else:
            self.second_at = max(self.second_at, started)

    def witnessed(self, target: Target, since: float) -> bool:
        return (self.second_at if target == self.first else self.first_at) >= since


class Judge:
    """The health of all targets that are followed. Times are seconds of one monotonic clock."""

    def __init__(self, damping: Damping | None = None) -> None:
        self._damping = damping or Damping()
        self._entries: dict[Target, _Entry] = {}
        self._sights: dict[Way, _Sight] = {}
        self._out: dict[Target, None] = {}

    @property
    def unhealthy(self) -> Collection[Target]:
        """The targets that are failing or damped."""
        return self._out.keys()

    @property
    def blind(self) -> int:
        """On how many ways nothing answers."""
        return sum(self.is_blind(way) for way in self._sights)

    def health(self, target: Target) -> Health:
        """What is known; HEALTHY where nothing is."""
        entry = self._entries.get(target)
        return entry.state.health if entry is not None else Health.HEALTHY

    def is_blind(self, way: Way) -> bool:
        """Whether every target this way failed at least twice in a row."""
        sight = self._sights.get(way)
        return sight is not None and 0 < sight.members == sight.silent

    def follow(self, targets: Iterable[Target], failing: Container[Target] = ()) -> None:
        """Have exactly these targets. One whose probe stays while its figures change keeps what is known of it.

        ``failing`` are those that another checker found so: they count where nothing is known here.
        """
        wanted = dict.fromkeys(targets)
        known: dict[tuple[Address, Probe], State] = {}
        for target in [target for target in self._entries if target not in wanted]:
            known[target.address, target.check.probe] = self._forget(target)
        for target in wanted:
            if target not in self._entries:
                state = known.get((target.address, target.check.probe))
                believed = state is None and target in failing
                state = state or State(Health.FAILING if believed else Health.HEALTHY)
                self._entries[target] = _Entry(state.interrupted(), believed=believed)
                self._list(target, state)
                self._sights.setdefault(way_of(target), _Sight()).members += 1

    def succeeded(self, target: Target, started: float, now: float) -> list[Target]:
        """Take a success of a probe begun at ``started``; the targets whose health it turns."""
        entry = self._entries.get(target)
        if entry is None:
            return []
        sight = self._sights[way_of(target)]
        self._note(entry, sight, missed=0)
        entry.waits, entry.believed = None, False
        sight.waiting.pop(target, None)
        sight.answered(target, started)
        turned = self._turn(target, entry, entry.state.succeeded(target.check, self._damping, now))
        for other in list(sight.waiting):
            turned += self._witness(other, sight, now)
        return turned

    def failed(self, target: Target, started: float, now: float) -> list[Target]:
        """Take a failure of a probe begun at ``started``; the targets whose health it turns."""
        entry = self._entries.get(target)
        if entry is None:
            return []
        sight = self._sights[way_of(target)]
        entry.missed_since = entry.missed_since if entry.missed else started
        self._note(entry, sight, missed=entry.missed + 1)
        if entry.believed and entry.missed >= target.check.fall:
            entry.believed = False
            if not sight.witnessed(target, entry.missed_since):
                return self._turn(target, entry, State())
        if entry.waits is not None or entry.state.health is Health.FAILING:
            entry.state = entry.state.interrupted()
        entry.waits = None
        sight.waiting.pop(target, None)
        if entry.state.health is Health.FAILING:
            return []
        entry.waits = started
        sight.waiting[target] = None
        return self._witness(target, sight, now)

    def skipped(self, target: Target) -> list[Target]:
        """Take a probe that could not be made: what comes next begins a new row; the targets whose health it turns."""
        entry = self._entries.get(target)
        if entry is None:
            return []
        entry.waits = None
        self._sights[way_of(target)].waiting.pop(target, None)
        believed, entry.believed = entry.believed, False
        return self._turn(target, entry, State() if believed else entry.state.interrupted())

    def _witness(self, target: Target, sight: _Sight, now: float) -> list[Target]:
        """Count the failure that waits, if another target answers."""
        entry = self._entries[target]
        if entry.waits is None or not sight.witnessed(target, entry.waits):
            return []
        entry.waits = None
        del sight.waiting[target]
        return self._turn(target, entry, entry.state.failed(target.check, self._damping, now))

    def _turn(self, target: Target, entry: _Entry, state: State) -> list[Target]:
        before, entry.state = entry.state, state
        self._list(target, state)
        return [target] if state.health is not before.health else []

    def _list(self, target: Target, state: State) -> None:
        if state.health is Health.HEALTHY:
            self._out.pop(target, None)
        else:
            self._out[target] = None

    @staticmethod
    def _note(entry: _Entry, sight: _Sight, *, missed: int) -> None:
        sight.silent += (missed >= SILENT) - (entry.missed >= SILENT)
        entry.missed = missed

    def _forget(self, target: Target) -> State:
        entry = self._entries.pop(target)
        self._out.pop(target, None)
        sight = self._sights[way_of(target)]
        self._note(entry, sight, missed=0)
        sight.members -= 1
        sight.waiting.pop(target, None)
        if sight.first == target:
            sight.first, sight.first_at = None, NEVER
        return entry.state
