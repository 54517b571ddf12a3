"""A program of the control plane lives as long as the run that started it, no longer and no shorter."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.cluster.process import Process
from tests.waiting import until

_RUN = """
import sys
from pathlib import Path
from tests.cluster.process import Process
process = Process(Path(sys.argv[1]), ["sleep", "600"])
process.start()
print(process.pid, flush=True)
sys.stdin.read()
"""


def sleeps(pid: int) -> bool:
    """Whether this process runs a program ``sleep`` now."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="parent death signals are Linux's")
def test_it_dies_with_a_run_that_is_killed(tmp_path: Path) -> None:
    """A run that has no time to clean up leaves no program behind."""
    command = [sys.executable, "-c", _RUN, str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        until(lambda: sleeps(pid), what="the program, in the place of what set it up")
        run.kill()
    until(lambda: not sleeps(pid), what="the end of the program")


def test_it_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    """A program started in a thread that ends runs on, until it is stopped."""
    process = Process(tmp_path / "log", ["cat", "/dev/stdin", str(tmp_path / "fifo")])
    os.mkfifo(tmp_path / "fifo")
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()
    with (tmp_path / "fifo").open("w"):  # which waits until the program reads
        assert process.is_running
        process.stop()
    assert process.pid == 0
