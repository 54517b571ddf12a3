"""Stands in for the programs that the reader of a guide runs: ``python -m tests.docs.programs NAME WORDS``.

Each is held against the real thing as far as that goes here: what can run is run, what would change a cluster is asked
of the API server without doing it, and of what needs machines that are not here at least the words are right.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tests.docs.blocks import ROOT

STATE = "READER_CLUSTER"
"""The variable with the folder of kubectl and helm; without it the reader is alone in a network namespace."""

LASTING = ("up", "demo", "operator", "agent", "cluster")
"""What runs until it is told to stop, beside ``homing dns`` without a command behind it."""

FAILS_ALONE = {"detect": 4, "doctor": 1, "status": 1}
"""Exit statuses beside 0 where there is no internet, so that no name is right, and no pods run."""

MUTATING = ("apply", "create", "annotate", "label", "delete", "scale", "patch", "set", "taint", "replace")

OF_PODS = re.compile(r"timed out|pod is not running|no (matching )?pods|waiting for|deadline exceeded", re.IGNORECASE)
"""What kubectl says where all is there but pods, which need a machine."""


def homing(words: list[str]) -> int:
    """The real command line parses it; what ends by itself is run."""
    path = parsed(words)
    lasting = path[-1:] and (path[-1] in LASTING or path == ["dns"] or "--watch" in words)
    if os.environ.get("READER_PARSES"):
        return 0
    alone = path in (["detect"], ["plan"]) or (path == ["doctor"] and "--kubernetes" not in words)
    if os.environ.get(STATE) and (lasting or alone):
        return 0  # there the network is that of the machine, and nobody is to be asked
    if lasting:
        os.execv(sys.executable, [sys.executable, "-m", "homing", *words])
    return run(sys.executable, "-m", "homing", *words, fine={0, FAILS_ALONE.get(" ".join(path), 0)})


def parsed(words: list[str]) -> list[str]:
    """The names of the command that these words call. Ends with click's message where they call none."""
    import click

    try:
        return called(words)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


def called(words: list[str]) -> list[str]:
    """The same. Raises click.ClickException."""
    import click

    from homing.app.cli import cli

    path: list[str] = []
    group, context, rest = cli, click.Context(cli, info_name="homing"), words
    while rest and not (group is cli and rest[0].startswith("-")):
        name, command, rest = group.resolve_command(context, rest)
        assert name is not None
        assert command is not None
        path.append(name)
        try:
            context = command.make_context(name, list(rest), parent=context)
        except click.exceptions.Exit:  # --help
            break
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if not isinstance(command, click.Group):
            break
        group = command
    return path


def kubectl(words: list[str]) -> int:
    """A real API server is asked; what would change it, without doing it."""
    verb = verb_of(words)
    if verb in MUTATING and not any(word.startswith("--dry-run") for word in words):
        words = [*words, "--dry-run=server"]
    if verb in ("wait", "port-forward", "rollout", "logs", "exec"):
        short = {"wait": ["--timeout=0s"], "rollout": ["--timeout=1s"], "port-forward": ["--pod-running-timeout=1s"]}
        done = subprocess.run(
            [program("kubectl"), *words, *short.get(verb, [])], capture_output=True, text=True, check=False
        )
        sys.stderr.write(done.stderr)
        return 0 if OF_PODS.search(done.stderr) else done.returncode
    return run(program("kubectl"), *words)


def helm(words: list[str]) -> int:
    """The chart is rendered with the values of the page, and ``helm test`` has a release to look at."""
    verb = verb_of(words)
    instead = {"install": "template", "upgrade": "template", "test": "status"}.get(verb, verb)
    gone = ("--install", "--reuse-values") if instead == "template" else ()
    more = ["--dry-run"] if verb == "uninstall" else []
    words = [instead if word == verb else word for word in words if word not in gone]
    return run(program("helm"), *words, *more, quiet=instead != verb)


def verb_of(words: list[str]) -> str:
    """The first word that is no flag and no namespace."""
    return next((word for before, word in pairwise(["", *words]) if word[0] != "-" and before != "-n"), "")


