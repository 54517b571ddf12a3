"""Measures Homing's numbers, prints them beside what is asked, and keeps them as JSON.

    python -m bench.run [verdict|change|rest|help|up|cluster ...] [--json FILE]

The exit status is 1 when a number is missed, and 2 when nothing can be measured here.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.namespaces import obstacle

from bench import change, cluster, rest, startup, verdict
from bench.number import Result, as_json, table, write

RESULTS = Path(__file__).with_name("results")
"""Where each benchmark's last result is kept, unless ``--json`` names another file for all of them."""

BENCHMARKS: dict[str, Callable[[], Result]] = {
    "verdict": verdict.measure,
    "change": change.measure,
    "rest": rest.measure,
    "help": startup.measure_help,
    "up": startup.measure_up,
    "cluster": cluster.measure,
}

WITHOUT_LAB = frozenset({"help", "cluster"})
"""Benchmarks that need no network namespaces."""


def main() -> int:
    """Run the benchmarks that were named, or all but the cluster's, which is `make bench-cluster`."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Measure the numbers of Homing.")
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"one of {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to FILE, not to bench/results/")
    given = parser.parse_args()
    unknown = [name for name in given.benchmarks if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    names = given.benchmarks or [name for name in BENCHMARKS if name != "cluster"]
    reason = "" if WITHOUT_LAB.issuperset(names) else obstacle()
    if reason:
        sys.stderr.write(f"bench: {reason}\n")
        return 2
    results: list[Result] = []
    kept: list[dict[str, Any]] = []
    for name in names:
        sys.stderr.write(f"bench: {name} ...\n")
        load = os.getloadavg()[0]
        results.append(BENCHMARKS[name]())
        kept.append(as_json(results[-1], load))
        if given.json is None:
            write(RESULTS / f"{name}.json", kept[-1])
    if given.json is not None:
        write(given.json, kept)
    print(table(results))
    return 1 if any(result.missed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
