"""One program of the control plane: started with a log, ended by its own pid, and never left behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STOP_LIMIT = 10.0
"""Seconds a program may take to end after SIGTERM."""

_STARTER = ThreadPoolExecutor(1, thread_name_prefix="starter")
"""The thread that starts every program. A parent death signal comes when the *thread* that started a program ends, so
one that lives as long as the test run starts them all, whoever asks for it."""


class Process:
    """A program that can be started, stopped, killed and started again. On Linux it dies with whoever started it."""

    def __init__(self, log: Path, command: Sequence[str]) -> None:
        self.name = Path(command[0]).name
        self._log = log
        self._command = list(command)
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """The process id; 0 when it was not started or was ended."""
        return self._popen.pid if self._popen else 0

    def start(self) -> None:
        """Start it; nothing if it runs."""
        if not self.is_running:
            self._popen = _STARTER.submit(self._start).result()

    def _start(self) -> subprocess.Popen[bytes]:
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*guard, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._log.parent,
                start_new_session=True,  # a Ctrl-C is for whoever started it, who then ends it in order
            )

    def stop(self) -> None:
        """End it in order, by force if it takes too long, and wait for the end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL) and wait for the end."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._popen is None:
            return
        self._popen.send_signal(number)
        try:
            self._popen.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen = None

    def tail(self, characters: int = 3000) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-characters:]
