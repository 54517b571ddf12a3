"""A whole cluster: Homing's pods on a real node, names that follow at each provider, and queries while pods go.

The tests are one story and run in order.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.image.builder import ROOT, Image
from tests.node.internet import WAN, Internet
from tests.node.manifests import AGENTS, NAMESPACE, ZONES, kinds, parts, workload
from tests.node.node import NAME, Node
from tests.waiting import until

PATIENCE = 60.0
"""Seconds; a pod starts within 3 when the machine is idle."""

FOLLOWS = {"www.example.de", "www.example.org", "home.example.net"}
"""Names of the examples: at Strato, at Gandi, in Knot."""


@dataclass(frozen=True)
class World:
    """Homing in the cluster, and its internet."""

    node: Node
    internet: Internet
    dns: str
    """The address of the Service of the DNS server."""

    def ready(self, kind: str, name: str, namespace: str = "default") -> bool:
        """Whether an object's Ready condition is True."""
        status = self.node.get(kind, name, f"--namespace={namespace}").get("status", {})
        return any((each["type"], each["status"]) == ("Ready", "True") for each in status.get("conditions", ()))

    def holder(self, lease: str) -> str:
        """Who has a Lease."""
        spec = self.node.get("lease", lease, f"--namespace={NAMESPACE}")["spec"]
        return str(spec.get("holderIdentity") or "")

    def all_have(self, address: str) -> bool:
        """Whether each name that follows the WAN address has this one and no other."""
        published = self.internet.published()
        return {name for name in FOLLOWS if published.get(name) == [address]} == FOLLOWS

    def all_ready(self, *workloads: str) -> None:
        """Wait until a Deployment or DaemonSet is as it should be, with all its pods."""
        for each in workloads:
            namespace = AGENTS if each.startswith("daemonset/") else NAMESPACE
            words = ("rollout", "status", each, f"--namespace={namespace}", f"--timeout={PATIENCE:g}s")
            self.node.kubectl(*words, timeout=PATIENCE + 10)

    @contextmanager
    def queries(self, name: str) -> Iterator[dict[str, Any]]:
        """Meanwhile the Service is asked for a name; what became of it is there afterwards."""
        outcome: dict[str, Any] = {}
        command = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.node.asker", self.dns, name)
        with subprocess.Popen(
            self.node.cell.command(*command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as asker:
            try:
                yield outcome
            finally:
                said, _ = asker.communicate(timeout=30.0)
        outcome |= json.loads(said)


ALL = ("deployment/homing-operator", f"deployment/{ZONES}", "daemonset/homing-agent")


@pytest.fixture(scope="module")
def world(node: Node, image: Image) -> Iterator[World]:
    """Homing is installed, and the examples are applied."""
    with Internet(node.cell) as internet:
        node.apply(*kinds())
        node.kubectl("wait", "--for=condition=Established", "crd", "--all")
        node.apply(internet.site())
        node.apply(*parts(image.name, internet))
        service = node.get("service", ZONES, f"--namespace={NAMESPACE}")
        made = World(node, internet, service["spec"]["clusterIP"])
        try:
            made.all_ready(*ALL)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{node.story()}") from None
        node.apply(*internet.examples())
        yield made


def test_all_pods_run_as_anybody(world: World) -> None:
    """Every process in every pod is 65532 and has no capability, on the host network too."""
    pods = [*world.node.pods(NAMESPACE, ""), *world.node.pods(AGENTS, "")]
    assert len(pods) == 5
    assert {pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods} == {0}
    processes = list(world.node.cell.pods())
    assert len(processes) >= 2 * len(pods), "one that holds the namespaces, and Homing"
    for status in processes:
        assert set(status["Uid"].split()) == {"65532"}, status["Name"]
        assert int(status["CapEff"], 16) == 0, status["Name"]


def test_the_agent_finds_the_wan_address(world: World) -> None:
    """The agent, on the host network, holds the Lease of Site default and writes the address that STUN says."""

    def found() -> bool:
        return WAN in json.dumps(world.node.get("site", "default").get("status", {}))

    until(found, PATIENCE, "the address in the Site's status")
    (agent,) = world.node.pods(AGENTS, "app=homing-agent")
    assert agent["metadata"]["name"] in world.holder("homing-site-default")
    assert agent["status"]["hostIP"] == agent["status"]["podIP"]


def test_the_examples_become_ready(world: World) -> None:
    """The Domains of the examples are Ready, and Strato, Gandi and Knot have the WAN address."""
    own = "domains.homing.dev"
    for kind, name in (
        (own, "www-example-org"),
        (own, "home-example-net"),
        (own, "home-example-com"),
        ("domains.dyndns.contrib.strato.com", "www-example-de"),
    ):
        until(partial(world.ready, kind, name), PATIENCE, f"{name} Ready")
    until(lambda: world.all_have(WAN), PATIENCE, "the address at all providers")


def test_the_service_answers_over_udp_and_tcp(world: World) -> None:
    """dig through the Service's address has the Zone's name over UDP and over TCP."""
    until(lambda: world.internet.dig(world.dns, "home.example.com") == [WAN], PATIENCE, "an answer over UDP")
    assert world.internet.dig(world.dns, "+tcp", "home.example.com") == [WAN]
    assert world.internet.dig(world.dns, "example.com", "MX") == ["10", "mail.example.com."]


def test_a_service_follows_its_pod(world: World, image: Image) -> None:
    """The name of a Service that asked for one is there while its pod is ready; areas have what nodes say."""
    world.node.kubectl(
        "annotate", "node", NAME, "k8s.pootis.network/node-areas=home", "k8s.pootis.network/node-ips=192.0.2.7"
    )
    world.node.apply(*workload("git", "web", image.name))
    name = "git.web.lb.example.com"
    until(lambda: world.internet.dig(world.dns, name) == ["192.0.2.7"], PATIENCE, f"an address of {name}")
    assert "192.0.2.7" in world.internet.dig(world.dns, "www.lb.example.com")
    world.node.kubectl("scale", "deployment/git", "--namespace=web", "--replicas=0")
    until(lambda: not world.internet.dig(world.dns, name), PATIENCE, f"no address of {name}")
    world.node.kubectl("scale", "deployment/git", "--namespace=web", "--replicas=1")
    until(lambda: world.internet.dig(world.dns, name) == ["192.0.2.7"], PATIENCE, f"an address of {name} again")


def test_a_deleted_pod_is_replaced_without_a_lost_query(world: World) -> None:
    """While each pod of the DNS server is deleted in turn and replaced, every query over UDP and TCP is answered."""
    with world.queries("home.example.com") as outcome:
        for pod in world.node.pods(NAMESPACE, f"app={ZONES}"):
            world.node.kubectl("delete", "pod", pod["metadata"]["name"], f"--namespace={NAMESPACE}", "--wait=false")
            world.all_ready(f"deployment/{ZONES}")
    assert not outcome["lost"], outcome
    assert outcome["asked"] > 100


def test_the_leaders_pod_is_killed_and_names_follow(world: World) -> None:
    """The operator that leads is killed; another takes over, and a new WAN address reaches every name. Meanwhile every
    query is answered."""
    leader = world.holder("homing-operator")
    with world.queries("home.example.com") as outcome:
        killed = next(
            pod for pod in world.node.pods(NAMESPACE, "app=homing-operator") if pod["metadata"]["name"] in leader
        )
        world.node.kubectl(
            "delete", "pod", killed["metadata"]["name"], f"--namespace={NAMESPACE}", "--grace-period=0", "--force"
        )
        world.internet.move("203.0.113.20")
        until(lambda: world.all_have("203.0.113.20"), PATIENCE, "the new address at all providers")
        until(lambda: world.internet.dig(world.dns, "home.example.com") == ["203.0.113.20"], PATIENCE, "in the Zone")
        assert world.holder("homing-operator") not in ("", leader)
        world.all_ready("deployment/homing-operator")
    assert not outcome["lost"], outcome
