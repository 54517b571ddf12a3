"""Gets what the real node needs, once; says in one line why its tests are skipped where there can be none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cluster.programs import NODE_PROGRAMS, ProgramsMissing, build
from tests.node.cell import hindrance

INSTALL = Path(__file__).parents[1] / "install-peers"


def main() -> int:
    """Get it; the exit status says whether there can be a node."""
    reason = hindrance()
    if not reason and subprocess.run([INSTALL, "node"], check=False).returncode:
        reason = "its packages are not there"
    if not reason:
        try:
            build(NODE_PROGRAMS)
        except ProgramsMissing as error:
            reason = str(error)
    if reason:
        sys.stderr.write(f"The tests on a real node (tests/node) are skipped: {reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
