"""Homing in the cluster with its internet, and what tests ask of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.image.builder import ROOT
from tests.node.internet import Internet
from tests.node.manifests import AGENTS, NAMESPACE
from tests.node.node import Node
from tests.waiting import until

PATIENCE = 60.0
"""Seconds; a pod starts within 3 when the machine is idle."""

FOLLOWS = {"www.example.de", "www.example.org", "home.example.net"}
"""Names of the examples: at Strato, at Gandi, in Knot."""

OPERATOR, DNS, AGENT = "deployment/homing-operator", "deployment/homing-dns", "daemonset/homing-agent"


@dataclass(frozen=True)
class World:
    """Homing in the cluster, and its internet."""

    node: Node
    internet: Internet
    dns: str
    """The address of the Service of the DNS server."""

    def pods(self, component: str) -> list[dict[str, Any]]:
        """The pods of a part of Homing that are not about to end."""
        namespace = AGENTS if component == "agent" else NAMESPACE
        return self.node.pods(namespace, f"app.kubernetes.io/component={component}")

    def ready(self, kind: str, name: str, namespace: str = "default") -> bool:
        """Whether an object's Ready condition is True."""
        status = self.node.get(kind, name, f"--namespace={namespace}").get("status", {})
        return any((each["type"], each["status"]) == ("Ready", "True") for each in status.get("conditions", ()))

    def holder(self, lease: str) -> str:
        """Who has a Lease."""
        spec = self.node.get("lease", lease, f"--namespace={NAMESPACE}")["spec"]
        return str(spec.get("holderIdentity") or "")

    def doctor(self) -> str:
        """What ``homing doctor`` says of the cluster, as JSON."""
        where = ("env", f"PYTHONPATH={ROOT}", f"KUBECONFIG={self.node.kubeconfig('admin')}")
        said = self.node.cell.run(
            *where, sys.executable, "-m", "homing", "doctor", "--kubernetes", "--json", check=False
        )
        return said.stdout

    def all_have(self, address: str) -> bool:
        """Whether each name that follows the WAN address has this one and no other."""
        published = self.internet.published()
        return {name for name in FOLLOWS if published.get(name) == [address]} == FOLLOWS

    def settled(self, *workloads: str) -> None:
        """Wait until Deployments and DaemonSets have all their pods, Ready and of the newest kind."""
        for each in workloads:
            namespace = AGENTS if each == AGENT else NAMESPACE
            words = ("rollout", "status", each, f"--namespace={namespace}", f"--timeout={PATIENCE:g}s")
            try:
                self.node.kubectl(*words, timeout=PATIENCE + 10)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.node.story()}") from None

    def replaced(self, component: str, old: set[str], count: int = 2) -> None:
        """Wait until a part has so many pods, all ready and none of the old ones."""

        def are_new() -> bool:
            pods = self.pods(component)
            ready = all(
                each["ready"] for pod in pods for each in pod["status"].get("containerStatuses", [{"ready": 0}])
            )
            return len(pods) == count and ready and not old & {pod["metadata"]["name"] for pod in pods}

        until(are_new, PATIENCE, f"new pods of {component}")

    def gone(self, *pods: str) -> None:
        """Wait until pods have ended, those too that linger."""
        words = ("wait", "--for=delete", f"--namespace={NAMESPACE}", f"--timeout={PATIENCE:g}s")
        self.node.kubectl(*words, *(f"pod/{name}" for name in pods), timeout=PATIENCE + 10)

    @contextmanager
    def queries(self, name: str) -> Iterator[dict[str, Any]]:
        """Meanwhile the Service is asked for a name; what became of it is there afterwards."""
        outcome: dict[str, Any] = {}
        command = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.node.asker", self.dns, name)
        with self.node.cell.popen(*command) as asker:
            try:
                yield outcome
            finally:
                said, _ = asker.communicate(timeout=30.0)
        outcome |= json.loads(said)
