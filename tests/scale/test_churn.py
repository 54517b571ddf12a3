"""A cluster that never rests is answered right at every moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scale.crowd import Crowd
from tests.scale.run import QUIET, churn

pytestmark = pytest.mark.cluster

SECONDS = 30.0
"""``make soak`` takes 5,000 nodes and 5 minutes (bench/churn.py). How much happens is the machine's to say."""

LAG_LIMIT = 5.0
"""Seconds: on a busy machine the API server itself tells watchers late. ``make soak`` allows one second."""


@pytest.mark.usefixtures("untraced")
def test_no_answer_is_wrong_and_none_is_lost_while_nodes_change(tmp_path: Path) -> None:
    """100 nodes a second become ready or not, move, are deleted and made; Services and their endpoints change too."""
    found = churn(tmp_path, Crowd(1000, 100, 10), seconds=SECONDS, rates=QUIET, lag_limit=LAG_LIMIT)
    assert found.faults == [], found.told
    assert found.node_changes > 5 * SECONDS
    assert found.asked > 50 * SECONDS
