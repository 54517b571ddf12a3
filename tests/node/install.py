"""How Homing gets into the cluster: by its chart. Run as a program, this is helm's post-renderer."""

from __future__ import annotations

import sys
from typing import Any

import yaml

from tests.deploy.manifests import CHART
from tests.deploy.programs import found
from tests.image.builder import ROOT, Image
from tests.node import manifests
from tests.node.internet import Internet
from tests.node.manifests import NAMESPACE
from tests.node.node import Node

_LIMIT = 180.0
"""Seconds helm may take; it waits for pods."""


def install(node: Node, image: Image, internet: Internet) -> None:
    """Have Homing there, whatever was; its pods may still be on the way."""
    node.apply(manifests.namespace(NAMESPACE, "restricted"), internet.authority_for(NAMESPACE))
    values = node.folder / "values.yaml"
    values.write_text(yaml.safe_dump(_values(image, internet)))
    helm(node, "upgrade", "--install", "homing", str(CHART), f"--values={values}", *renderer())


def helm(node: Node, *words: str, namespace: str = NAMESPACE) -> str:
    """What helm prints. Raises AssertionError with what it said, ProgramsMissing."""
    folders = [f"HELM_{name}_HOME={node.folder / 'helm'}" for name in ("CACHE", "CONFIG", "DATA")]
    flags = [f"--kubeconfig={node.kubeconfig('admin')}", f"--namespace={namespace}"]
    command = ("env", *folders, f"PYTHONPATH={ROOT}", str(found("helm")), *flags, *words)
    return node.cell.run(*command, timeout=_LIMIT).stdout


def renderer() -> list[str]:
    """Flags by which what helm renders goes through this module first: the chart mounts no authorities."""
    return [f"--post-renderer={sys.executable}", "--post-renderer-args=-m", f"--post-renderer-args={__name__}"]


def of(image: Image) -> dict[str, str]:
    """The values of an image that the node has."""
    repository, _, tag = image.name.rpartition(":")
    return {"repository": repository, "tag": tag, "pullPolicy": "Never"}


def _values(image: Image, internet: Internet) -> dict[str, Any]:
    return {
        "image": of(image),
        "agent": {"enabled": True},
        "operator": {"extraArgs": internet.operator_flags},
        "dns": {
            "enabled": True,
            "workers": 1,
            "service": {"type": "ClusterIP"},
            "tsigSecrets": [{"namespace": "default", "name": "example-com-secondary"}],
        },
        "helmTest": {"name": "mail.example.com"},
    }


def _trusting(operator: dict[str, Any]) -> None:
    """Let it trust the stand-ins, by the ConfigMap of their authority."""
    pod = operator["spec"]["template"]["spec"]
    pod["volumes"].append({"name": "authority", "configMap": {"name": "authority"}})
    pod["containers"][0]["volumeMounts"].append({"name": "authority", "mountPath": "/authority"})
    pod["containers"][0]["env"].append({"name": "SSL_CERT_FILE", "value": "/authority/ca.pem"})


if __name__ == "__main__":
    for item in yaml.safe_load_all(sys.stdin):
        if item and item["kind"] == "Deployment" and item["metadata"]["name"] == "homing-operator":
            _trusting(item)
        sys.stdout.write("---\n" + yaml.safe_dump(item))
