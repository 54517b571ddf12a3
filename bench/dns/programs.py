"""The programs that the benchmark builds: its own in C, and CoreDNS of its Go module, kept in the user's cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

COREDNS = "v1.14.7"

SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"

_HERE = Path(__file__).parent


class CannotMeasure(Exception):  # noqa: N818 - said to a person, not handled as an error
    """A program is missing, cannot be built or does not serve; the text says which, and what to do."""


def two_cores() -> tuple[int, int]:
    """A core for the server and one for the load. Raises CannotMeasure."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise CannotMeasure("two cores are needed, one for the server and one for the load")
    return cores[0], cores[1]


def find(name: str, package: str) -> str:
    """The path of an installed program. Raises CannotMeasure."""
    path = shutil.which(name, path=SYSTEM_PATH)
    if path is None:
        raise CannotMeasure(f"{name} is not installed (Debian: apt install {package})")
    return path


def compiled(name: str, folder: Path) -> str:
    """One of this package's C programs, compiled into a folder. Raises CannotMeasure without a compiler."""
    program = folder / name
    command = [find("cc", "gcc"), "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(_HERE / f"{name}.c")]
    subprocess.run(command, check=True, timeout=120)
    return str(program)


def versions() -> dict[str, str]:
    """What is installed of the peers that come from packages, and the version of CoreDNS that is built."""
    found = {"CoreDNS": COREDNS}
    for name, program, flag in (("Knot", "knotd", "-V"), ("NSD", "nsd", "-v"), ("BIND", "named", "-v")):
        path = shutil.which(program, path=SYSTEM_PATH)
        if path is not None:
            done = subprocess.run([path, flag], capture_output=True, text=True, check=False, timeout=10)
            number = re.search(r"\d+\.[\d.]+", done.stdout + done.stderr)
            found[name] = number[0] if number else "unknown"
    return found


def coredns() -> str:
    """CoreDNS, built once (some minutes) through the Go module proxy in use. Raises CannotMeasure without Go."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homing-bench" / f"coredns-{COREDNS}"
    program = cache / "coredns"
    if not program.exists():
        go = find("go", "golang-go")
        cache.mkdir(parents=True, exist_ok=True)
        sys.stderr.write(f"bench: building CoreDNS {COREDNS}, once; this takes some minutes ...\n")
        env = {**os.environ, "GOBIN": str(cache), "CGO_ENABLED": "0"}
        done = subprocess.run(
            [go, "install", f"github.com/coredns/coredns@{COREDNS}"],
            env=env, capture_output=True, text=True, timeout=3600, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CannotMeasure(f"CoreDNS {COREDNS} cannot be built: {done.stderr.strip()[-300:]}")
    return str(program)


if __name__ == "__main__":  # what the tests need too (make controlplane)
    try:
        coredns()
    except CannotMeasure as reason:
        sys.exit(str(reason))
