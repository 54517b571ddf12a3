"""Nodes without machines: objects that the API server has, and the kwok that lets them seem alive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlencode

from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.cluster.process import Process
from tests.cluster.programs import program

ALIVE = "test.homing.dev/kwok"
"""The label whose value names the Kwok that keeps a node alive."""

_AT_ONCE = 8

_STAGE = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
    - {key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}
  next:
    statusTemplate: |
      conditions:
      - type: Ready
        status: "True"
        reason: KubeletReady
        message: kwok keeps it alive
        lastHeartbeatTime: {{ Now | Quote }}
        lastTransitionTime: {{ Now | Quote }}
"""
"""What kwok does to a node that is not Ready; addresses stay as the test made them."""

_LET_BE = _STAGE.replace("NotIn", "In").replace('"True"', '"never"')
"""A stage for no node at all: without any, kwok would take its own."""


def node(
    name: str,
    *,
    internal: Iterable[str] = (),
    external: Iterable[str] = (),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    ready: bool = True,
) -> dict[str, Any]:
    """A Node as its kubelet would have registered it, addresses and Ready condition included."""
    addresses = [{"type": "Hostname", "address": name}]
    addresses += [{"type": "InternalIP", "address": str(ip_address(each))} for each in internal]
    addresses += [{"type": "ExternalIP", "address": str(ip_address(each))} for each in external]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": dict(labels or {}), "annotations": dict(annotations or {})},
        "status": {"addresses": addresses, "conditions": [ready_condition(ready=ready)]},
    }


def ready_condition(*, ready: bool) -> dict[str, str]:
    """A node's Ready condition, as a kubelet writes it."""
    reason = "KubeletReady" if ready else "KubeletNotReady"
    return {"type": "Ready", "status": str(ready), "reason": reason, "message": ""}


def create_nodes(api: Api, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Create nodes, several at once: about 500 a second. Made ready, they need not wait for kwok to make them so (100 a
    second); it keeps them alive all the same."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(lambda body: api.request("POST", "/api/v1/nodes", body), nodes):
            pass


def forget_nodes(api: Api, labels: Mapping[str, str]) -> None:
    """Delete all nodes that carry these labels."""
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    api.request("DELETE", f"/api/v1/nodes?{urlencode({'labelSelector': selector})}")


def is_ready(api: Api, name: str) -> bool:
    """Whether a node's Ready condition says True."""
    conditions = api.request("GET", f"/api/v1/nodes/{name}")["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


class Kwok:
    """While entered, nodes that carry the label ``ALIVE`` with its name give signs of life, and are Ready.

    A node dies alone when it loses the label, and all do when kwok stops: after the control plane's grace period.

    Args:
        plane: whose nodes.
        name: value of the label, so that several may run.
        lease_duration: of the nodes' Leases in seconds; a sign of life comes every fourth part of it.
        revives: whether a node that is not Ready becomes so; else it gets signs of life and stays as it is.
    """

    def __init__(self, plane: ControlPlane, name: str, *, lease_duration: int = 40, revives: bool = True) -> None:
        folder = plane.folder / f"kwok-{name}"
        folder.mkdir(exist_ok=True)
        (folder / "kwok.yaml").write_text(_STAGE if revives else _LET_BE)
        self.labels = {ALIVE: name}
        flags = [
            f"--kubeconfig={plane.kubeconfig()}",
            f"--config={folder / 'kwok.yaml'}",
            f"--manage-nodes-with-label-selector={ALIVE}={name}",
            f"--node-lease-duration-seconds={lease_duration}",
            "--v=ERROR",
        ]
        self._process = Process(folder / "log", [program("kwok"), *flags])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Let the nodes live."""
        self._process.start()

    def stop(self) -> None:
        """Let all of them die."""
        self._process.kill()
