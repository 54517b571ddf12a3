"""The first moments of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

UNSHARE = ("unshare", *(() if os.geteuid() == 0 else ("-Ur",)), "-pf", "--kill-child")
"""Makes its child PID 1 of namespaces of its own, as a container's first process is."""


@pytest.fixture(autouse=True, scope="module")
def _namespaces() -> None:
    try:
        subprocess.run([*UNSHARE, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"process namespaces cannot be had here: {error}")


@pytest.mark.parametrize(
    "words",
    [
        ("up", "--dns", "off", "--web", "off"),
        ("dns", "--zone-dir", "."),
        ("operator", "--kubeconfig", "there-is-none"),
    ],
)
def test_pid_1_can_be_ended_while_it_starts(tmp_path: Path, words: tuple[str, ...]) -> None:
    """SIGTERM ends the first process of a container at once while it still imports what it is made of. The kernel gives
    PID 1 only signals that it has a handler for."""
    command = [*UNSHARE, sys.executable, "-X", "importtime", "-m", "homing", *words]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as outer:
        assert outer.stderr is not None
        alarm = threading.Timer(10.0, outer.kill)
        alarm.start()
        try:
            told: Iterator[str] = iter(outer.stderr)
            assert any(line.split()[-1] == "click" for line in told)
            (first,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            os.kill(int(first), signal.SIGTERM)
            rest = list(told)
            status = outer.wait()
        finally:
            alarm.cancel()
            outer.kill()
    assert status == 128 + signal.SIGTERM
    assert not any(line.split()[-1] == "homing.app.cli" for line in rest), "it went on"
