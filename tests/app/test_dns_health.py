"""Health checks as their users meet them: routers that die and come back, against a real API server, by questions.

Each router is a listener on an address of its own out of 127.0.0.0/8.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app import test_dns_cluster, test_dns_nodes
from tests.app.running import run
from tests.app.test_dns_cluster import LEASE, ZONES, described, holds, view
from tests.app.test_dns_command import history
from tests.app.test_dns_nodes import LB, MANDATORY, DropIn, Farm
from tests.app.test_dns_replicas import metric
from tests.cluster.fixtures import Cluster
from tests.operator.running import SITES
from tests.ports import free_port
from tests.waiting import until

pytestmark = pytest.mark.cluster

CHECKING = (sys.executable, str(Path(__file__).with_name("checking.py")))
"""Homing that also checks loopback addresses."""

SECONDS = 6.0
"""From a router's death to an answer without it, at most: two failures a second apart, and what publishing takes."""


class Routers:
    """Routers that accept connections on one port of their addresses, until they die."""

    def __init__(self) -> None:
        self.port = free_port()
        self._up: dict[str, socket.socket] = {}

    def up(self, *hosts: int) -> None:
        """These routers work from now on."""
        for host in hosts:
            self._up[at(host)] = socket.create_server((at(host), self.port), backlog=1000)

    def dead(self, host: int) -> None:
        """This router dies; its node is none the wiser."""
        self._up.pop(at(host)).close()

    def close(self) -> None:
        """All of them go."""
        for each in self._up.values():
            each.close()


@pytest.fixture
def routers() -> Iterator[Routers]:
    with contextlib.closing(Routers()) as made:
        yield made


