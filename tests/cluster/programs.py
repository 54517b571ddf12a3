"""The programs of the control plane: where they are, which are missing, and how they are built from source, once.

``make controlplane`` runs this.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MODULE = Path(__file__).parent / "controlplane"
"""The Go module that Kubernetes' own programs are built in."""

KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kubectl")
KWOK = "v0.8.0"
"""The kwok that keeps nodes alive which have no machine."""

PROGRAMS = (*KUBERNETES_PROGRAMS, "kwok")

NODE_PROGRAMS = ("kube-scheduler", "kubelet", "kube-proxy")
"""What a node that runs pods needs beside these (tests/node)."""

_QUIET_PERIOD = 15.0
"""Seconds between two signs of life while a program is built and no terminal is there to show a clock on."""


class ProgramsMissing(Exception):  # noqa: N818 -- says what happened
    """The control plane cannot be started or built; the text says what to do."""


def kubernetes_version() -> str:
    """The version of Kubernetes, as the Go module requires it: ``v1.35.4``."""
    return _required("require k8s.io/kubernetes")


def _required(what: str) -> str:
    """The word after some others at the start of a line of the Go module's requirements."""
    found = re.search(rf"^{re.escape(what)} (\S+)$", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise ProgramsMissing(f"{MODULE / 'go.mod'} has no line with {what}")
    return found[1]


def directory() -> Path:
    """The folder of the programs: $KUBEBUILDER_ASSETS, else one for these versions in the user's cache."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given:
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "homing" / f"controlplane-{kubernetes_version()}-kwok-{KWOK}"


def missing(wanted: Iterable[str] = PROGRAMS) -> list[str]:
    """Names of the programs to be built that are not there."""
    folder = directory()
    return [name for name in wanted if not os.access(folder / name, os.X_OK)]


def program(name: str) -> str:
    """The path of a program. etcd is that of the folder if there is one, else that of the system.

    Raises:
        ProgramsMissing: it is not there.
    """
    path = directory() / name
    if os.access(path, os.X_OK):
        return str(path)
    if name == "etcd":
        found = shutil.which("etcd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/bin:/usr/sbin")
        if found:
            return found
        raise ProgramsMissing("there is no etcd: run tests/install-peers, or install the Debian package etcd-server")
    raise ProgramsMissing(f"there is no {name} in {directory()}: run make controlplane")


def build(wanted: Collection[str] = PROGRAMS) -> None:
    """Build what is missing; silent when all is there. Two that build at once do not collide: one waits.

    Raises:
        ProgramsMissing: $KUBEBUILDER_ASSETS lacks a program, there is no Go, or a build failed.
    """
    absent = missing(wanted)
    if not absent:
        return
    if os.environ.get("KUBEBUILDER_ASSETS"):
        raise ProgramsMissing(
            f"KUBEBUILDER_ASSETS={directory()} lacks {', '.join(absent)}: put them there, or unset it to build them"
        )
    go = shutil.which("go", path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/go/bin")
    if go is None:
        raise ProgramsMissing(
            f"The tests build a Kubernetes control plane ({', '.join(absent)}) once, which needs Go {_required('go')} "
            "or newer: install it (https://go.dev/doc/install), or set KUBEBUILDER_ASSETS to a folder with them"
        )
    folder = directory()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        absent = missing(wanted)
        if absent:
            say(f"Building a Kubernetes {kubernetes_version()} control plane for the tests into {folder}, once ...")
        for number, name in enumerate(absent, 1):
            _build_one(go, name, folder, f"  {number} of {len(absent)}: {name}")


def _build_one(go: str, name: str, folder: Path, title: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as made, tempfile.TemporaryFile() as log:
        environment = {**os.environ, "CGO_ENABLED": "0"}
        if name == "kwok":
            environment["GOBIN"] = made
            flags = ["-trimpath", "-ldflags", "-s -w"]
            command = [go, "install", *flags, f"sigs.k8s.io/kwok/cmd/kwok@{KWOK}"]
        else:
            flags = ["-trimpath", "-buildvcs=false", "-ldflags", _version_flags(kubernetes_version())]
            command = [go, "build", *flags, "-o", f"{made}/{name}", f"k8s.io/kubernetes/cmd/{name}"]
        with clock(title):
            done = subprocess.run(command, cwd=MODULE, env=environment, stdout=log, stderr=log, check=False)
        if done.returncode:
            log.seek(0)
            raise ProgramsMissing(f"{name} could not be built:\n{log.read().decode(errors='replace')[-3000:]}")
        Path(made, name).replace(folder / name)


def _version_flags(version: str) -> str:
    """Linker flags without which the programs would call themselves v0.0.0, and kubectl warn about the difference."""
    place = "k8s.io/component-base/version"
    minor = version.split(".")[1]
    return f"-s -w -X {place}.gitVersion={version} -X {place}.gitMajor=1 -X {place}.gitMinor={minor}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only one that holds the lock file. The kernel lets go of it when the process ends, however that is."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another build of the control plane ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def clock(title: str) -> Iterator[None]:
    """Show that something goes on and for how long: every second on a terminal, else now and then a line."""
    ended = threading.Event()
    terminal = sys.stderr.isatty()
    start = time.monotonic()

    def line() -> str:
        return f"{title}, {time.monotonic() - start:.0f} s"

    def show() -> None:
        while not ended.wait(1.0 if terminal else _QUIET_PERIOD):
            say(line(), end="\r" if terminal else "\n")

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        say(line())


def say(text: str, end: str = "\n") -> None:
    sys.stderr.write(text + end)
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        build()
    except ProgramsMissing as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
