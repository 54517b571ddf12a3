"""helm and kubeconform, and kinds of Argo CD, External Secrets, MetalLB and Prometheus: from their Go modules, once.

``make controlplane`` runs this.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster.programs import ProgramsMissing, kubernetes_version

_KUBERNETES = "-X helm.sh/helm/v3/pkg/{}.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/{}.k8sVersionMinor={}"

PROGRAMS = {
    "helm": "helm.sh/helm/v3/cmd/helm@v3.21.4",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
}

_PROMETHEUS = "example/prometheus-operator-crd/monitoring.coreos.com_"

KINDS = {
    "argocd": (
        "github.com/argoproj/argo-cd/v3@v3.5.7",
        ("manifests/crds/application-crd.yaml", "manifests/crds/appproject-crd.yaml"),
    ),
    "external-secrets": (
        "github.com/external-secrets/external-secrets@v1.3.2",
        ("config/crds/bases/external-secrets.io_externalsecrets.yaml",),
    ),
    "metallb": (
        "go.universe.tf/metallb@v0.16.2",
        ("config/crd/bases/metallb.io_ipaddresspools.yaml", "config/crd/bases/metallb.io_l2advertisements.yaml"),
    ),
    "prometheus": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        tuple(f"{_PROMETHEUS}{kind}.yaml" for kind in ("podmonitors", "prometheusrules", "servicemonitors")),
    ),
}
"""Definitions of kinds that deploy/ writes objects of: the module, and its files."""


def cached(name: str) -> Path:
    """Where a program or a file of definitions is kept, by its version."""
    source = PROGRAMS[name] if name in PROGRAMS else KINDS[name][0]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    suffix = "" if name in PROGRAMS else ".yaml"
    return cache / "homing" / f"{name}-{source.rpartition('@')[2]}" / f"{name}{suffix}"


def found(name: str) -> Path:
    """A program, or a file with definitions. Raises ProgramsMissing."""
    path = cached(name)
    if not path.exists():
        raise ProgramsMissing(f"there is no {path}: run make controlplane")
    return path


def build() -> None:
    """Build and fetch what is missing; silent when all is there. Raises ProgramsMissing."""
    absent = [name for name in (*PROGRAMS, *KINDS) if not cached(name).exists()]
    go = shutil.which("go", path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/go/bin")
    if absent and go is None:
        raise ProgramsMissing(f"{', '.join(absent)} for the tests of deploy/ need Go: https://go.dev/doc/install")
    for name in absent:
        sys.stderr.write(f"Getting {name} for the tests of deploy/, once ...\n")
        cached(name).parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached(name).parent) as folder:
            made = Path(folder, "made")
            (_install if name in PROGRAMS else _collect)(go or "", name, made)
            made.replace(cached(name))


def _install(go: str, name: str, made: Path) -> None:
    minor = kubernetes_version().split(".")[1]
    flags = " ".join(_KUBERNETES.format(where, where, minor) for where in ("chartutil", "lint/rules"))
    # Without them helm takes every cluster that it renders for without asking for Kubernetes 1.20.
    command = [go, "install", "-trimpath", "-ldflags", f"-s -w {flags}", PROGRAMS[name]]
    _run(command, name, {"CGO_ENABLED": "0", "GOBIN": str(made.parent)})
    (made.parent / name).replace(made)


def _collect(go: str, name: str, made: Path) -> None:
    module, files = KINDS[name]
    told = json.loads(_run([go, "mod", "download", "-json", module], name, {}))
    made.write_text("\n---\n".join(Path(told["Dir"], file).read_text() for file in files))


def _run(command: list[str], name: str, more: dict[str, str]) -> str:
    with tempfile.TemporaryDirectory() as folder:  # outside of any module
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **more}, capture_output=True, text=True, timeout=1800, check=False
        )
    if done.returncode:
        raise ProgramsMissing(f"{name} could not be had:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        build()
    except ProgramsMissing as error:
        sys.exit(str(error))
