"""A change of the router's address reaches the Domains of a cluster in the home: the examples, as they are."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from tests.cluster.house import Accounts
from tests.cluster.programs import program
from tests.lab import layout
from tests.lab.lab import Lab
from tests.lab.namespaces import obstacle
from tests.lab.peers import start_knot
from tests.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.cluster]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PROBE_INTERVAL = 2
"""Seconds between two looks of the Site at its address; the rest of it is as it comes."""

FOLLOW_LIMIT = 10.0
"""Seconds from the router's change until all three names have followed."""


class HomeCluster:
    """A control plane, an operator and the agents of two nodes, all in the lab's home."""

    def __init__(self, lab: Lab, folder: Path, *, dns: bool = False) -> None:
        """With ``dns`` a DNS server publishes the Zones, too."""
        self.lab = lab
        self.folder = folder
        self._dns = dns
        self.kubeconfig = folder / "state" / "kubeconfig"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            state = f"--state={self.folder / 'state'}"
            plane = self._start(stack, "cluster", "tests.cluster", "--bare", state, "--nodes=2")
            until(lambda: plane.poll() is not None or "export KUBECONFIG" in self.log("cluster"), 60, "a control plane")
            assert plane.poll() is None, self.log("cluster")
            self._start(
                stack,
                "operator",
                *("homing", "operator", "--strato-cooldown=1"),
                f"--strato-server=https://{layout.STRATO}/nic/update",
                *self._flags(8080),
            )
            for number in (1, 2):
                words = ("homing", "agent", f"--node-name=node-{number}")
                self._start(stack, f"agent-{number}", *words, *self._flags(8080 + number))
            if self._dns:
                serves = ("homing", "dns", "--kubernetes", "--bind=127.0.0.1", "--port=5300", "--web=127.0.0.1:8083")
                more = ("--workers=1", f"--state={self.folder / 'dns'}", "--node-name=-", "--lease-duration=3")
                self._start(stack, "dns", *serves, *more, f"--kubeconfig={self.kubeconfig}", "--log-format=text")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def log(self, name: str) -> str:
        """All that a process has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """What kubectl prints in the home."""
        command = [program("kubectl"), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.folder / 'cache'}"]
        return self.lab.run("home", [*command, *words], stdin=stdin).stdout

    def objects(self, kinds: str) -> list[dict[str, Any]]:
        """Objects of these kinds."""
        return list(json.loads(self.kubectl("get", kinds, "-o", "json"))["items"])

    def domains(self) -> list[dict[str, Any]]:
        """The Domains of both kinds, but for those of the built-in zone, which wait for ``homing dns``."""
        found = self.objects("domains.homing.dev,domains.dyndns.contrib.strato.com")
        return [item for item in found if item["spec"].get("providerRef", {}).get("name") != "zone"]

    def statuses(self) -> str:
        """The statuses of these Domains as text."""
        return json.dumps([item["status"] for item in self.domains()])

    def _flags(self, port: int) -> tuple[str, ...]:
        return (
            f"--kubeconfig={self.kubeconfig}",
            f"--listen=127.0.0.1:{port}",
            "--log-format=text",
            "--lease-duration=3",
        )

    def _start(self, stack: ExitStack, name: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            argv = [sys.executable, "-m", *words]
            process = self.lab.popen("home", argv, stdout=log, stderr=log, env={"PYTHONPATH": str(ROOT)})
        stack.callback(_end, process)
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    """What the examples need."""
    return Accounts.of(EXAMPLES, tmp_path_factory.mktemp("accounts"))


@pytest.fixture(scope="module")
def lab(accounts: Accounts) -> Iterator[Lab]:
    """A home in a box where Strato and Gandi have the accounts of the examples."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    with Lab(accounts=accounts.as_json()) as made:
        yield made


def published(lab: Lab, accounts: Accounts) -> dict[str, set[str]]:
    """What Strato, Gandi and Knot themselves hold for the names of the examples."""
    assert accounts.knot is not None
    where = [f"@{accounts.knot.ipv4}", "-p", str(accounts.knot.port), "home.example.net"]
    dig = ["dig", "+short", "+time=1", "+tries=1", *where, "A", *where, "AAAA"]
    return {
        "strato": set(lab.strato()["published"]["www.example.de"]),
        "gandi": {value for values in lab.gandi().values() for value in values},
        "knot": set(lab.run("home", dig, check=False).stdout.split()),
    }


def test_the_routers_change_reaches_every_domain(lab: Lab, accounts: Accounts, tmp_path: Path) -> None:
    """All Domains of the examples are Ready with the home's addresses, at the real names of Strato and Gandi and at a
    real Knot; after a change of the router all have the new one, and nobody has the old one."""
    assert accounts.knot is not None
    knot = start_knot(lab.home, tmp_path, accounts.knot)
    try:
        knot.wait_listening({accounts.knot.port}, {accounts.knot.port})
        with HomeCluster(lab, tmp_path) as home:
            site = {"apiVersion": "homing.dev/v1alpha1", "kind": "Site", "metadata": {"name": "default"}}
            spec = {"detect": {"probeIntervalSeconds": PROBE_INTERVAL}}
            home.kubectl(
                "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(site | {"spec": spec})
            )
            home.kubectl("apply", "-f", str(EXAMPLES))
            until(lambda: all(is_ready(item) for item in home.domains()), 15, "every Domain Ready")
            assert len(home.domains()) == 3
            before, ipv6 = lab.wan_ipv4, lab.home_ipv6
            assert list(published(lab, accounts).values()) == [{before, ipv6}] * 3
            until(lambda: home.objects("sites")[0]["status"]["detectedBy"] != "operator", 15, "an agent's word")

            lab.change_wan(ipv4=layout.OTHER_WAN_IPV4)
            began = time.monotonic()
            wanted = [{layout.OTHER_WAN_IPV4, ipv6}] * 3
            until(lambda: list(published(lab, accounts).values()) == wanted, FOLLOW_LIMIT, "all names follow")
            sys.stdout.write(f"all three names followed the router after {time.monotonic() - began:.1f} s\n")

            until(lambda: home.statuses().count(layout.OTHER_WAN_IPV4) >= 3, 5, "the statuses")
            until(lambda: before not in home.statuses(), 5, "no status with the old address")
            assert all(is_ready(item) for item in home.domains())
            assert lab.strato()["blocked"] == []
            sys.stdout.write(home.kubectl("get", "homing"))
            for name in ("operator", "agent-1", "agent-2"):
                assert "Traceback" not in home.log(name)
    finally:
        knot.close()


def is_ready(item: dict[str, Any]) -> bool:
    """Whether a Domain's condition Ready is true."""
    conditions = item.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
