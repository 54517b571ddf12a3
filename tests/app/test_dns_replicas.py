"""Replicas of ``homing dns`` on a real API server: one leads, the others follow it, and each answers all the time."""

from __future__ import annotations

import contextlib
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.running import get
from tests.app.test_dns_cluster import LEASE, WWW, ZONES, House, holds, view
from tests.app.test_dns_command import Server
from tests.cluster.fixtures import Cluster
from tests.waiting import until

pytestmark = pytest.mark.cluster

ZONE = "a.test"
LEASES, SECRETS = "coordination.k8s.io/v1/leases", "v1/secrets"


@pytest.fixture
def house(cluster: Cluster, tmp_path: Path) -> Iterator[House]:
    made = House(cluster, tmp_path)
    try:
        yield made
    finally:
        made.end()


def replica(house: House, name: str, *words: str, **more: str) -> Server:
    """A replica that is called so in the Lease."""
    return house.serving("--identity", name, *words, state=name, **more)


def leader(house: House) -> str:
    """Who holds the Lease."""
    return str((house.get(LEASES, "homing-dns") or {}).get("spec", {}).get("holderIdentity") or "")


def metric(server: Server, name: str) -> float:
    """The value of a metric without labels."""
    lines = get(f"{server.web}/metrics")[1].splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def www(number: int) -> dict[str, object]:
    """The record that tests change."""
    return {**WWW, "values": [f"192.0.2.{number}"]}


def test_a_change_reaches_all(house: House) -> None:
    """Within milliseconds, under the serial that the leader gave; new Zones too, and deleted ones are gone."""
    house.zone(ZONE, WWW)
    with replica(house, "one") as one:
        until(lambda: view(one) == "live", 10, "the leader")
        with replica(house, "two") as two, replica(house, "three") as three:
            everyone = (one, two, three)
            for server in everyone:
                holds(server, f"www.{ZONE}", "192.0.2.1")
                until(lambda: view(server) == "live", 5, "following")
            took: list[float] = []
            for number in range(2, 42):
                house.records(ZONE, www(number))
                holds(one, f"www.{ZONE}", f"192.0.2.{number}")
                began = time.monotonic()
                holds(two, f"www.{ZONE}", f"192.0.2.{number}")
                took.append(time.monotonic() - began)
                holds(three, f"www.{ZONE}", f"192.0.2.{number}")
            print(f"change to replica: p50 {statistics.median(took) * 1000:.1f} ms, max {max(took) * 1000:.1f} ms")
            assert statistics.median(took) < 0.1
            assert max(took) < 1.0
            assert {server.serial(ZONE) for server in everyone} == {one.serial(ZONE)}
            house.zone("b.test", WWW)
            for server in everyone:
                holds(server, "www.b.test", "192.0.2.1", seconds=2.0)
            house.delete(ZONES, "b.test")
            for server in everyone:
                holds(server, "www.b.test", "REFUSED", seconds=2.0)
            assert [metric(server, "homing_dns_leader") for server in everyone] == [1, 0, 0]
            assert max(metric(server, "homing_zone_view_age_seconds") for server in everyone) < 3
