"""The timeline as places in a picture."""

from __future__ import annotations

from datetime import UTC

from homing.model.address import Family
from homing.store import Marks
from homing.web.timeline import DAY, RANGES, timeline

END = 1_700_000_000.0
START = END - DAY


def test_addresses_fill_the_time_that_they_held() -> None:
    """The first from the edge if it is older, each until the next, the last until now."""
    held = [(START - 500, "8.8.8.1"), (START + DAY / 4, "8.8.8.2"), (START + DAY / 2, "8.8.8.3")]
    found = timeline(Marks(START, END, DAY / 240, {Family.V4: held}), "24h", UTC)
    (lane,) = found.lanes
    assert [(one.left, one.width, one.address) for one in lane.segments] == [
        (0.0, 25.0, "8.8.8.1"),
        (25.0, 25.0, "8.8.8.2"),
        (50.0, 50.0, "8.8.8.3"),
    ]
    assert (lane.family, lane.changes) == (4, 2)


def test_a_step_with_a_failure_is_drawn_as_failed() -> None:
    """It is not drawn as good too."""
    found = timeline(Marks(START, END, DAY / 240, {}, (START + 10, START + DAY / 2), (START + 20,)), "24h", UTC)
    assert [tick.left for tick in found.updates] == [50.0]
    assert [tick.left for tick in found.failures] == [0.02]


def test_every_range_has_an_axis_that_people_read() -> None:
    """Whole hours and days, inside the picture, from left to right."""
    labels = {}
    for span, seconds in RANGES.items():
        axis = timeline(Marks(END - seconds, END, seconds / 240), span, UTC).axis
        assert 4 <= len(axis) <= 8
        assert all(0 < tick.left < 97 for tick in axis)
        assert [tick.left for tick in axis] == sorted(tick.left for tick in axis)
        labels[span] = axis[-1].label
    assert labels == {"24h": "20:00", "7d": "Tue 14", "90d": "30 Oct"}
