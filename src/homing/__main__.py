"""``homing`` and ``python -m homing``. It can be ended from the first moment on; all else is imported after that."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """The ``homing`` command."""
    if os.getpid() == 1:  # of a container; the kernel gives it only signals that it has a handler for
        signal.signal(signal.SIGTERM, _end)
    from homing.app.cli import main as command  # takes a while

    command()


def _end(number: int, _frame: object) -> None:
    """End as any other process is ended by the signal, until a daemon has begun and takes over."""
    os._exit(128 + number)


if __name__ == "__main__":
    main()
