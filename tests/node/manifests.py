"""What is applied to the node beside the chart: namespaces, and something that a user runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NAMESPACE, AGENTS = "homing", "homing-agent"
"""Of operator and DNS server, at Pod Security level restricted; of the agents, which need the host network."""

ZONES = "homing-dns"
"""The Service that answers for kind Zone."""

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The security context of a container, as Pod Security level restricted asks for."""


def namespace(name: str, level: str) -> dict[str, Any]:
    """A namespace at a level of Pod Security."""
    labels = {"pod-security.kubernetes.io/enforce": level}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def workload(name: str, space: str, image: str) -> Iterator[dict[str, Any]]:
    """Something that a user runs, with a Service that asks for a name."""
    yield namespace(space, "restricted")
    labels = {"app": name}
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["up", "--web=:8080"],
        "securityContext": RESTRICTED,
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/livez"}, "periodSeconds": 1, "timeoutSeconds": 5},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": space, "annotations": {"k8s.pootis.network/dns": "true"}},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
