"""The timeline: which address held when, and when names were updated, as places in a picture. Pure.

Places are percentages of the width, so that the picture fits a phone and a wide screen without scaling its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from homing.store import Marks

HOUR, DAY = 3600.0, 86400.0

RANGES = {"24h": DAY, "7d": 7 * DAY, "90d": 90 * DAY}
"""How far back each timeline looks, in seconds."""

WORDS = {"24h": "24 hours", "7d": "7 days", "90d": "90 days"}

STEPS = 240
"""What happens within one 240th of the range is drawn as one."""

_EVERY = {"24h": (4, "%H:%M"), "7d": (24, "%a %d"), "90d": (24 * 15, "%d %b")}


@dataclass(frozen=True, slots=True)
class Segment:
    """An address for as long as it held; ``alternate`` tells it from its neighbours."""

    left: float
    width: float
    address: str
    since: float
    alternate: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """One family's addresses, oldest first."""

    family: int
    segments: tuple[Segment, ...]
    changes: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the axis, or a moment at which names were updated."""

    left: float
    at: float
    label: str = ""
    is_minor: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """The picture of one range."""

    span: str
    since: float
    until: float
    lanes: tuple[Lane, ...]
    updates: tuple[Tick, ...]
    failures: tuple[Tick, ...]
    axis: tuple[Tick, ...]

    @property
    def words(self) -> str:
        """The range as people say it."""
        return WORDS[self.span]


def timeline(marks: Marks, span: str, zone: tzinfo | None = None) -> Timeline:
    """Lay out the marks of a range; labels are in ``zone``, by default this machine's."""
    width = marks.until - marks.since

    def left(at: float) -> float:
        return round(100 * min(1.0, max(0.0, (at - marks.since) / width)), 2)

    lanes = tuple(
        Lane(family.value, tuple(_segments(held, marks.until, left)), sum(at > marks.since for at, _ in held))
        for family, held in sorted(marks.addresses.items())
    )
    failed = {int((at - marks.since) / marks.step) for at in marks.failures}
    good = [at for at in marks.updates if int((at - marks.since) / marks.step) not in failed]
    return Timeline(
        span,
        marks.since,
        marks.until,
        lanes,
        tuple(Tick(left(at), at) for at in good),
        tuple(Tick(left(at), at) for at in marks.failures),
        tuple(
            Tick(left(at), at, label, bool(number % 2)) for number, (at, label) in enumerate(_axis(marks, span, zone))
        ),
    )


def _segments(held: Sequence[tuple[float, str]], until: float, place: Callable[[float], float]) -> Iterator[Segment]:
    for number, (at, address) in enumerate(held):
        end = held[number + 1][0] if number + 1 < len(held) else until
        start = place(at)
        yield Segment(start, round(place(end) - start, 2), address, at, bool(number % 2))


def _axis(marks: Marks, span: str, zone: tzinfo | None) -> Iterator[tuple[float, str]]:
    hours, form = _EVERY[span]
    at = datetime.fromtimestamp(marks.since, zone).replace(minute=0, second=0, microsecond=0)
    at = at.replace(hour=at.hour // hours * hours if hours < 24 else 0)
    while at.timestamp() <= marks.until:
        # A label at the very edge would be cut off.
        if marks.since + 0.01 * RANGES[span] <= at.timestamp() <= marks.until - 0.04 * RANGES[span]:
            yield at.timestamp(), at.strftime(form)
        at += timedelta(hours=hours)
