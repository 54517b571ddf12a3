"""Sites and their agents on the real API server (SPEC B8, B9)."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from homing.standins.internet import StandInInternet
from tests.app.running import HOME, MOVED
from tests.cluster.nodes import create_nodes, node
from tests.monitoring.exposition import check_exposition
from tests.operator.running import LEASE, SITES, Kube, Process, operator
from tests.waiting import until

pytestmark = pytest.mark.cluster

CONFIG_MAP = "esddns-wan-ip"


def agent(kube: Kube, folder: Path, name: str) -> Process:
    """The agent of a node."""
    words = ("agent", "--namespace", kube.namespace, "--node-name", name, "--lease-duration", str(LEASE))
    return Process(folder, kube.cluster.kubeconfig(), *words)


def nodes(kube: Kube, *names: str, **labels: str) -> None:
    """Nodes that go with the test."""
    made = [node(name, internal=["10.0.0.1"], labels={**kube.cluster.labels, **labels}) for name in names]
    create_nodes(kube.cluster.plane.admin, made)


def test_one_agent_of_a_site_detects_for_all(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """The other asks nobody; when the one dies the other goes on; the address is never blank meanwhile."""
    first, second = f"{kube.namespace[-6:]}-a", f"{kube.namespace[-6:]}-b"
    nodes(kube, first, second)
    kube.site(world)
    with agent(kube, tmp_path / "a", first) as one:
        until(lambda: kube.status(SITES, "default").get("ipv4") == str(HOME), 30, "the address")
        assert kube.status(SITES, "default")["detectedBy"] == first
        with agent(kube, tmp_path / "b", second) as two:
            until(lambda: two.ask("/readyz")[0] == 200, 30, "the second agent")
            world.move(MOVED)
            until(lambda: kube.status(SITES, "default")["ipv4"] == str(MOVED), 30, "the new address")
            assert two.metric('homing_observations_total{method="stun",result="answer"}') == 0
            assert one.metric('homing_observations_total{method="stun",result="answer"}') > 0
            assert (one.metric("homing_agent_leader"), two.metric("homing_agent_leader")) == (1, 0)
            check_exposition("agent", one.ask("/metrics")[1])
            check_exposition("agent", two.ask("/metrics")[1])
            one.kill()
            until(lambda: kube.status(SITES, "default")["detectedBy"] == second, 15, "the second agent's word")
            assert kube.status(SITES, "default")["ipv4"] == str(MOVED)


def test_a_node_belongs_to_the_site_that_selects_it(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """A selector by labels; each Site has an address of its own."""
    place = f"place-{kube.namespace[-6:]}"
    name = f"{kube.namespace[-6:]}-c"
    nodes(kube, name, **{"example.org/place": place})
    kube.site(world)
    kube.site(world, place, nodeSelector={"example.org/place": place})
    try:
        with agent(kube, tmp_path, name):
            until(lambda: kube.status(SITES, place).get("ipv4") == str(HOME), 30, "the address")
            assert "ipv4" not in kube.status(SITES, "default")
    finally:
        kube.delete(SITES, place)


def test_a_dispute_keeps_the_last_address(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """Two operators that say different things: Disputed is told, the address stays."""
    name = f"{kube.namespace[-6:]}-d"
    nodes(kube, name)
    kube.site(world)
    kube.patch(SITES, "default", {"spec": {"detect": {"quorum": 2, "intervalSeconds": 10}}})
    with agent(kube, tmp_path, name):
        until(lambda: kube.status(SITES, "default").get("ipv4") == str(HOME), 30, "the address")
        world.stun[0].wan = lambda _: MOVED
        world.stun[1].wan = lambda _: type(HOME)("203.0.113.66")
        kube.wait_for(SITES, "default", kind="Disputed", seconds=20)
        assert kube.status(SITES, "default")["ipv4"] == str(HOME)
        world.stun[0].wan = world.stun[1].wan = world.wan
        kube.wait_for(SITES, "default", kind="Disputed", status="False", seconds=20)


def test_the_operator_observes_where_no_agent_does_and_copies_the_address(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """It says so, writes ConfigMap esddns-wan-ip as ESDDNS did, and leaves observing to an agent that comes."""
    name = f"{kube.namespace[-6:]}-e"
    nodes(kube, name)
    kube.site(world)
    with operator(kube, tmp_path, world):
        until(lambda: kube.status(SITES, "default").get("ipv4") == str(HOME), 30, "the address")
        assert kube.status(SITES, "default")["detectedBy"] == "operator"
        data = until(lambda: (kube.get("v1/configmaps", CONFIG_MAP) or {}).get("data"), 30, "the ConfigMap")
        assert data is not None
        assert data["current_ip"] == str(HOME)
        for key in ("detected_at", "timestamp"):
            assert datetime.datetime.fromisoformat(data[key]).tzinfo is None
        with agent(kube, tmp_path / "agent", name):
            until(lambda: kube.status(SITES, "default")["detectedBy"] == name, 15, "the agent's word")
            world.move(MOVED)
            until(lambda: kube.status(SITES, "default")["ipv4"] == str(MOVED), 30, "the new address")
            until(lambda: kube.status(SITES, "default")["detectedBy"] == name, 15, "the agent's word")
            until(lambda: kube.get("v1/configmaps", CONFIG_MAP)["data"]["current_ip"] == str(MOVED), 30, "the copy")  # type: ignore[index]


def test_without_any_site_the_operator_makes_default(kube: Kube, tmp_path: Path) -> None:
    """A fresh cluster needs no Site to be written; the interval is ESDDNS's DNS_SYNC_INTERVAL where that is set."""
    with operator(kube, tmp_path, DNS_SYNC_INTERVAL="120"):
        made = until(lambda: kube.get(SITES, "default"), 15, "Site default")
        assert made is not None
        assert made["spec"]["detect"]["intervalSeconds"] == 120