def dig(words: list[str]) -> int:
    """A server of the page is asked until it answers; where there is none the words are those of dig."""
    if os.environ.get(STATE):
        words = [re.sub("^@.*", "@127.0.0.1", word) for word in words]
        return run(program("dig"), "+time=1", "+tries=1", *words, fine={0, 9, 10})
    if "+trace" in words:
        return run(program("dig"), "+time=1", "+tries=1", *words, fine={0, 9, 10})
    for _ in range(50):
        done = subprocess.run(
            [program("dig"), "+time=1", "+tries=1", *words], capture_output=True, text=True, check=False
        )
        if done.returncode != 9:
            break
        time.sleep(0.1)
    sys.stdout.write(done.stdout)
    return done.returncode


def make(words: list[str]) -> int:
    """The target is there."""
    return run(program("make"), "--dry-run", f"--directory={ROOT}", *words, quiet=True)


def pip(words: list[str]) -> int:
    """What is installed is this project, with extras that it has."""
    verb, *rest = words
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in rest:
        name, _, extras = word.rstrip("]").partition("[")
        if name != project["name"] or set(extras.split(",")) - {"", *project["optional-dependencies"]}:
            return refused(f"pip install {word}: it has no such extra")
    return 0 if verb == "install" and rest else refused("pip installs")


def uvx(words: list[str]) -> int:
    """As ``homing``."""
    return homing(words[1:]) if words[0] == "homing" else refused(f"uvx {words[0]}")


def docker(words: list[str]) -> int:
    """The Dockerfile and the secrets' files are there; behind the image's name come words of ``homing``."""
    verb, *rest = words
    if verb == "run":
        parsed(rest[rest.index("homing") + 1 :])
        return 0
    if verb == "build":
        named = [rest[rest.index("-f") + 1], *(word.partition("src=")[2] for word in rest if "src=" in word)]
        missing = [name for name in named if not Path(name).exists()]
        return refused(f"there is no {', '.join(missing)}") if missing else 0
    return 0 if verb in ("push", "tag", "load") else refused(f"docker {verb}")


def systemctl(words: list[str]) -> int:
    """The unit is where systemd finds it."""
    unit = Path("/etc/systemd/system", f"{words[-1]}.service")
    return 0 if unit.exists() else refused(f"there is no {unit}")


def git(words: list[str]) -> int:
    """Nothing of it is known here."""
    return 0 if words[0] in ("clone", "checkout") else refused(f"git {words[0]}")


def pdnsutil(words: list[str]) -> int:
    """``test_secondaries.py`` runs it."""
    return 0 if words else refused("pdnsutil")


def script(words: list[str]) -> int:
    """A script of deploy/, which ``tests/deploy`` runs: it takes the words of the page, and then finds no cluster."""
    nowhere = {**os.environ, "KUBECONFIG": "/dev/null"}
    done = subprocess.run([*words, "--dry-run"], env=nowhere, capture_output=True, text=True, check=False)
    sys.stderr.write(done.stderr)
    return 0 if "the cluster cannot be reached" in done.stderr else done.returncode


STAND_INS: dict[str, Callable[[list[str]], int]] = {
    "homing": homing, "kubectl": kubectl, "helm": helm, "dig": dig, "make": make, "pip": pip, "uvx": uvx,
    "docker": docker, "podman": docker, "systemctl": systemctl, "git": git, "pdnsutil": pdnsutil, "script": script,
}  # fmt: skip

REAL = (
    "bash", "sh", "cat", "chmod", "cp", "curl", "date", "dirname", "grep", "head", "jq", "mv", "openssl", "sed",
    "seq", "sleep", "touch", "tr", "tsig-keygen",
)  # fmt: skip
"""Programs that are run as they are. A guide that uses another one fails until it is here or above."""


SYSTEM = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def program(name: str) -> str:
    """The program itself, where its name is a stand-in's."""
    if name in ("kubectl", "helm"):
        return str(Path(os.environ[STATE], name))
    return shutil.which(name, path=SYSTEM) or sys.exit(f"there is no {name}: run tests/install-peers")


def run(*words: str, fine: frozenset[int] | set[int] = frozenset({0}), quiet: bool = False) -> int:
    """The exit status of a command, 0 where it is one of those that are fine here."""
    status = subprocess.run(words, stdout=subprocess.DEVNULL if quiet else None, check=False).returncode
    return 0 if status in fine else status


def refused(problem: str) -> int:
    """The status of a command that cannot be meant so."""
    sys.stderr.write(f"{problem}\n")
    return 1


if __name__ == "__main__":
    sys.exit(STAND_INS[sys.argv[1]](sys.argv[2:]))
