"""Nodes that nobody runs live and die as if somebody did."""

from __future__ import annotations

import pytest

from tests.cluster.fixtures import Cluster
from tests.cluster.nodes import Kwok, create_nodes, is_ready, node
from tests.waiting import until

pytestmark = pytest.mark.cluster


def test_a_node_lives_while_kwok_keeps_it(cluster: Cluster) -> None:
    """A node is Ready and keeps its addresses while kwok gives its signs of life; without the label,
    or without kwok, it is NotReady after the grace period."""
    api, name = cluster.plane.admin, cluster.namespace
    first, second = f"{name}-1", f"{name}-2"
    with cluster.plane.grace_period(4.0), Kwok(cluster.plane, name, lease_duration=4) as kwok:
        labels = {**cluster.labels, **kwok.labels}
        create_nodes(
            api, [node(each, external=["203.0.113.7"], labels=labels, ready=False) for each in (first, second)]
        )
        until(lambda: is_ready(api, first) and is_ready(api, second), 20, "two Ready nodes")
        cluster.kubectl("label", "node", first, f"{next(iter(kwok.labels))}-")
        until(lambda: not is_ready(api, first), 20, "the first node's death")
        assert is_ready(api, second)
        kwok.stop()
        until(lambda: not is_ready(api, second), 20, "the second node's death")
        kwok.start()
        until(lambda: is_ready(api, second), 20, "the second node's return")
    addresses = api.request("GET", f"/api/v1/nodes/{second}")["status"]["addresses"]
    assert {"type": "ExternalIP", "address": "203.0.113.7"} in addresses
