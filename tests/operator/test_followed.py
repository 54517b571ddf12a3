"""Domains that follow the nodes of an area and a Service, at a provider outside of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homing.standins.internet import StandInInternet
from tests.cluster.nodes import create_nodes, forget_nodes, node, ready_condition
from tests.operator.running import CLUSTER_PROVIDERS, DOMAINS, Kube, operator
from tests.waiting import until

pytestmark = pytest.mark.cluster

ONE, TWO = "203.0.113.31", "203.0.113.32"

SLICES = "discovery.k8s.io/v1/endpointslices"


@pytest.fixture
def nodes(kube: Kube) -> Iterator[tuple[str, str]]:
    """Two ready nodes of area ``NAMESPACE``, with the addresses ONE and TWO."""
    names = (f"{kube.namespace}-1", f"{kube.namespace}-2")
    areas = {"k8s.pootis.network/node-areas": kube.namespace}
    made = [
        node(name, labels=kube.cluster.labels, annotations={**areas, "k8s.pootis.network/node-ips": address})
        for name, address in zip(names, (ONE, TWO), strict=True)
    ]
    create_nodes(kube.cluster.plane.admin, made)
    yield names
    forget_nodes(kube.cluster.plane.admin, kube.cluster.labels)


def ready(kube: Kube, name: str, *, is_ready: bool) -> None:
    """Have a node's kubelet say so."""
    body = {"status": {"conditions": [ready_condition(ready=is_ready)]}}
    kind = "application/strategic-merge-patch+json"
    kube.cluster.plane.admin.request("PATCH", f"/api/v1/nodes/{name}/status", body, kind)


def held(world: StandInInternet, name: str) -> set[str]:
    """The addresses of a name at Gandi."""
    return set(world.gandi.values("example.org", name, "A"))


def endpoints(kube: Kube, *names: str) -> None:
    """The Service ``web`` has a ready endpoint on each of these nodes."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{kube.namespace}/endpointslices"
    made: list[dict[str, Any]] = [
        {"addresses": [f"10.0.0.{index}"], "conditions": {"ready": True}, "nodeName": name}
        for index, name in enumerate(names, 1)
    ]
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": made,
        "ports": [{"port": 80}],
    }
    if kube.get(SLICES, "web-1") is None:
        kube.cluster.plane.admin.request("POST", path, body)
    else:
        kube.patch(SLICES, "web-1", {"endpoints": made})


def test_a_name_follows_the_nodes_of_an_area(
    kube: Kube, world: StandInInternet, nodes: tuple[str, str], tmp_path: Path
) -> None:
    """Nodes that are not ready leave it; when none is ready it keeps what it holds, and says why."""
    kube.gandi(world)
    kube.domain("area", "area.example.org", {"nodes": {"area": kube.namespace}})
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "area")
        assert held(world, "area") == {ONE, TWO}
        ready(kube, nodes[0], is_ready=False)
        until(lambda: held(world, "area") == {TWO}, 10, "the name without the first node")
        ready(kube, nodes[1], is_ready=False)
        told = kube.wait_for(DOMAINS, "area", status="False", reason="AddressUnknown")
        assert "no ready node of area" in told["message"]
        assert held(world, "area") == {TWO}
        ready(kube, nodes[0], is_ready=True)
        until(lambda: held(world, "area") == {ONE}, 10, "the name with the first node")


def test_a_name_follows_the_nodes_of_a_service(
    kube: Kube, world: StandInInternet, nodes: tuple[str, str], tmp_path: Path
) -> None:
    """The nodes with a ready endpoint; the address of a load balancer goes before them."""
    kube.gandi(world)
    kube.put("v1/services", "Service", "web", spec={"type": "LoadBalancer", "ports": [{"port": 80}]})
    endpoints(kube, nodes[0])
    kube.domain("web", "web.example.org", {"service": {"name": "web"}})
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "web")
        assert held(world, "web") == {ONE}
        endpoints(kube, nodes[1])
        until(lambda: held(world, "web") == {TWO}, 10, "the other node")
        kube.patch("v1/services", "web", {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.99"}]}}}, "status")
        until(lambda: held(world, "web") == {"203.0.113.99"}, 10, "the load balancer's address")


def test_an_account_of_the_cluster_is_for_the_namespaces_it_names(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """A Domain elsewhere is told so, and published as soon as its namespace is named."""
    kube.secret("gandi", **{"api-key": "token-of-the-house-0815"})
    name = f"house-{kube.namespace}"
    spec: dict[str, Any] = {
        "gandi": {"server": f"{world.gandi_url}/v5/livedns"},
        "secretRef": {"name": "gandi", "namespace": kube.namespace},
        "allowedDomains": ["example.org"],
        "allowedNamespaces": ["somewhere-else"],
    }
    kube.put(CLUSTER_PROVIDERS, "ClusterProvider", name, spec=spec)
    reference = {"kind": "ClusterProvider", "name": name}
    kube.domain("www", "www.example.org", {"static": ["203.0.113.5"]}, providerRef=reference)
    with operator(kube, tmp_path):
        told = kube.wait_for(DOMAINS, "www", status="False", reason="NotAllowed")
        assert kube.namespace in told["message"]
        assert world.gandi.values("example.org", "www", "A") == ()
        kube.put(CLUSTER_PROVIDERS, "ClusterProvider", name, spec={**spec, "allowedNamespaces": ["*"]})
        kube.wait_for(DOMAINS, "www")
        assert world.gandi.values("example.org", "www", "A") == ("203.0.113.5",)
    kube.delete(CLUSTER_PROVIDERS, name)


def test_a_settings_file_that_changes_counts_and_a_broken_one_is_told(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """Without a restart; flags stand above it."""
    areas, file = "example.org/areas", tmp_path / "operator.toml"
    file.write_text('log-level = "info"\n')
    annotations = {areas: "elsewhere", "k8s.pootis.network/node-ips": ONE}
    create_nodes(kube.cluster.plane.admin, [node(kube.namespace, labels=kube.cluster.labels, annotations=annotations)])
    kube.gandi(world)
    kube.domain("area", "area.example.org", {"nodes": {"area": "elsewhere"}})
    with operator(kube, tmp_path, None, "--config", str(file)) as process:
        kube.wait_for(DOMAINS, "area", status="False", reason="AddressUnknown")
        file.write_text("areas-annotation = \n")
        until(lambda: "settings stay as they were" in process.text, 10, "the word of the broken file")
        file.write_text(f'areas-annotation = "{areas}"\n')
        kube.wait_for(DOMAINS, "area", seconds=20)
        assert world.gandi.values("example.org", "area", "A") == (ONE,)
    forget_nodes(kube.cluster.plane.admin, kube.cluster.labels)
