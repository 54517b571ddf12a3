"""What is measured of Homing alone: how soon all workers have a change, and memory."""

from __future__ import annotations

import statistics
from pathlib import Path

from bench.dns import loads
from bench.dns.judge import Row
from bench.dns.servers import homing, running
from bench.dns.soak import pss, soak

WORKERS = 2

PROBES = 32
"""Sockets that look for a change; their ports spread over the workers, so none is left out but once in 2 billion."""

CHANGE_P99, CHANGE_SECONDS = 20.0, 5.0
"""Milliseconds, and the seconds of a round, with 20 changes in each."""

MEMORY = 120.0
"""MB of PSS."""


def change(folder: Path, cores: tuple[int, int], *, rounds: int) -> Row:
    """From publication until every worker has answered with it, while mixed queries take all that a core gives."""
    found = [
        soak(folder / f"change-{number}", seconds=CHANGE_SECONDS, workers=WORKERS, probes=PROBES, cores=cores)
        for number in range(rounds)
    ]
    waits = tuple(float(each.told["seen"]["p99 ms"]) for each in found)
    return Row(f"change seen by all of {WORKERS} workers, p99", "ms", CHANGE_P99, waits, statistics.median(waits))


def memory(program: str, folder: Path, zone: Path, cores: tuple[int, int]) -> Row:
    """All processes of Homing after some seconds of each load."""
    folder.mkdir()
    with running(homing(WORKERS), folder, zone, cores[0]) as server:
        for load in loads.LOADS:
            loads.run(program, load, server, seconds=2, window=100, cores=cores)
        found = pss(server)
    return Row(f"memory, {WORKERS} workers, after all loads", "MB", MEMORY, (found,), found)
