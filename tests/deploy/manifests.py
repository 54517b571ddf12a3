"""What the chart and Kustomize hold of other things: ``make manifests`` writes it by this module.

The chart has copies of kinds, rights and alerts, since a chart is packed alone. Kustomize's base and components are the
chart's templates, rendered, so that the users of both run the same.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.programs import ProgramsMissing
from tests.deploy.programs import found

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm" / "homing"
KUSTOMIZE = DEPLOY / "kustomize"

COPIED = (
    "crds/*_*.yaml",
    *(f"rbac/{name}.yaml" for name in ("agent", "dns", "node-dns", "operator", "operator-scoped")),
    "monitoring/alerts.yaml",
    "monitoring/dashboard.json",
)
"""Files of deploy/ of which the chart has copies; one that is not there yet is kept by the chart alone."""

RENDERED = {
    "base/operator.yaml": [],
    "components/agent/agent.yaml": ["operator.enabled=false", "agent.enabled=true"],
    "components/dns/dns.yaml": ["operator.enabled=false", "dns.enabled=true"],
}

HEADER = "# Written by make manifests from deploy/helm/homing.\n"

Object = dict[str, Any]


def expected() -> Iterator[tuple[Path, str]]:
    """Every file that is made, and what it has to hold."""
    for pattern in COPIED:
        for source in sorted(DEPLOY.glob(pattern)):
            yield CHART / "files" / source.relative_to(DEPLOY), source.read_text()
    for name, values in RENDERED.items():
        objects = [plain(item) for item in rendered(["crds.install=false", *values])]
        yield KUSTOMIZE / name, HEADER + yaml.safe_dump_all(objects, sort_keys=False, width=120)


def rendered(values: list[str]) -> list[Object]:
    """The chart's objects, without its tests."""
    flags = [f"--set={value}" for value in values]
    command = [str(found("helm")), "template", "homing", str(CHART), "--namespace=homing", "--skip-tests", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [item for item in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if item]


def plain(item: Object) -> Object:
    """An object without what only Helm's releases have."""
    for meta in (item["metadata"], item.get("spec", {}).get("template", {}).get("metadata", {})):
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            meta.get("labels", {}).pop(label, None)
    return item


if __name__ == "__main__":
    try:
        for path, text in expected():
            path.write_text(text)
    except ProgramsMissing as error:
        sys.exit(str(error))
