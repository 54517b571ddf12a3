"""What a new user sees: ``make cluster``, ``kubectl apply -f examples/``, another WAN address, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.house import CONTROL, WAN
from tests.cluster.programs import program
from tests.lab import control
from tests.lab.namespaces import search_path
from tests.ports import free_port
from tests.waiting import until

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
MOVED = ("198.51.100.20", "2001:db8:0:1::20")
READY_LIMIT = 15.0
"""Seconds from ``kubectl apply`` until every Domain is Ready."""

FOLLOW_LIMIT = 10.0
"""Seconds from another WAN address until every name has it."""


class Tried:
    """``make cluster`` as it runs, in a folder of its own; ``knot_port`` is in the place of the examples' port."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.examples = folder / "examples"
        self.knot_port = free_port()
        shutil.copytree(EXAMPLES, self.examples)
        manifest = self.examples / "rfc2136-domain.yaml"
        text = manifest.read_text()
        assert "127.0.0.1:5310" in text
        manifest.write_text(text.replace("127.0.0.1:5310", f"127.0.0.1:{self.knot_port}"))
        command = [sys.executable, "-m", "tests.cluster", "--state", str(self.state), "--examples", str(self.examples)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.told = ""

    def wait(self) -> None:
        """Wait until it has told what to do."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told += line
            if "make move  " in line:
                return
        pytest.fail(f"it ended:\n{self.told}")

    def kubectl(self, *words: str) -> str:
        """What kubectl prints, with the kubeconfig that was told."""
        export = next(line for line in self.told.splitlines() if "export KUBECONFIG=" in line)
        kubeconfig = export.partition("KUBECONFIG=")[2].split()[0]
        command = [program("kubectl"), *words]
        env = {**os.environ, "KUBECONFIG": kubeconfig}
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=30).stdout

    def domains(self) -> dict[str, dict[str, Any]]:
        """The Domains of both kinds by name."""
        found = json.loads(self.kubectl("get", "domains.homing.dev,domains.dyndns.contrib.strato.com", "-o", "json"))
        return {item["metadata"]["name"]: item for item in found["items"]}

    def move(self, *addresses: str) -> str:
        """What ``make move`` prints."""
        command = [sys.executable, "-m", "tests.cluster.move", "--state", str(self.state), *addresses]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    def dig(self, name: str, port: int) -> set[str]:
        """What a server answers."""
        command = ["dig", "+short", "+time=1", "+tries=1", "@127.0.0.1", "-p", str(port), name]
        both = [
            subprocess.run([*command, rtype], capture_output=True, text=True, check=False) for rtype in ("A", "AAAA")
        ]
        return {line for done in both for line in done.stdout.split()}

    def published(self) -> dict[str, set[str]]:
        """The addresses that Strato, Gandi, Knot and the built-in server themselves have."""
        own = re.search(r"^  DNS +127.0.0.1:(\d+)", self.told, re.MULTILINE)
        assert own is not None
        state = control.state(self.state / CONTROL)
        return {
            "strato": set(state["strato"]["published"]["www.example.de"]),
            "gandi": {value for item in state["gandi"]["records"] for value in item["values"]},
            "knot": self.dig("home.example.net", self.knot_port),
            "zone": self.dig("home.example.com", int(own[1])),
        }

    def processes(self) -> list[str]:
        """Commands of all processes that work in the folder."""
        found: list[str] = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == self.state:
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Tried]:
    """A fresh start of it."""
    if shutil.which("knotd", path=search_path()) is None:
        pytest.skip("needs knotd: apt install knot")
    made = Tried(tmp_path)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_new_user_tries_it(tried: Tried) -> None:
    """Every Domain of the examples is Ready, follows the WAN address, and Ctrl-C leaves nothing running."""
    tried.wait()
    tried.kubectl("apply", "-f", str(tried.examples))
    until(lambda: all(_is_ready(item) for item in tried.domains().values()), READY_LIMIT, "every Domain Ready")
    assert set(tried.domains()) == {"www-example-de", "www-example-org", "home-example-net", "home-example-com"}
    addresses = set(tried.move().splitlines()[0].split()[1:])
    assert addresses == set(WAN[: len(addresses)])
    moved = MOVED[: len(addresses)]
    until(lambda: list(tried.published().values()) == [addresses] * 4, 5, "the first addresses at all four")

    assert tried.move(*moved).split() == ["WAN", *moved]
    began = time.monotonic()
    until(lambda: list(tried.published().values()) == [set(moved)] * 4, FOLLOW_LIMIT, "the new addresses at all four")
    sys.stdout.write(f"all four names followed after {time.monotonic() - began:.1f} s\n")

    def shown() -> list[list[str]]:
        return [line.split() for line in tried.kubectl("get", "homing", "--no-headers").splitlines()]

    expected = json.dumps(moved, separators=(",", ":"))
    strato = ["domain.dyndns.contrib.strato.com/www-example-de", "www.example.de", MOVED[0], "Dynamic", "true"]
    until(lambda: strato in [row[:5] for row in shown()], 5, "Strato's row")
    for fqdn in ("www.example.org", "home.example.net", "home.example.com"):
        name = fqdn.replace(".", "-")
        row = [f"domain.homing.dev/{name}", fqdn, expected, "WAN", "True", "Published"]
        until(lambda row=row: row in [each[:6] for each in shown()], 5, f"the row of {fqdn}")  # type: ignore[misc]

    assert any("homing operator" in command for command in tried.processes())
    os.killpg(tried.process.pid, signal.SIGINT)
    rest, _ = tried.process.communicate(timeout=20)
    assert (tried.process.returncode, rest.splitlines()[-1]) == (0, "cluster: stopped")
    assert tried.processes() == []


def _is_ready(item: dict[str, Any]) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
