"""The programs of the control plane are built once, whole or not at all, and what is given is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.programs import NODE_PROGRAMS, PROGRAMS

_GO = """#!/bin/sh
# Go as a build sees it: it takes a while, and writes its output piece by piece.
set -e
echo "$*" >>"$GO_LOG"
while [ $# -gt 1 ]; do
  [ "$1" = -o ] && out=$2
  shift
done
out=${out:-$GOBIN/kwok}
echo half >"$out"
chmod 755 "$out"
sleep 0.1
case $out in *"$GO_FAILS"*) echo "no space left" >&2; exit 1 ;; esac
echo whole >>"$out"
"""


class Builder:
    """``make controlplane`` with a Go that only seems to build, and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.log = folder / "go.log"
        go = folder / "bin" / "go"
        go.parent.mkdir()
        go.write_text(_GO)
        go.chmod(0o755)
        path = f"{go.parent}:{os.environ['PATH']}"
        given = {"PATH": path, "XDG_CACHE_HOME": str(self.cache), "GO_LOG": str(self.log), "GO_FAILS": "never"}
        self.environment = {**os.environ, **given}
        self.environment.pop("KUBEBUILDER_ASSETS", None)

    def start(self, *, node: bool = False, **more: str) -> subprocess.Popen[str]:
        """Start a build; of what a ``node`` needs, as ``python -m tests.node`` asks for it."""
        of_node = "from tests.cluster import programs; programs.build(programs.NODE_PROGRAMS)"
        command = [sys.executable, *(("-c", of_node) if node else ("-m", "tests.cluster.programs"))]
        environment = {**self.environment, **more}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *, node: bool = False, **more: str) -> tuple[int, str]:
        """Run a build; its exit status and what it says."""
        process = self.start(node=node, **more)
        said, _ = process.communicate(timeout=30)
        return process.returncode, said

    @property
    def built(self) -> dict[str, str]:
        """The programs in the cache with their content."""
        return {path.name: path.read_text() for path in self.cache.glob("homing/*/[!.]*")}


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    """A builder whose cache is empty."""
    return Builder(tmp_path)


def test_each_program_is_built_once(builder: Builder) -> None:
    """Two builds at once build each program once between them; a third does nothing and says nothing."""
    both = [builder.start(), builder.start()]
    said = [process.communicate(timeout=30)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert builder.built == dict.fromkeys(PROGRAMS, "half\nwhole\n")
    assert len(builder.log.read_text().splitlines()) == len(PROGRAMS)
    assert "1 of 4: kube-apiserver" in "".join(said)
    assert builder.run() == (0, "")


def test_a_failed_build_leaves_nothing_half(builder: Builder) -> None:
    """A build that fails says which program and why; the next build goes on from there."""
    status, said = builder.run(GO_FAILS="/kubectl")
    assert status == 1
    assert "kubectl could not be built:\nno space left" in said
    assert set(builder.built) == {"kube-apiserver", "kube-controller-manager"}
    status, said = builder.run()
    assert status == 0
    assert "1 of 2: kubectl" in said
    assert builder.built == dict.fromkeys(PROGRAMS, "half\nwhole\n")


def test_given_programs_are_used_and_none_built(builder: Builder, tmp_path: Path) -> None:
    """With KUBEBUILDER_ASSETS nothing is built; a program that lacks there is an error with its name."""
    given = tmp_path / "given"
    given.mkdir()
    for name in PROGRAMS[:-1]:
        (given / name).touch(mode=0o755)
    status, said = builder.run(KUBEBUILDER_ASSETS=str(given))
    assert status == 1
    assert f"KUBEBUILDER_ASSETS={given} lacks kwok" in said
    (given / "kwok").touch(mode=0o755)
    assert builder.run(KUBEBUILDER_ASSETS=str(given)) == (0, "")
    assert not builder.built
    assert not builder.log.exists()


def test_a_node_takes_more_programs(builder: Builder) -> None:
    """What a node needs is built when it is asked for, beside what is there."""
    assert builder.run()[0] == 0
    status, said = builder.run(node=True)
    assert status == 0, said
    assert "3 of 3: kube-proxy" in said
    assert set(builder.built) == {*PROGRAMS, *NODE_PROGRAMS}
