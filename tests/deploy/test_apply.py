"""What is rendered is taken by a real API server as it is, and is the same a second time."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.api import ApiRefused
from tests.cluster.control_plane import ControlPlane
from tests.deploy.chart import SETS, Object, objects, of_kind, pods, render
from tests.deploy.manifests import DEPLOY, KUSTOMIZE
from tests.deploy.programs import found
from tests.deploy.schemas import LOCATION, write_schemas

pytestmark = pytest.mark.cluster

OVERLAYS = ("development", "production")

APPLIED = ("production", "one name at Gandi", "a key from a vault", "on every node", "with a volume")
"""Sets that hold each object that there is in any; the others are looked at by kubeconform."""


@pytest.fixture(scope="module")
def everything(fresh: ControlPlane, nothing: None) -> dict[str, str]:
    """Every set of the chart and every overlay as text, without helm's tests."""
    made = {name: render(*values, "crds.install=false") for name, values in SETS.items()}
    made |= {f"overlay {name}": fresh.kubectl("kustomize", str(KUSTOMIZE / "overlays" / name)) for name in OVERLAYS}
    sets = {name: [item for item in objects(text) if item["kind"] != "Pod"] for name, text in made.items()}
    fresh.kubectl("create", "namespace", "homing")
    fresh.kubectl("apply", "--server-side", "--kustomize", str(DEPLOY / "crds"))
    return {name: yaml.dump_all(items, Dumper=yaml.CSafeDumper) for name, items in sets.items()}


def unique(items: Iterator[Object]) -> list[Object]:
    """Objects that differ."""
    return list({json.dumps(item, sort_keys=True): item for item in items}.values())


@pytest.mark.parametrize("name", [*APPLIED, *(f"overlay {name}" for name in OVERLAYS)])
def test_the_server_takes_all_of_it_and_finds_no_difference_then(
    name: str, fresh: ControlPlane, everything: dict[str, str]
) -> None:
    """Applied strictly, server-side; kubectl diff is empty afterwards."""
    text = everything[name]
    how = ("--server-side", "--force-conflicts", "--filename", "-")
    fresh.kubectl("apply", "--validate=strict", *how, stdin=text)
    assert fresh.kubectl("diff", *how, stdin=text) == ""


def test_agents_reach_their_leases_from_a_namespace_of_their_own(
    fresh: ControlPlane, everything: dict[str, str]
) -> None:
    """Their account is in homing-agent, their Leases are beside the operator's, which watches them there."""
    ours = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    text = yaml.safe_dump_all(of_kind(objects(everything["on every node"]), *ours))
    fresh.kubectl("apply", "--server-side", "--force-conflicts", "--filename", "-", stdin=text)

    def may(account: str, verb: str, name: str) -> bool:
        user, _, plain = account.partition("/")
        who = f"--as=system:serviceaccount:{user}:{plain}"
        try:
            fresh.kubectl("auth", "can-i", verb, f"leases.coordination.k8s.io/{name}", "--namespace=homing", who)
        except AssertionError:
            return False
        return True

    assert may("homing-agent/homing-agent", "update", "homing-site-default")
    assert may("homing-agent/homing-agent", "update", "homing-site-berlin"), "agent.sites"
    assert not may("homing-agent/homing-agent", "update", "homing-operator")
    assert may("homing/homing-operator", "watch", "homing-site-default")


def test_schemas_of_the_running_server_fit(fresh: ControlPlane, everything: dict[str, str], tmp_path: Path) -> None:
    """kubeconform, which people run without a cluster, agrees about all of it, the kinds of others among it."""
    texts = [*everything.values(), render(), (DEPLOY / "argocd" / "production" / "project.yaml").read_text()]
    items = unique(item for text in texts for item in objects(text))
    write_schemas(fresh, {(item["apiVersion"], item["kind"]) for item in items}, tmp_path)

    def judged(items: list[Object]) -> subprocess.CompletedProcess[str]:
        flags = ["-strict", "-summary", f"-schema-location={tmp_path}/{LOCATION}", "-output=json", "-n=2"]
        return subprocess.run(
            [str(found("kubeconform")), *flags, "-"],
            input=yaml.safe_dump_all(items), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    done = judged(items)
    assert json.loads(done.stdout)["summary"] == {"valid": len(items), "invalid": 0, "errors": 0, "skipped": 0}, (
        done.stdout
    )
    wrong = next(item for item in items if item["kind"] == "ServiceMonitor")
    assert judged([{**wrong, "spec": {**wrong["spec"], "endpoint": []}}]).returncode == 1, "a typo is found"


def test_pods_are_admitted_at_the_level_of_their_namespace(fresh: ControlPlane) -> None:
    """Every pod fits Pod Security level restricted, but those on the host's network or ports."""
    for level in ("restricted", "privileged"):
        labels = {"pod-security.kubernetes.io/enforce": level}
        fresh.admin.request("POST", "/api/v1/namespaces", {"metadata": {"name": level, "labels": labels}})
        for account in ("default", *(f"homing-{part}" for part in ("operator", "agent", "dns", "node-dns"))):
            if account != "default":
                body = {"metadata": {"name": account}}
                fresh.admin.request("POST", f"/api/v1/namespaces/{level}/serviceaccounts", body)

    def refused(pod: Object, level: str) -> str:
        body = {"metadata": {"name": "tried"}, "spec": pod["spec"]}
        try:
            fresh.admin.request("POST", f"/api/v1/namespaces/{level}/pods?dryRun=All", body)
        except ApiRefused as error:
            return str(error)
        return ""

    tried = set()
    for values in SETS.values():
        for name, pod in pods(objects(render(*values))):
            ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
            host = pod["spec"].get("hostNetwork", False) or any("hostPort" in port for port in ports)
            tried.add((name, host))
            assert refused(pod, "privileged") == ""
            assert ("violates PodSecurity" in refused(pod, "restricted")) is host, (name, refused(pod, "restricted"))
            assert host or refused(pod, "restricted") == ""
    assert {("homing-agent", True), ("homing-dns", True), ("homing-dns", False), ("homing-operator", False)} <= tried


def test_applications_of_argo_cd_are_what_it_takes(fresh: ControlPlane) -> None:
    """Its own definitions accept them; development is synced by itself, production by a person."""
    seen = {}
    for file in sorted((DEPLOY / "argocd").glob("*/*.yaml")):
        text = file.read_text().replace("DESTINATION", "https://kubernetes.default.svc")
        fresh.kubectl("apply", "--validate=strict", "--server-side", "--dry-run=server", "--filename", "-", stdin=text)
        for item in of_kind(objects(text), "Application"):
            seen[file.parent.name, file.name] = item["spec"]
    assert {key for key, spec in seen.items() if "automated" in spec["syncPolicy"]} == {
        ("development", "application-helm.yaml"), ("development", "application-kustomize.yaml"),
    }  # fmt: skip
    assert len(seen) == 4
    for (environment, _), spec in seen.items():
        assert spec["project"] == f"homing-{environment}"
        source = DEPLOY.parent / spec["source"]["path"]
        assert all(
            (source / name).exists()
            for name in spec["source"].get("helm", {}).get("valueFiles", ["kustomization.yaml"])
        )