@pytest.fixture
def farm(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    monkeypatch.setattr(test_dns_cluster, "HOMING", CHECKING)
    made = Farm(cluster, tmp_path)
    try:
        yield made
    finally:
        made.end()


def at(host: int) -> str:
    """The address of a router."""
    return f"127.77.0.{host}"


def check(port: int) -> dict[str, Any]:
    """A check that finds a dead router within two seconds."""
    return {"tcp": {"port": port}, "intervalSeconds": 1, "timeoutSeconds": 1, "rise": 1, "fall": 2}


def test_a_dead_router_leaves_the_answer_and_comes_back(farm: Farm, routers: Routers) -> None:
    """Though its node is ready. It is told by log, metric, condition, status, event and history; another Zone with
    another check, or none, is not touched; when all of a name fail, all are answered."""
    home, cloud = farm.area("home"), farm.area("cloud")
    routers.up(1, 2, 3)
    other = Routers()
    other.up(1, 2, 3)
    for host, area in ((1, "home"), (2, "home"), (3, "cloud")):
        farm.node(f"n{host}", area, ips=at(host))
    farm.farm("a.test", healthCheck=check(routers.port))
    farm.farm("b.test", healthCheck=check(other.port))
    farm.farm("c.test")
    with farm.serving() as server, contextlib.closing(other):
        holds(server, f"{home}.a.test", at(1), at(2))
        until(lambda: metric(server, "homing_check_targets") == 6, 5, "the targets")
        until(lambda: farm.condition(ZONES, "a.test", "AddressesHealthy").get("status") == "True", 5, "the condition")
        serials = [server.serial(zone) for zone in ("a.test", "b.test", "c.test")]
        routers.dead(1)
        holds(server, f"{home}.a.test", at(2), seconds=SECONDS)
        assert [server.serial(zone) for zone in ("a.test", "b.test", "c.test")] == [serials[0] + 1, *serials[1:]]
        for zone in ("b.test", "c.test"):
            assert server.values(f"{home}.{zone}") == {at(1), at(2)}
        assert metric(server, "homing_check_unhealthy") == 1
        assert "check failed, address left out where others pass" in server.log
        until(lambda: farm.status(ZONES, "a.test").get("unhealthyAddresses") == [at(1)], 5, "the status")
        told = farm.condition(ZONES, "a.test", "AddressesHealthy")
        assert (told["status"], told["reason"]) == ("False", "SomeFail")
        assert told["message"].startswith(f"1 of 3 addresses fail tcp {routers.port}: {at(1)} (connection refused")
        until(lambda: "AddressFailing" in described(farm, "a.test"), 5, "the event")
        routers.dead(2)
        holds(server, f"{home}.a.test", at(1), at(2), seconds=SECONDS)
        assert server.values(f"{cloud}.a.test") == {at(3)}
        routers.up(1)
        holds(server, f"{home}.a.test", at(1), seconds=SECONDS)
        routers.up(2)
        holds(server, f"{home}.a.test", at(1), at(2), seconds=SECONDS)
        until(lambda: farm.condition(ZONES, "a.test", "AddressesHealthy").get("status") == "True", 5, "the condition")
        until(lambda: "AddressHealthy" in described(farm, "a.test"), 5, "the event")
        assert server.values(f"{home}.b.test") == {at(1), at(2)}
    rows = [detail for kind, name, detail in history(farm.folder) if (kind, name) == ("zone", "a.test")]
    assert f"check failed, left out where others pass: {at(1)} (connection refused or cut)" in rows
    assert f"answered again: {at(1)}" in rows


def test_the_own_site_is_not_checked(farm: Farm, routers: Routers) -> None:
    """Its address stays, whatever hairpin NAT makes of a probe; others are checked. Where it is not known which node
    this is, that is told, and no Site is checked; outside of the cluster all are."""
    home, cloud, site = farm.area("home"), farm.area("cloud"), farm.namespace
    routers.up(2, 3)
    farm.address(site, at(1))
    farm.patch(SITES, site, {"spec": {"nodeSelector": {"site": site}}})
    here = farm.node("n1", ips="auto", labels={"site": site})
    farm.node("n2", ips=at(2))
    farm.node("n3", "cloud", ips=at(3))
    farm.farm("a.test", healthCheck=check(routers.port))
    with farm.serving("--node-name", here) as server:
        holds(server, f"{home}.a.test", at(1), at(2))
        until(lambda: metric(server, "homing_check_targets") == 2, 5, "the targets")
        routers.dead(2)
        holds(server, f"{home}.a.test", at(1), seconds=SECONDS)
        assert server.values(f"{cloud}.a.test") == {at(3)}
        until(lambda: farm.status(ZONES, "a.test").get("unhealthyAddresses") == [at(2)], 5, "the status")
    with farm.serving("--node-name", "elsewhere") as server:
        until(lambda: "no such node: addresses of Sites are not checked" in server.log, 10, "the warning")
        assert server.values(f"{home}.a.test") == {at(1)}
        routers.up(2)
        holds(server, f"{home}.a.test", at(1), at(2), seconds=SECONDS)
    with farm.serving("--node-name", "-") as server:
        holds(server, f"{home}.a.test", at(2), seconds=SECONDS + LEASE)


def test_the_next_leader_goes_on_without_a_dead_router(farm: Farm, routers: Routers) -> None:
    """It begins with what the status tells: at no time is the dead address answered, and it comes back as it does."""
    home = farm.area("home")
    routers.up(1, 2, 3)
    for host in (1, 2, 3):
        farm.node(f"n{host}", ips=at(host))
    farm.farm("a.test", healthCheck=check(routers.port))
    with farm.serving("--identity", "one", state="one") as one:
        holds(one, f"{home}.a.test", at(1), at(2), at(3))
        until(lambda: view(one) == "live", 15, "a live view")
        with farm.serving("--identity", "two", state="two") as two:
            holds(two, f"{home}.a.test", at(1), at(2), at(3))
            routers.dead(1)
            holds(two, f"{home}.a.test", at(2), at(3), seconds=SECONDS)
            until(lambda: farm.status(ZONES, "a.test").get("unhealthyAddresses") == [at(1)], 5, "the status")
            one.stop()
            answers = set[frozenset[str]]()

            def probes() -> float:
                answers.add(frozenset(two.values(f"{home}.a.test")))
                return metric(two, 'homing_check_probes_total{kind="tcp",result="refused"}')

            until(lambda: probes() >= 4, LEASE + 2 * SECONDS, "four failures found by the next leader")
            assert answers == {frozenset((at(2), at(3)))}
            assert metric(two, "homing_check_unhealthy") == 1
            routers.up(1)
            holds(two, f"{home}.a.test", at(1), at(2), at(3), seconds=SECONDS)


def test_a_flag_checks_the_zone_of_the_drop_in(
    cluster: Cluster, tmp_path: Path, routers: Routers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rights of the Go node DNS; the addresses of the own node are not checked."""
    monkeypatch.setattr(test_dns_nodes, "HOMING", CHECKING)
    drop = DropIn(cluster, tmp_path)
    with contextlib.ExitStack() as stack:
        stack.callback(drop.end)
        home = f"{drop.area('home')}.{LB}"
        routers.up(2)
        here = drop.node("n1", ips=at(1))
        drop.node("n2", ips=at(2))
        drop.node("n3", ips=at(3))
        with drop.replica("--health-check", f"tcp:{routers.port}", "--node-name", here) as server:
            holds(server, home, at(1), at(2), at(3))
            holds(server, home, at(1), at(2), seconds=3 * SECONDS)
            assert metric(server, "homing_check_unhealthy") == 1
            assert metric(server, "homing_check_targets") == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*MANDATORY, "--health-check", "ping"], "write tcp:443, http:80/healthz, https:443/healthz or icmp"),
        (["--kubernetes", "--health-check", "icmp"], "a kind Zone says it in spec.cluster.healthCheck"),
    ],
)
def test_a_flag_that_says_no_check_is_refused(tmp_path: Path, words: list[str], told: str) -> None:
    """With what to write."""
    done = run("dns", *words, home=tmp_path)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
