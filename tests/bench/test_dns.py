"""The DNS benchmark judges fairly, and its generators notice what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from bench.dns import judge, loads
from bench.dns.loads import LOADS, Round
from bench.dns.programs import compiled
from bench.dns.servers import running
from bench.dns.soak import publisher
from bench.dns.zone import master_file

compiles = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler (Debian: gcc)"
)


def measured(*microseconds: float) -> list[Round]:
    """Rounds that cost so much."""
    return [Round(each, 1e5, 1.0, 0.0, 0, "", 0.1, 0.2, 0.0, 0) for each in microseconds]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """A slow moment that met both servers does not count against one."""
    rounds = {"hot": {"Homing": measured(3.0, 9.0, 3.1), "Knot": measured(3.0, 10.0, 3.0)}}
    (row,) = judge.rows(rounds, "Homing")
    assert (row.judged, row.met) == (1.0, True)
    assert "hot: Homing to Knot" in judge.verdicts([row])


def test_better_than_a_peer_is_judged_from_below() -> None:
    """CoreDNS has to take five times as long."""
    rounds = {"resolver": {"Homing": measured(5.0), "CoreDNS": measured(24.0)}}
    (row,) = judge.rows(rounds, "Homing")
    assert (row.judged, row.met) == (4.8, False)


@compiles
@pytest.mark.alone
@pytest.mark.parametrize(("content", "wrong"), [("", False), ("198.18.0.7", True)])
def test_the_generator_knows_the_zone(tmp_path: Path, content: str, wrong: bool) -> None:
    """All answers from the benchmark's zone are right; those with an address of another name are not."""
    zone = tmp_path / "bench.test.zone"
    zone.write_text("\n".join(_altered(line, content) for line in master_file().splitlines()) + "\n")
    program = compiled("load", tmp_path)
    calm = [load for load in LOADS if not load.window]
    core = min(os.sched_getaffinity(0))
    with running(publisher(1), tmp_path, zone, None, conversing=True) as server:
        found = [loads.run(program, load, server, seconds=0.3, window=50, cores=(core, core)) for load in calm]
    assert [each.lost for each in found] == [0, 0, 0]
    assert [bool(each.wrong) for each in found] == [wrong, wrong, wrong]


def _altered(line: str, content: str) -> str:
    return f"{line.rpartition(' ')[0]} {content}" if content and line.startswith("a4") and " A " in line else line
