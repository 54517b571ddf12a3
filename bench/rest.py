"""What the daemon costs when nothing happens: memory and processor time over all its processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.number import Number, Result
from bench.world import SETTING, at_rest, world

MEMORY_ASKED, CPU_ASKED = 90.0, 0.5
"""MB (a million bytes) of proportional set size, and percent of one core."""

SETTLE, WINDOW, WINDOWS = 10.0, 60.0, 5
"""Seconds until the daemon is at rest, seconds of a measurement, and how many. Together they see a full round."""


def measure() -> Result:
    """Memory at the end of each window, processor time during it."""
    held: dict[str, list[float]] = {"Pss": [], "Rss": [], "Private": []}
    cpu: list[float] = []
    count: list[float] = []
    with world() as lab, at_rest(lab) as homing:
        assert homing._process is not None
        root = homing._process.pid
        time.sleep(SETTLE)
        for _ in range(WINDOWS):
            before, began = cpu_seconds(root), time.monotonic()
            time.sleep(WINDOW)
            cpu.append(100 * (cpu_seconds(root) - before) / (time.monotonic() - began))
            for kind, megabytes in memory(root).items():
                held[kind].append(megabytes)
            count.append(len(processes(root)))
    numbers = (
        Number("PSS of all processes", "MB", tuple(held["Pss"]), MEMORY_ASKED),
        Number("RSS of all processes", "MB", tuple(held["Rss"])),
        Number("private memory of all processes", "MB", tuple(held["Private"])),
        Number("processor time in 60 s", "% of a core", tuple(cpu), CPU_ASKED),
        Number("processes", "", tuple(count)),
    )
    return Result(
        "rest", f"{SETTING}; five names at five providers, default intervals; one full round is seen", numbers
    )


def processes(root: int) -> list[int]:
    """A process and all its descendants."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of all processes, ended threads and children included (proc_pid_stat(5))."""
    ticks = 0
    for pid in processes(root):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(root: int) -> dict[str, float]:
    """Megabytes by kind (proc_pid_smaps(5))."""
    total = {"Pss": 0.0, "Rss": 0.0, "Private": 0.0}
    for pid in processes(root):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            key, _, rest = line.partition(":")
            kind = key.partition("_")[0] if key.startswith("Private_") else key
            if (kind in total and kind != "Private") or key in ("Private_Clean", "Private_Dirty"):
                total[kind] += int(rest.split()[0]) * 1024 / 1e6
    return total
