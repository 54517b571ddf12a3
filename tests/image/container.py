"""The image in a container of Podman: with read-only files, no capability and no network but loopback, unless told."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.image.builder import Image, folder, storage
from tests.waiting import until

_LIMIT = 30.0
"""Seconds that Podman may take for a command."""

_ULIMITS = ["--ulimit=nofile=20000:20000", "--ulimit=nproc=10000:10000"]
"""Podman's own limits are above what a sandbox may set."""


class Container:
    """While entered, it runs; its words are the arguments of ``homing``."""

    def __init__(self, image: Image, *words: str, flags: tuple[str, ...] = ()) -> None:
        self._command = ["run", "--detach", *strict(image, flags), *words]
        self._id = ""

    def __enter__(self) -> Self:
        done = podman(*self._command)
        assert done.returncode == 0, done.stderr
        self._id = done.stdout.strip()
        return self

    def __exit__(self, *_: object) -> None:
        podman("rm", "--force", "--volumes", "--time=0", self._id)

    @property
    def pid(self) -> int:
        """Its process, as the host sees it."""
        return int(self.inspect()["State"]["Pid"])

    def inspect(self) -> dict[str, Any]:
        """What Podman knows of it."""
        return dict(json.loads(podman("inspect", self._id).stdout)[0])

    def status(self) -> dict[str, str]:
        """The kernel's word on its process: identity, capabilities."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def log(self) -> str:
        """What it said."""
        done = podman("logs", self._id)
        return done.stdout + done.stderr

    def inside(self, *command: str) -> str:
        """What a command of the host prints in the container's network."""
        where = ["nsenter", "-t", str(self.pid), "-n", *command]
        return subprocess.run(where, capture_output=True, text=True, timeout=_LIMIT, check=False).stdout

    def until_says(self, text: str) -> None:
        """Wait for a text in its log."""
        until(lambda: text in self.log(), 20.0, f"{text!r} in the log")

    def stop(self) -> int:
        """End it as an orchestrator does, by SIGTERM; its exit status, 137 when it had to be killed."""
        podman("stop", "--time=10", self._id)
        return int(self.inspect()["State"]["ExitCode"])


def once(image: Image, *words: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A container that ends by itself: its exit status and what it said."""
    return podman("run", "--rm", *strict(image, flags), *words)


def strict(image: Image, flags: tuple[str, ...]) -> list[str]:
    """What each container is run with."""
    closed = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--network=none"]
    return ["--pull=never", *closed, "--security-opt=no-new-privileges", *_ULIMITS, *flags, image.name]


def podman(*words: str) -> subprocess.CompletedProcess[str]:
    """A command of Podman on the images of the cache."""
    settings = folder() / "containers.conf"
    settings.write_text('[containers]\ndefault_ulimits = []\n[engine]\nevents_logger = "none"\n')
    return subprocess.run(
        ["podman", *storage(), "--runtime=runc", "--cgroup-manager=cgroupfs", *words],
        env={**os.environ, "CONTAINERS_CONF": str(settings)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
