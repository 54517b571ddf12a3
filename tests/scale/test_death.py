"""A node that dies leaves the answers as soon as Kubernetes knows, and comes back with its first sign of life."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.fixtures import Cluster
from tests.cluster.nodes import Kwok, create_nodes, is_ready, node
from tests.scale.crowd import AREAS, IPS
from tests.scale.run import ZONE, node_dns
from tests.waiting import until

pytestmark = pytest.mark.cluster

GRACE = 4.0


def test_a_dead_node_leaves_its_area_and_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    """The controller manager calls it NotReady after the grace period; the other one stays, its own area is empty."""
    plane, area = cluster.plane, cluster.namespace
    first, second = f"{area}-1", f"{area}-2"
    with plane.grace_period(GRACE), Kwok(plane, area, lease_duration=int(GRACE)) as kwok:
        labels = {**cluster.labels, **kwok.labels}
        create_nodes(
            plane.admin,
            [
                node(name, labels=labels, annotations={AREAS: areas, IPS: ip}, ready=False)
                for name, areas, ip in ((first, f"{area},{first}", "192.0.2.1"), (second, area, "192.0.2.2"))
            ],
        )
        with node_dns(plane, tmp_path, workers=1) as server:

            def holds(name: str, *addresses: str, seconds: float = 5 * GRACE) -> None:
                until(lambda: server.values(f"{name}.{ZONE}") == set(addresses), seconds, f"{name} {addresses}")

            holds(area, "192.0.2.1", "192.0.2.2")
            cluster.kubectl("label", "node", first, f"{next(iter(kwok.labels))}-")
            until(lambda: not is_ready(plane.admin, first), 5 * GRACE, "the death")
            holds(area, "192.0.2.2", seconds=1.0)
            holds(first, seconds=1.0)
            cluster.kubectl("label", "node", first, "=".join(next(iter(kwok.labels.items()))))
            until(lambda: is_ready(plane.admin, first), 5 * GRACE, "the return")
            holds(area, "192.0.2.1", "192.0.2.2", seconds=1.0)
            holds(first, "192.0.2.1", seconds=1.0)
