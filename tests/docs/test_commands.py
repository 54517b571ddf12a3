"""Every command of the guides is one that works: it is run as it stands, page by page, in the shell of a reader."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.exceptions import NoArgsIsHelpError

from tests.cluster.control_plane import ControlPlane
from tests.cluster.nodes import create_nodes, node
from tests.cluster.programs import program
from tests.deploy.chart import GANDI, NODE_DNS, helm
from tests.deploy.manifests import CHART, DEPLOY
from tests.deploy.programs import found
from tests.docs.blocks import PAGES, ROOT
from tests.docs.programs import called
from tests.docs.reader import furnish, script, told
from tests.lab.namespaces import Host, obstacle

SPOKEN = {page: script(page) for page in PAGES}

ON_A_NODE = {"docs/cluster.md"}
"""Done to its end, pods and answers and all, by tests/node/test_guide.py."""

CLUSTER = [
    page
    for page, text in SPOKEN.items()
    if page not in ON_A_NODE and re.search(r"kubectl|helm|deploy/\S+\.sh|--kubernetes", text)
]
"""Pages of a cluster; the others are read in a network namespace, where all ports are free and nobody is outside."""

ALONE = [page for page, text in SPOKEN.items() if text.strip() and page not in {*CLUSTER, *ON_A_NODE}]

WORLD = """
apiVersion: v1
kind: Service
metadata: {name: git, namespace: reader}
spec: {ports: [{port: 22}]}
---
apiVersion: homing.dev/v1alpha1
kind: Domain
metadata: {name: www, namespace: reader}
spec: {fqdn: www.example.org, addresses: {wan: {}}, providerRef: {name: gandi}}
---
apiVersion: dyndns.contrib.strato.com/v1alpha1
kind: Domain
metadata: {name: www, namespace: reader}
spec: {fqdn: www.example.de, password: {name: strato}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: esddns-config, namespace: esddns}
data: {target-domain: example.org, record-name: home}
"""
"""What the pages of a cluster speak of."""


@pytest.fixture(scope="module")
def installed(fresh: ControlPlane, nothing: None) -> Iterator[Path]:
    """A kubeconfig of a cluster with Homing, all parts of it, and with nodes, Services and Domains of somebody."""
    fresh.kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", str(DEPLOY / "crds"))
    parts = ("crds.install=false", "agent.enabled=true", "dns.enabled=true", *NODE_DNS)
    values = [f"--set={value}" for value in parts]
    said = helm(
        "install", "homing", str(CHART), "-n=homing", "--create-namespace", *values, kubeconfig=fresh.kubeconfig()
    )
    assert said.status == 0, said.error
    for name in ("reader", "esddns"):
        fresh.kubectl("create", "namespace", name)
    fresh.apply(WORLD)
    create_nodes(fresh.admin, [node("n1")])
    yield fresh.kubeconfig(namespace="reader")
    fresh.kubectl("delete", "node", "n1")


def run_in_cluster(text: str, kubeconfig: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lines of a shell where kubectl knows the cluster."""
    head, more = furnish(folder, kubeconfig)
    programs = folder / "cluster"
    programs.mkdir()
    (programs / "kubectl").symlink_to(program("kubectl"))
    (programs / "helm").symlink_to(found("helm"))
    environment = {
        "API_KEY": "key-of-the-house-0815",
        "TARGET_DOMAIN_FQDN": "example.org",
    }
    return subprocess.run(
        ["/bin/bash", "-c", head + text], env=environment | dict(more),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.cluster
@pytest.mark.parametrize("page", CLUSTER)
def test_the_commands_of_a_page_work_in_a_cluster(page: str, installed: Path, tmp_path: Path) -> None:
    """Each is taken by the command line and the API server as it stands."""
    done = run_in_cluster(SPOKEN[page], installed, tmp_path)
    assert done.returncode == 0, told(done)
    if "homing doctor --kubernetes" in SPOKEN[page]:
        assert done.stdout.count("rights of homing-") >= 4
        assert not re.search(r"^(error|skipped) +rights of", done.stdout, re.MULTILINE), "it knows the chart's accounts"


@pytest.mark.cluster
def test_the_next_commands_that_helm_prints_work(installed: Path, tmp_path: Path) -> None:
    """The chart's NOTES, of all parts and with a page that anybody may read."""
    parts = (
        "crds.install=false",
        "agent.enabled=true",
        "dns.enabled=true",
        "service.type=NodePort",
        *NODE_DNS,
        *GANDI[:2],
    )
    flags = [f"--set={value}" for value in parts]
    how = ("-n=homing", "--dry-run=client", "--hide-secret")
    said = helm("upgrade", "homing", str(CHART), *how, *flags, kubeconfig=installed)
    assert said.status == 0, said.error
    lines = re.findall(r"^  ((?:kubectl|helm|openssl) .*)$", said.out.partition("\nNOTES:\n")[2], re.MULTILINE)
    assert len(lines) >= 8
    text = "\n".join(lines).replace("CHART", "deploy/helm/homing").replace("=FILE", "=gandi.token")
    done = run_in_cluster(text.replace("describe hdom esddns", "describe hdom"), installed, tmp_path)
    assert done.returncode == 0, told(done)


@pytest.fixture
def host() -> Iterator[Host]:
    """A machine of the reader's own, without a way to anywhere."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    made = Host("reader")
    yield made
    made.close()


@pytest.mark.lab
@pytest.mark.parametrize("page", ALONE)
def test_the_commands_of_a_page_work_on_one_machine(page: str, host: Host, tmp_path: Path) -> None:
    """Each does, as it stands, ports and all; a question asked at the end of a path is answered."""
    head, more = furnish(tmp_path)
    host.shell("mkdir -p /etc/systemd/system && mount -t tmpfs none /etc/systemd/system")
    words = [f"{name}={value}" for name, value in more.items()]
    done = host.run(["env", *words, "/bin/bash", "-c", head + SPOKEN[page]], check=False, timeout=120)
    assert done.returncode == 0, told(done)
    assert not re.search("^homing: ", done.stderr, re.MULTILINE), told(done)
    if page == "docs/home.md":
        assert "ns1.home.arpa." in done.stdout.splitlines()


@pytest.mark.parametrize("page", PAGES)
def test_a_command_within_a_sentence_is_one(page: str) -> None:
    """What a page calls `homing ...` is a command with options that it has."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for command in re.findall(r"`homing ([a-z][^`|]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        try:
            called(shlex.split(command))
        except (click.BadOptionUsage, click.MissingParameter, NoArgsIsHelpError):
            continue  # it is named, not called
        except click.ClickException as error:
            pytest.fail(f"{page}: homing {command}: {error.message}")
