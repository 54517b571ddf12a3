"""``python behind.py FILE WORDS...``: homing whose clock is behind by the seconds that FILE holds now.

So a day passes in a minute, and what happened in it really happened. Time that is measured (timeouts, waits) is real.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from homing.effects.clock import SystemClock


def main() -> None:
    """Run it."""
    file = Path(sys.argv.pop(1))
    setattr(SystemClock, "time", lambda _: time.time() - float(file.read_text()))  # noqa: B010 - of all that there are
    from homing.app.cli import main as homing

    homing()


if __name__ == "__main__":
    main()
