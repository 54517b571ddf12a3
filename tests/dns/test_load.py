"""Mixed queries at half of what the server can, while its zone changes 20 times a second."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from bench.dns.soak import soak

SECONDS = 30.0
PEAK_SECONDS = 2.0


@pytest.mark.alone
@pytest.mark.usefixtures("untraced")
@pytest.mark.skipif(sys.platform != "linux", reason="the generator uses Linux's system calls")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (Debian: apt install gcc)")
def test_no_answer_is_wrong_or_lost_while_the_zone_changes(tmp_path: Path) -> None:
    """Every answer is of a version that was valid then, none is lost of 100 under way, and memory stays level."""
    peak = soak(tmp_path / "peak", seconds=PEAK_SECONDS)
    found = soak(tmp_path / "half", seconds=SECONDS, rate=peak.rate / 2)
    assert found.faults == []
    assert found.told["changes"] > SECONDS * 20 * 0.9
    assert found.rate > peak.rate / 10
