"""A release's life against a real API server: installed, upgraded from an older chart, removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from homing.kube.crd import DEFINITIONS, to_yaml
from tests.cluster.control_plane import ControlPlane
from tests.deploy.chart import Said, helm
from tests.deploy.fresh import await_end
from tests.deploy.manifests import CHART

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("nothing")]

KINDS = [definition.name for definition in DEFINITIONS]

DOMAIN = """
apiVersion: homing.dev/v1alpha1
kind: Domain
metadata: {name: kept, namespace: web}
spec: {fqdn: www.example.org, addresses: {wan: {}}, providerRef: {name: gandi}}
"""

VALUES = ("-f", str(CHART / "values-production.yaml"), "--set=operator.watchNamespaces={life}")


class Release:
    """Release ``homing`` in namespace ``life``."""

    def __init__(self, plane: ControlPlane) -> None:
        self._kubeconfig = plane.kubeconfig()

    def __call__(self, verb: str, *words: str) -> Said:
        """helm, which knows the cluster."""
        return helm(*verb.split(), "homing", *words, "--namespace=life", kubeconfig=self._kubeconfig)

    def done(self, verb: str, *words: str) -> str:
        """The same; gives what it prints. Raises AssertionError when it fails."""
        said = self(verb, *words)
        assert said.status == 0, said.error
        return said.out


def older(folder: Path) -> Path:
    """The chart as an earlier version might have been: a kind has no columns, and there is a ConfigMap more."""
    made = folder / "homing"
    shutil.copytree(CHART, made)
    chart = yaml.safe_load((made / "Chart.yaml").read_text())
    (made / "Chart.yaml").write_text(yaml.safe_dump({**chart, "version": "0.0.9"}))
    file = made / "files" / "crds" / "homing.dev_domains.yaml"
    definition = yaml.safe_load(file.read_text())
    definition["spec"]["versions"][0].pop("additionalPrinterColumns")
    file.write_text(yaml.safe_dump(definition))
    gone = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-old", "namespace": "life"}}
    (made / "templates" / "old.yaml").write_text(yaml.safe_dump(gone))
    return made


def there(plane: ControlPlane) -> set[str]:
    """Every object of the cluster by name, but what the cluster itself makes of others."""
    kinds = plane.kubectl("api-resources", "--verbs=list", "--output=name").split()
    passing = ("events", "events.events.k8s.io", "endpoints", "endpointslices.discovery.k8s.io", "replicasets.apps",
               "leases.coordination.k8s.io", "controllerrevisions.apps", "pods", "componentstatuses",
               "apiservices.apiregistration.k8s.io")  # fmt: skip
    listed = plane.kubectl("get", ",".join(set(kinds) - set(passing)), "--all-namespaces", "--no-headers",
        "--output=custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name")  # fmt: skip
    return {" ".join(line.split()) for line in listed.splitlines()}


def forget_kinds(plane: ControlPlane) -> None:
    """A cluster without Homing's kinds."""
    plane.kubectl("delete", "crd", "--ignore-not-found", *KINDS)


def test_a_release_is_installed_upgraded_and_removed(fresh: ControlPlane, tmp_path: Path) -> None:
    """Kinds are upgraded with the chart; removed, it leaves nothing but them, and the Domains that people wrote."""
    forget_kinds(fresh)
    fresh.kubectl("create", "namespace", "life")
    before = there(fresh)
    release = Release(fresh)
    told = release.done("install", str(older(tmp_path)), *VALUES)
    assert "kubectl get homing --all-namespaces" in told, "NOTES say the next command"
    fresh.kubectl("wait", "--for=condition=Established", "crd", *KINDS)
    labelled = fresh.kubectl("get", "crd", "--selector=app.kubernetes.io/component=crds", "--output=name")
    assert labelled.split() == [f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in sorted(KINDS)]
    fresh.apply(DOMAIN)

    release.done("upgrade", str(CHART), *VALUES)
    assert "kept   www.example.org" in fresh.kubectl("-n", "web", "get", "hdom"), "the columns are there"
    assert "ConfigMap life of-old" not in there(fresh)
    how = ("--server-side", "--force-conflicts", "--filename", "-")
    manifest = release.done("get manifest")
    fresh.kubectl("apply", *how, stdin=manifest)
    assert fresh.kubectl("diff", *how, stdin=manifest) == ""

    release.done("uninstall")
    left = {f"CustomResourceDefinition <none> {name}" for name in KINDS} | {"Domain web kept"}
    await_end(fresh, "life-agent")
    assert there(fresh) - before == left
    release.done("install", str(CHART))
    release.done("uninstall")
    fresh.kubectl("-n", "web", "delete", "hdom", "kept")


def test_kinds_that_are_there_already_are_taken_over_when_told(fresh: ControlPlane) -> None:
    """Helm refuses what another hand made, as the Strato controller's kind is, and takes it with --take-ownership."""
    forget_kinds(fresh)
    fresh.apply(to_yaml(DEFINITIONS))
    release = Release(fresh)
    refused = release("install", str(CHART), "--create-namespace")
    assert "exists and cannot be imported into the current release" in refused.error
    release.done("install", str(CHART), "--create-namespace", "--take-ownership")
    labels: dict[str, Any] = yaml.safe_load(fresh.kubectl("get", "crd", KINDS[0], "--output=yaml"))["metadata"]
    assert labels["annotations"]["helm.sh/resource-policy"] == "keep"
    release.done("uninstall")
