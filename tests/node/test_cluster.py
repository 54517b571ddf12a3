"""A whole cluster: Homing's pods on a real node, names that follow at each provider, and queries while pods go.

The tests are one story and run in order.
"""

from __future__ import annotations

import json
from functools import partial

from tests.image.builder import Image
from tests.node.internet import WAN
from tests.node.manifests import NAMESPACE, workload
from tests.node.node import NAME
from tests.node.world import OPERATOR, PATIENCE, World
from tests.waiting import until

MOVED = "203.0.113.20"
"""Another WAN address."""


def test_all_pods_run_as_anybody(world: World) -> None:
    """Every process in every pod is 65532, has no capability and a read-only root, on the host network too."""
    pods = [pod for part in ("operator", "dns", "agent") for pod in world.pods(part)]
    assert len(pods) == 5
    assert {pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods} == {0}
    processes = list(world.node.cell.pods())
    assert len(processes) >= 2 * len(pods), "one that holds the namespaces, and Homing"
    for status in processes:
        assert set(status["Uid"].split()) == {"65532"}, status["Name"]
        assert int(status["CapEff"], 16) == 0, status["Name"]
        assert status["root"].split(",")[0] == "ro", status["Name"]


def test_the_agent_finds_the_wan_address(world: World) -> None:
    """The agent, on the host network, holds the Lease of Site default and writes the address that STUN says."""

    def found() -> bool:
        return WAN in json.dumps(world.node.get("site", "default").get("status", {}))

    until(found, PATIENCE, "the address in the Site's status")
    (agent,) = world.pods("agent")
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


def test_the_doctor_finds_nothing_wrong(world: World) -> None:
    """``homing doctor --kubernetes`` finds every part where the chart put it, with its rights."""
    found = json.loads(world.doctor())["findings"]
    assert [each for each in found if each["level"] not in ("ok", "skipped")] == []
    levels = {each["check"]: each["level"] for each in found}
    assert [levels[f"rights of homing-{part}"] for part in ("operator", "agent", "dns")] == ["ok"] * 3


def test_the_service_answers_over_udp_and_tcp(world: World) -> None:
    """dig through the Service's address has the Zone's name over UDP and over TCP."""
    until(lambda: world.internet.dig(world.dns, "home.example.com") == [WAN], PATIENCE, "an answer over UDP")
    assert world.internet.dig(world.dns, "+tcp", "home.example.com") == [WAN]
    assert world.internet.dig(world.dns, "example.com", "MX") == ["10", "mail.example.com."]


def test_a_service_follows_its_pod(world: World, image: Image) -> None:
    """The name of a Service that asked for one is there while its pod is ready; areas have what nodes say."""
    told = ("k8s.pootis.network/node-areas=home", "k8s.pootis.network/node-ips=192.0.2.7")
    world.node.kubectl("annotate", "--overwrite", "node", NAME, *told)
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
        old = [pod["metadata"]["name"] for pod in world.pods("dns")]
        for name in old:
            world.node.kubectl("delete", "pod", name, f"--namespace={NAMESPACE}", "--wait=false")
            world.replaced("dns", {name})
        world.gone(*old)
    assert not outcome["lost"], outcome
    assert outcome["asked"] > 100


def test_the_leaders_pod_is_killed_and_names_follow(world: World) -> None:
    """The operator that leads is killed; another takes over, and a new WAN address reaches every name. Meanwhile every
    query is answered."""
    leader = world.holder("homing-operator")
    with world.queries("home.example.com") as outcome:
        killed = next(pod["metadata"] for pod in world.pods("operator") if pod["metadata"]["name"] in leader)
        world.node.cell.kill_pod(killed["uid"])
        world.internet.move(MOVED)
        words = (killed["name"], f"--namespace={NAMESPACE}", "--grace-period=0", "--force")
        world.node.kubectl("delete", "pod", *words)  # else it would come back under the name that has the Lease
        until(lambda: world.all_have(MOVED), PATIENCE, "the new address at all providers")
        until(lambda: world.internet.dig(world.dns, "home.example.com") == [MOVED], PATIENCE, "in the Zone")
        assert world.holder("homing-operator") not in ("", leader)
        world.settled(OPERATOR)
    assert not outcome["lost"], outcome
