"""Helm for the tests: rendering the chart, and the sets of values that tests render it with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.deploy.manifests import CHART
from tests.deploy.programs import found

Object = dict[str, Any]

NODE_DNS = (
    "nodeDNS.enabled=true", "config.zone=lb.example.org", "config.soaEmail=admin@example.org",
    r"config.soaNS=ns1.lb.example.org:192.0.2.53\,2001:db8::53;ns2.example.net",
)  # fmt: skip
GANDI = ("global.domain=example.org", "global.recordName=www", "gandi.apiKey=key-of-the-house-0815")

SETS: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "development": ("-f", str(CHART / "values-development.yaml")),
    "production": ("-f", str(CHART / "values-production.yaml")),
    "one name at Gandi": (
        *GANDI, "daemon.updateInterval=600", "service.type=LoadBalancer", "service.tokenSecret=homing-page",
        "monitoring.enabled=true",
        "ingress.enabled=true", "ingress.tls.enabled=true", "ingress.className=nginx",
        "podDisruptionBudget.minAvailable=1", "networkPolicy.enabled=true",
        "operator.extraVolumes[0].name=ca", "operator.extraVolumes[0].configMap.name=house-ca",
        "operator.extraVolumeMounts[0].name=ca", "operator.extraVolumeMounts[0].mountPath=/etc/homing/ca",
        "networkPolicy.egress[0].ports[0].port=443", "commonLabels.team=network", "imagePullSecrets[0].name=registry",
    ),
    "a key from a vault": (
        "global.domain=example.org", "gandi.externalSecret.enabled=true",
        "gandi.externalSecret.secretStoreRef.name=vault", "gandi.externalSecret.secretStoreRef.kind=ClusterSecretStore",
        "gandi.externalSecret.remoteRef.key=gandi", "gandi.externalSecret.remoteRef.property=api-key",
    ),
    "node DNS alone": (
        "crds.install=false", "operator.enabled=false", *NODE_DNS,
        "nodeDNS.autoscaling.enabled=true", "nodeDNS.hostPort=53",
    ),
    "on every node": (
        *NODE_DNS, "agent.enabled=true", "agent.sites={berlin,wien}", "dns.enabled=true", "dns.kind=DaemonSet",
        "dns.hostNetwork=true", "nodeDNS.service.type=NodePort", "nodeDNS.service.nodePort=30053",
        "config.defaultIPs=auto",
        *(f"{part}.extraVolumes[0].name=more" for part in ("agent", "dns", "nodeDNS")),
        *(f"{part}.extraVolumes[0].secret.secretName=more" for part in ("agent", "dns", "nodeDNS")),
        *(f"{part}.extraVolumeMounts[0].name=more" for part in ("agent", "dns", "nodeDNS")),
        *(f"{part}.extraVolumeMounts[0].mountPath=/etc/homing/more" for part in ("agent", "dns", "nodeDNS")),
    ),
    "with a volume": (
        "dns.enabled=true", "dns.kind=StatefulSet", "dns.autoscaling.enabled=true",
        "operator.watchNamespaces={homing,web}",
        "dns.persistence.storageClassName=fast", "dns.port=53",
        "dns.tsigSecrets[0].namespace=web", "dns.tsigSecrets[0].name=tsig",
        "networkPolicy.enabled=true", "monitoring.enabled=true", "service.enabled=false",
    ),
}  # fmt: skip
"""Sets of values by what they are for."""


def flags(values: tuple[str, ...]) -> list[str]:
    """Words for helm: -f FILE as it is, anything else behind --set."""
    words = list(values)
    return [word if word == "-f" or word.endswith(".yaml") else f"--set={word}" for word in words]


class Said(NamedTuple):
    """How helm ended, and what it printed."""

    status: int
    out: str
    error: str


def helm(*words: str, kubeconfig: Path | None = None) -> Said:
    """Run helm; without a kubeconfig it knows of no cluster."""
    environment = {"HOME": "/nonexistent", "KUBECONFIG": str(kubeconfig or "/nonexistent")}
    done = subprocess.run(
        [str(found("helm")), *words], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)


@cache
def render(*values: str, release: str = "homing", namespace: str = "homing") -> str:
    """The chart as text. Raises AssertionError with what helm says."""
    said = helm("template", release, str(CHART), f"--namespace={namespace}", *flags(values))
    assert said.status == 0, said.error
    return said.out


def objects(text: str) -> list[Object]:
    """The objects of a text."""
    return [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]  # ten times as fast


def of_kind(items: list[Object], *kinds: str) -> Iterator[Object]:
    """Those of some kinds."""
    return (item for item in items if item["kind"] in kinds)


def pods(items: list[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod there would be, with its name: template or test."""
    for item in items:
        if item["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
            template = item["spec"]["template"]
            for claim in item["spec"].get("volumeClaimTemplates", ()):
                name = claim["metadata"]["name"]
                template["spec"]["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": name}})
            yield item["metadata"]["name"], template
        elif item["kind"] == "Pod":
            yield item["metadata"]["name"], item
