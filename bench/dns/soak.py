"""Mixed queries while the zone changes 20 times a second: no wrong answer, none lost, memory level.

    python -m bench.dns.soak [--seconds 600] [--rate 0] [--workers 2] [--json FILE]

The exit status is 1 when an answer was wrong or lost or the memory grew, and 2 when nothing can be measured here.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.dns.programs import CannotMeasure, compiled
from bench.dns.servers import Running, Server, running
from bench.dns.zone import master_file
from bench.number import machine, write
from homing import __version__

RESULTS = Path(__file__).parents[1] / "results" / "soak.json"

WINDOW = 100
"""Queries under way at once."""

GROWTH, SLACK = 1.1, 4.0
"""What the memory at the end may be of that after the first tenth; and MB more, for allocators to breathe."""


@dataclass(frozen=True)
class Soak:
    """What came of it; ``told`` is the generator's report (soak.c), memory is PSS of all processes in MB."""

    told: dict[str, Any]
    memory_early: float
    memory_late: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return float(self.told["crowd"]["answered"] / self.told["seconds"])

    @property
    def faults(self) -> list[str]:
        """What must not be, in words."""
        crowd, probes = self.told["crowd"], self.told["probes"]
        found = []
        if crowd["wrong"] + probes["wrong"]:
            found.append(f"{crowd['wrong'] + probes['wrong']} wrong answers, the first: {self.told['first wrong']}")
        if crowd["lost"]:
            found.append(f"{crowd['lost']} queries lost")
        if not crowd["answered"] or not self.told["changes"]:
            found.append("nothing was asked or changed")
        if self.memory_late > GROWTH * self.memory_early + SLACK:
            found.append(f"memory grew from {self.memory_early:.1f} to {self.memory_late:.1f} MB")
        return found


def publisher(workers: int) -> Server:
    """Homing with a zone that changes by order."""
    module = ["-m", "bench.dns.publisher"]
    return Server("publisher", lambda _, port, zone: [sys.executable, *module, str(zone), str(port), str(workers)])


def soak(
    folder: Path,
    *,
    seconds: float,
    rate: float = 0,
    workers: int = 2,
    probes: int = 0,
    cores: tuple[int, int] | None = None,
) -> Soak:
    """Ask and change for so many seconds; ``rate`` is queries a second, 0 as many as are answered.

    ``cores`` are those of the server and of the load, None where the kernel puts them. Raises CannotMeasure.
    """
    folder.mkdir(exist_ok=True)
    program, zone, result = compiled("soak", folder), folder / "bench.test.zone", folder / "result"
    zone.write_text(master_file())
    settings = {"result": result, "seconds": seconds, "rate": rate, "window": WINDOW, "probes": probes}
    pinned = ["taskset", "-c", str(cores[1])] if cores else []
    with running(publisher(workers), folder, zone, cores[0] if cores else None, conversing=True) as server:
        command = [*pinned, program, f"port={server.port}", *(f"{key}={value}" for key, value in settings.items())]
        generator = subprocess.Popen(command, stdin=server.process.stdout, stdout=server.process.stdin)
        try:
            early = _memory_after(server, generator, seconds / 10)
            code = generator.wait(seconds + 60)
        finally:
            generator.kill()
            generator.wait()
        if code:
            raise CannotMeasure(
                f"the load generator ended with {code}: {(folder / 'publisher/log').read_text()[-2000:]}"
            )
        return Soak(json.loads(result.read_text()), early, pss(server))


def _memory_after(server: Running, generator: subprocess.Popen[bytes], seconds: float) -> float:
    end = time.monotonic() + seconds
    while time.monotonic() < end and generator.poll() is None:
        time.sleep(0.05)
    return pss(server)


def pss(server: Running) -> float:
    """Memory of all its processes, shared pages by share: a million bytes of PSS (proc_pid_smaps(5))."""
    total = 0
    for pid in server.processes:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def main() -> int:
    """Soak and tell."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    parser = argparse.ArgumentParser(prog="python -m bench.dns.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600, help="default: 600")
    parser.add_argument("--rate", type=float, default=0, help="queries a second (default: as many as are answered)")
    parser.add_argument("--workers", type=int, default=2, help="processes that answer (default: 2)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the result is kept")
    given = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="homing-soak-") as folder:
            found = soak(Path(folder), seconds=given.seconds, rate=given.rate, workers=given.workers)
    except CannotMeasure as reason:
        sys.stderr.write(f"soak: {reason}\n")
        return 2
    crowd = found.told["crowd"]
    print(
        f"{crowd['answered']:,} answers in {found.told['seconds']:.0f} s ({found.rate:,.0f} a second), "
        f"{found.told['changes']:,} changes; {crowd['wrong']} wrong, {crowd['lost']} lost; "
        f"p99 {crowd['p99 ms']:.2f} ms; memory {found.memory_early:.1f} MB, then {found.memory_late:.1f} MB: "
        + ("; ".join(found.faults) or "good")
    )
    kept = {"benchmark": "soak", "homing": __version__, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    memory = {"after a tenth MB": round(found.memory_early, 1), "at the end MB": round(found.memory_late, 1)}
    write(given.json, {**kept, "machine": machine(), **found.told, "memory": memory, "faults": found.faults})
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
