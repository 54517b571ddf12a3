"""The scripts of deploy/ run against a real API server: what they make, that it is made once, what they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import program
from tests.deploy.manifests import DEPLOY
from tests.deploy.programs import found

SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
KEY = "key-of-the-house-0815"
RANGE = "192.0.2.100-192.0.2.110"

KUBECTL = """#!/bin/sh
printf '%s\\n' "kubectl $*" >>"$LOG"
exec {kubectl} "$@"
"""

HOMING = """#!/bin/sh
printf '%s\\n' "homing $*" >>"$LOG"
echo "  --kubernetes  look at the cluster"
"""


class Shell:
    """A person's shell: kubectl and homing are written down with their arguments."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.log = folder / "log"
        self.log.touch()
        for name, text in (("kubectl", KUBECTL.format(kubectl=program("kubectl"))), ("homing", HOMING)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self._environment = {
            "PATH": f"{folder}:{os.defpath}", "HOME": str(folder), "LOG": str(self.log),
            "KUBECONFIG": str(plane.kubeconfig()),
        }  # fmt: skip

    def run(self, script: str, *words: str, **environment: str) -> tuple[int, str]:
        """The exit status of a script, and what it prints on either output."""
        done = subprocess.run(
            [str(DEPLOY / script), *words], env={**self._environment, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def done(self, script: str, *words: str, **environment: str) -> str:
        """What a script prints that succeeds."""
        status, said = self.run(script, *words, **environment)
        assert status == 0, said
        return said

    def versions(self, *kinds: str, namespace: str = "homing") -> dict[str, str]:
        """The resourceVersions of objects."""
        listed = self.get(",".join(kinds), namespace)
        return {f"{item['kind']} {item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in listed}

    def get(self, kinds: str, namespace: str = "homing") -> list[dict[str, Any]]:
        """Objects of a namespace."""
        items: list[dict[str, Any]] = json.loads(self.plane.kubectl("-n", namespace, "get", kinds, "-o", "json"))[
            "items"
        ]
        return items


@pytest.fixture
def shell(fresh: ControlPlane, tmp_path: Path) -> Shell:
    """A shell with the fresh cluster as its context."""
    return Shell(fresh, tmp_path)


@pytest.mark.peers
def test_shellcheck_has_nothing_to_say() -> None:
    """Of any of the scripts."""
    shellcheck = shutil.which("shellcheck")
    assert shellcheck, "run tests/install-peers"
    done = subprocess.run([shellcheck, *SCRIPTS], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_each_script_says_how_it_is_used(script: Path, tmp_path: Path) -> None:
    """--help succeeds; without words, or with one it does not know, it fails in one line, and asks no cluster."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
        return subprocess.run(
            [script, *words], env=environment, capture_output=True, text=True, timeout=30, check=False
        )

    assert run("--help").stdout.startswith(f"Usage: {script.name} ")
    for words in ((), ("--quickly",), ("development", "--context")):
        done = run(*words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith(f"{script.name}: ")


@pytest.mark.cluster
@pytest.mark.usefixtures("nothing")
def test_deploy_puts_homing_into_a_cluster_once(shell: Shell) -> None:
    """A dry run changes nothing, the first run makes all, the second nothing; the key is told to nobody."""
    settings = {"GANDI_API_KEY": KEY, "TARGET_DOMAIN": "example.org", "RECORD_NAME": "home"}
    said = shell.done("deploy.sh", "development", "--dry-run", **settings)
    assert "deployment.apps/homing-operator" in said
    assert "homing" not in shell.plane.kubectl("get", "namespace")

    said += shell.done(
        "deploy.sh", "development", "--no-wait", **settings, HOMING_IMAGE="registry.example.org/homing:1"
    )
    assert shell.log.read_text().endswith("homing doctor --kubernetes\n"), "the doctor comes last"
    (secret,) = shell.get("secret")
    assert secret["data"] == {"api-key": "a2V5LW9mLXRoZS1ob3VzZS0wODE1"}
    assert "annotations" not in secret["metadata"], "nothing repeats the key"
    (config,) = [item for item in shell.get("configmap") if item["metadata"]["name"] == "esddns-config"]
    assert (config["data"]["target-domain"], config["data"]["record-name"]) == ("example.org", "home")
    images = {item["spec"]["template"]["spec"]["containers"][0]["image"] for item in shell.get("deployment")}
    assert images == {"registry.example.org/homing:1"}

    kinds = ("secret", "configmap", "service", "serviceaccount", "role", "rolebinding")
    before = shell.versions(*kinds)
    said += shell.done("deploy.sh", "development", "--no-wait", HOMING_IMAGE="registry.example.org/homing:1")
    assert shell.versions(*kinds) == before
    told = shell.done("deploy.sh", "development", "--dry-run", TARGET_DOMAIN="example.net", GANDI_API_KEY="b" * 20)
    assert "-  target-domain: example.org\n+  target-domain: example.net\n" in told
    assert shell.versions(*kinds) == before
    assert not any(word in said + told + shell.log.read_text() for word in (KEY, "b" * 20, "YmJiYmJi"))


@pytest.mark.cluster
def test_deploy_says_what_it_cannot_do(shell: Shell, tmp_path: Path) -> None:
    """A cluster that is not there, a key for no domain, what is no image or no domain."""
    config = (tmp_path / "away").with_suffix(".kubeconfig")
    config.write_text(Path(shell.plane.kubeconfig()).read_text().replace(f":{shell.plane.port}", ":9"))
    for environment, problem in (
        ({"KUBECONFIG": str(config)}, "the cluster cannot be reached"),
        ({"GANDI_API_KEY": KEY, "TARGET_DOMAIN": "a b"}, "TARGET_DOMAIN is a domain"),
        ({"HOMING_IMAGE": "a b"}, "HOMING_IMAGE is not the name of an image"),
        ({"RECORD_TTL": "soon"}, "RECORD_TTL is seconds"),
    ):
        status, said = shell.run("deploy.sh", "production", "--no-wait", **environment)
        assert (status, said.count("\n")) == (1, 1), said
        assert problem in said
    shell.plane.kubectl("delete", "configmap", "esddns-config", "-n", "homing", "--ignore-not-found")
    status, said = shell.run("deploy.sh", "production", GANDI_API_KEY=KEY)
    assert (status, said) == (
        1,
        "deploy.sh: GANDI_API_KEY is for which domain? Set TARGET_DOMAIN too, like example.org\n",
    )


@pytest.mark.cluster
def test_metallb_has_its_range_and_homing_comes_after(shell: Shell) -> None:
    """MetalLB's kinds take pool and advertisement; a second run finds it there, another range replaces the first."""
    manifest = shell.log.parent / "metallb.yaml"
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: metallb-system}\n---\n"
    manifest.write_text(namespace + found("metallb").read_text())

    def pools() -> list[str]:
        items = shell.get("ipaddresspools,l2advertisements", "metallb-system")
        return [each for item in items for each in item["spec"].get("addresses", item["spec"].get("ipAddressPools"))]

    shell.done("deploy-metallb.sh", "production", RANGE, "--no-wait", METALLB_MANIFEST=str(manifest))
    assert pools() == [RANGE, "homing"]
    assert [item["metadata"]["name"] for item in shell.get("daemonset", "homing-agent")] == ["homing-agent"]
    said = shell.done("deploy-metallb.sh", "development", "2001:db8::/120", "--no-wait", METALLB_MANIFEST="/nowhere")
    assert "MetalLB is there already." in said
    assert pools() == ["2001:db8::/120", "homing"]
    said = shell.done("deploy-metallb.sh", "development", RANGE, "--dry-run")
    assert f"+  - {RANGE}\n" in said
    assert pools() == ["2001:db8::/120", "homing"]
    wrong: dict[str, tuple[str, ...]] = {
        "192.0.2.1 is no range": ("192.0.2.1",),
        "one RANGE, please": (RANGE, "192.0.2.0/24"),
        "say which and where": (),
    }
    for problem, words in wrong.items():
        status, said = shell.run("deploy-metallb.sh", "production", *words)
        assert status == 1
        assert problem in said


@pytest.mark.cluster
def test_argo_cd_is_told_where_homing_comes_from(shell: Shell) -> None:
    """Project and Application name the repository that was given; two environments in one cluster are refused."""
    script, url = "argocd/bootstrap.sh", "https://git.example.org/homing.git"
    printed = shell.done(script, "production", url, "--with", "kustomize", "--dry-run")
    assert all(
        word not in printed.replace("in REPOSITORY_URL and", "")
        for word in ("REPOSITORY_URL", "DESTINATION", "REVISION")
    )
    assert shell.get("applications,appprojects", "argocd") == []
    shell.done(script, "production", url, "--revision", "v1.0.0")
    application, project = shell.get("applications,appprojects", "argocd")
    assert application["spec"]["source"]["repoURL"] == url
    assert application["spec"]["source"]["targetRevision"] == "v1.0.0"
    assert project["spec"]["sourceRepos"] == [url]
    before = shell.versions("applications", "appprojects", namespace="argocd")
    shell.done(script, "production", url, "--revision", "v1.0.0")
    assert shell.versions("applications", "appprojects", namespace="argocd") == before
    status, said = shell.run(script, "development", url)
    assert (status, "homing-production is deployed to https://kubernetes.default.svc already" in said) == (1, True)
    shell.done(script, "development", "git@git.example.org:homing.git", "--destination", "https://192.0.2.7:6443")
    assert len(shell.get("applications", "argocd")) == 2
    status, said = shell.run(script, "production", "https://git.example.org/a b")
    assert (status, "has a character that no URL" in said) == (1, True)
    shell.plane.kubectl("-n", "argocd", "delete", "--wait=false", "applications,appprojects", "--all")
