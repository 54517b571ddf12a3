"""A real Prometheus scrapes an operator, an agent and a DNS server of a real API server: what a house has not."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from homing.standins.internet import StandInInternet
from tests.app import test_dns_cluster
from tests.app.running import internet
from tests.app.test_dns_cluster import holds
from tests.app.test_dns_health import CHECKING, Routers, at, check
from tests.app.test_dns_nodes import Farm
from tests.cluster.fixtures import Cluster
from tests.monitoring.board import OF_A_CLUSTER, queries
from tests.monitoring.exposition import check_exposition
from tests.monitoring.test_prometheus import prometheus
from tests.operator.running import DOMAINS, SITES, TOKEN, operator
from tests.operator.test_sites import agent
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.peers]


@pytest.fixture
def world() -> Iterator[StandInInternet]:
    """A stand-in internet with a Gandi that knows the tests' token."""
    with internet() as made:
        made.gandi.token = TOKEN
        yield made


def test_the_queries_of_a_cluster_work_on_a_real_one(
    cluster: Cluster, world: StandInInternet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each query of the dashboard for what only a cluster has gives series; so do those of the alerts on checks."""
    monkeypatch.setattr(test_dns_cluster, "HOMING", CHECKING)
    with contextlib.ExitStack() as stack:
        farm = Farm(cluster, tmp_path)
        stack.callback(farm.end)
        routers = stack.enter_context(contextlib.closing(Routers()))
        routers.up(1, 2)
        area = farm.area("home")
        names = [farm.node(f"n{host}", area, ips=at(host)) for host in (1, 2)]
        farm.farm("a.test", healthCheck=check(routers.port))
        farm.site(world)
        stack.callback(farm.delete, SITES, "default")
        farm.gandi(world)
        farm.domain("www", "www.example.org", {"wan": {}})
        leader = stack.enter_context(operator(farm, tmp_path / "operator", world))
        observer = stack.enter_context(agent(farm, tmp_path / "agent", names[0]))
        server = stack.enter_context(farm.serving())
        farm.wait_for(DOMAINS, "www")
        holds(server, f"{area}.a.test", at(1), at(2))
        targets = {
            "homing_operator": f"127.0.0.1:{leader.port}",
            "homing_agent": f"127.0.0.1:{observer.port}",
            "homing_dns": server.web.removeprefix("http://"),
        }
        found = stack.enter_context(prometheus(tmp_path, **targets))
        asked = [expr for expr in queries("4s") if set(re.findall(r"\bhoming_\w+", expr)) & OF_A_CLUSTER]
        assert len(asked) > 10

        def empty() -> list[str]:
            return [expr for expr in asked if not found.series(expr)]

        until(lambda: not empty(), 60, f"series of all queries; {empty()}")
        assert not found.series("homing_check_unhealthy > 0")
        routers.dead(1)
        until(lambda: found.series("homing_check_unhealthy > 0"), 20, "what the alert looks at")
        check_exposition("operator", leader.ask("/metrics")[1])
