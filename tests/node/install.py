"""How Homing gets into the cluster: by the chart where there is one, else by the manifests of this folder."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import yaml

from tests.cluster.programs import directory
from tests.image.builder import ROOT, Image
from tests.node.internet import Internet
from tests.node.manifests import NAMESPACE, kinds, namespace, parts, trusting
from tests.node.node import Node

CHART = Path(os.environ.get("HOMING_CHART") or ROOT / "deploy/helm/homing")

_LIMIT = 180.0
"""Seconds helm may take; it waits for pods."""


def install(node: Node, image: Image, internet: Internet) -> None:
    """Have Homing there; its pods may still be on the way."""
    node.apply(namespace(NAMESPACE, "restricted"), internet.authority_for(NAMESPACE))
    if by_chart():
        values = node.folder / "values.yaml"
        values.write_text(yaml.safe_dump(_values(image, internet)))
        helm(node, "install", "homing", str(CHART), f"--values={values}", *renderer())
    else:
        node.apply(*kinds())
        node.apply(*parts(image.name, internet))


def by_chart() -> bool:
    """Whether there are chart and helm."""
    return (CHART / "Chart.yaml").exists() and bool(_helm())


def helm(node: Node, *words: str) -> str:
    """What helm prints. Raises AssertionError with what it said."""
    folders = [f"HELM_{name}_HOME={node.folder / 'helm'}" for name in ("CACHE", "CONFIG", "DATA")]
    flags = [f"--kubeconfig={node.kubeconfig('admin')}", f"--namespace={NAMESPACE}"]
    return node.cell.run("env", *folders, f"PYTHONPATH={ROOT}", _helm(), *flags, *words, timeout=_LIMIT).stdout


def renderer() -> list[str]:
    """Flags by which what helm renders goes through this module first: the chart mounts no authorities."""
    return [f"--post-renderer={sys.executable}", "--post-renderer-args=-m", f"--post-renderer-args={__name__}"]


def _helm() -> str:
    built = sorted(str(path) for path in directory().parent.glob("helm-*/helm"))
    return shutil.which("helm") or (built[-1] if built else "")


def _values(image: Image, internet: Internet) -> dict[str, object]:
    repository, _, tag = image.name.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "agent": {"enabled": True},
        "operator": {"extraArgs": internet.operator_flags},
        "dns": {
            "enabled": True,
            "workers": 1,
            "extraArgs": ["--linger=20"],  # not ready for as long as three probes take
            "service": {"type": "ClusterIP"},
            "tsigSecrets": [{"namespace": "default", "name": "example-com-secondary"}],
        },
        "helmTest": {"name": "mail.example.com"},
    }


if __name__ == "__main__":
    for item in yaml.safe_load_all(sys.stdin):
        if item and item["kind"] == "Deployment" and item["metadata"]["name"] == "homing-operator":
            trusting(item)
        sys.stdout.write("---\n" + yaml.safe_dump(item))
