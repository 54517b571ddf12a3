"""A cluster of 5,000 nodes of full size that changes 100 times a second, and every answer judged: tests/scale.

    python -m bench.churn [--seconds 300] [--nodes 5000] [--json FILE]

The exit status is 1 when an answer was wrong or a query lost.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.scale.crowd import Crowd
from tests.scale.oracle import LAG_LIMIT
from tests.scale.run import churn

from bench.number import machine, write
from homing import __version__

RESULTS = Path(__file__).parent / "results" / "churn.json"

SETTING = (
    "{nodes:,} nodes of 16 kB, {services} Services with their slices in 50 namespaces, 100 changes of nodes a second;"
    " API server, etcd, controllers, kwok, the changes, the questions and the server on the same machine. An answer "
    f"is right when it is one of the views from before its query until {LAG_LIMIT:g} s after the API server's answer "
    "to the next change; half of the questions are for names that change just then"
)


def main() -> int:
    """Churn and tell."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    parser = argparse.ArgumentParser(prog="python -m bench.churn", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300, help="default: 300")
    parser.add_argument("--nodes", type=int, default=5000, help="default: 5000")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the result is kept")
    given = parser.parse_args()
    crowd = Crowd(given.nodes, given.nodes // 10)
    with tempfile.TemporaryDirectory(prefix="homing-churn-") as folder:
        found = churn(Path(folder), crowd, seconds=given.seconds)
    print(f"{found.told}: {'; '.join(found.faults) or 'good'}")
    setting = SETTING.format(nodes=given.nodes, services=crowd.services)
    kept = {"benchmark": "churn", "setting": setting, "homing": __version__}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    write(given.json, {**kept, "at": at, "machine": machine(), **found.as_json(), "faults": found.faults})
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
