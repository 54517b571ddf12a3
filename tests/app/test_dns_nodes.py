"""Zones of nodes and Services, as their users meet them: against a real API server, by questions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.test_dns_cluster import WWW, ZONES, House, described, holds, view
from tests.cluster.fixtures import Cluster
from tests.cluster.nodes import node, ready_condition
from tests.operator.running import DOMAINS
from tests.waiting import until

pytestmark = pytest.mark.cluster

NODES, SERVICES, SLICES = "v1/nodes", "v1/services", "discovery.k8s.io/v1/endpointslices"
AREAS, IPS, DNS = "k8s.pootis.network/node-areas", "k8s.pootis.network/node-ips", "k8s.pootis.network/dns"
TXT = '"homing: known, and without an address now"'


class Farm(House):
    """The cluster with nodes and Services. Nodes belong to no namespace, so areas carry the test's name."""

    def area(self, name: str) -> str:
        """The label of an area of this test."""
        return f"{name}-{self.namespace[-6:]}"

    def node(self, name: str, areas: str = "home", ips: str | None = "", *, ready: bool = True, **more: Any) -> str:
        """Make a node, or another one of that name; areas by comma."""
        full = f"{name}-{self.namespace}"
        listed = ",".join(self.area(area.strip()) if area.strip().isalnum() else area for area in areas.split(","))
        annotations = {AREAS: listed} | ({IPS: ips} if ips is not None else {})
        labels = {**self.cluster.labels, **more.pop("labels", {})}
        made = node(full, labels=labels, annotations=annotations, ready=ready, **more)
        admin = self.cluster.plane.admin
        admin.request("POST", "/api/v1/nodes", made)
        return full

    def annotate(self, full: str, **annotations: str | None) -> None:
        """Change the areas or addresses of a node."""
        keys = {"areas": AREAS, "ips": IPS}
        body = {"metadata": {"annotations": {keys[key]: text for key, text in annotations.items()}}}
        self.change(full, body)

    def change(self, full: str, body: dict[str, Any], sub: str = "") -> None:
        """Merge into a node."""
        path = f"/api/v1/nodes/{full}" + (f"/{sub}" if sub else "")
        self.cluster.plane.admin.request("PATCH", path, body, "application/merge-patch+json")

    def ready(self, full: str, *, ready: bool) -> None:
        """A node is ready, or not, as its kubelet says."""
        self.change(full, {"status": {"conditions": [ready_condition(ready=ready)]}}, "status")

    def forget(self, full: str) -> None:
        """Delete a node."""
        self.cluster.plane.admin.request("DELETE", f"/api/v1/nodes/{full}")

    def service(self, name: str, dns: str = "true", **spec: Any) -> None:
        """A Service without a selector, so that its slices are ours."""
        spec = {"ports": [{"name": "web", "port": 443}], **spec}
        self.put(SERVICES, "Service", name, metadata={"name": name, "annotations": {DNS: dns}}, spec=spec)

    def slice(self, name: str, service: str, *endpoints: dict[str, Any]) -> None:
        """An EndpointSlice; each endpoint as ``{"node": ..., "ready": ...}``."""
        items = [
            {
                "addresses": ["10.0.0.1"],
                **({"nodeName": each["node"]} if "node" in each else {}),
                "conditions": {key: value for key, value in each.items() if key != "node"},
            }
            for each in endpoints
        ]
        labels = {"kubernetes.io/service-name": service}
        self.delete(SLICES, name)
        self.put(
            SLICES,
            "EndpointSlice",
            name,
            metadata={"name": name, "labels": labels},
            addressType="IPv4",
            endpoints=items,
        )

    def farm(self, origin: str, *records: dict[str, Any], **cluster: Any) -> None:
        """A Zone with names of the cluster."""
        self.zone(origin, *records, cluster=cluster)


@pytest.fixture
def farm(cluster: Cluster, tmp_path: Path) -> Iterator[Farm]:
    made = Farm(cluster, tmp_path)
    try:
        yield made
    finally:
        made.end()


def test_a_zone_follows_nodes_and_services(farm: Farm) -> None:
    """Beside its records and Domains; a Domain has a name before the area, which is told; serials grow by content."""
    home, namespace = f"{farm.area('home')}.a.test", farm.namespace
    n1 = farm.node("n1", ips="192.0.2.1, 2001:db8::1")
    n2 = farm.node("n2", "home,cloud", ips="192.0.2.2")
    farm.service("git")
    farm.slice("git-1", "git", {"node": n2})
    farm.farm("a.test", WWW, {"name": "alias", "type": "CNAME", "values": [farm.area("home")]}, srvRecords=True)
    with farm.serving() as server:
        holds(server, home, "192.0.2.1", "192.0.2.2")
        assert server.values(home, "AAAA") == {"2001:db8::1"}
        assert server.values(f"v4.{home}", "AAAA") == set()
        assert server.values(f"git.{namespace}.a.test") == {"192.0.2.2"}
        assert server.values(f"_web._tcp.git.{namespace}.a.test", "SRV") == {f"0 0 443 git.{namespace}.a.test."}
        assert server.values("alias.a.test") == {f"{home}.", "192.0.2.1", "192.0.2.2"}
        assert server.values("www.a.test") == {"192.0.2.1"}
        assert view(server) == "live"
        serial = server.serial("a.test")
        farm.ready(n1, ready=False)
        holds(server, home, "192.0.2.2", seconds=2.0)
        assert server.serial("a.test") == serial + 1
        farm.ready(n2, ready=False)
        holds(server, home, seconds=2.0)
        assert server.values(home, "TXT") == {TXT}
        farm.name(home, {"static": ["203.0.113.77"]}, name="mine", deletionPolicy="Delete")
        holds(server, home, "203.0.113.77")
        assert server.values(home, "TXT") == set()
        until(lambda: "a Domain has it" in farm.condition(ZONES, "a.test").get("message", ""), 5, "the condition")
        until(lambda: "NameTaken" in described(farm, "a.test"), 5, "the event")
        farm.ready(n2, ready=True)
        holds(server, f"v4.{home}", "192.0.2.2")
        assert server.values(home) == {"203.0.113.77"}
        farm.delete(DOMAINS, "mine")
        holds(server, home, "192.0.2.2")
        farm.wait_for(ZONES, "a.test")


def test_the_beyond(farm: Farm) -> None:
    """Host names, wildcards, cordoned nodes left out, each only where a Zone says so; a changed spec counts at once."""
    home = farm.area("home")
    n1, n2 = farm.node("n1", ips="192.0.2.1"), farm.node("n2", ips="192.0.2.2")
    farm.farm("a.test")
    farm.farm("b.test", hostNames="Keep", wildcards=True, leaveOutCordoned=True, ttlSeconds=7)
    with farm.serving() as server:
        holds(server, f"{home}.b.test", "192.0.2.1", "192.0.2.2")
        assert server.ask(f"{home}.b.test").answer[0].ttl == 7
        assert server.values(f"x.y.{home}.b.test") == {"192.0.2.1", "192.0.2.2"}
        assert server.values(f"x.{home}.a.test") == {"NXDOMAIN"}
        assert server.values(f"{n1}.nodes.b.test") == {"192.0.2.1"}
        assert server.values(f"{n1}.nodes.a.test") == {"NXDOMAIN"}
        farm.change(n2, {"spec": {"unschedulable": True}})
        farm.ready(n1, ready=False)
        holds(server, f"{home}.b.test")
        assert server.values(f"{n1}.nodes.b.test") == {"192.0.2.1"}
        holds(server, f"{home}.a.test", "192.0.2.2")
        farm.patch(ZONES, "b.test", {"spec": {"cluster": {"hostNames": "Drop", "leaveOutCordoned": False}}})
        holds(server, f"{home}.b.test", "192.0.2.2")
        assert server.values(f"{n1}.nodes.b.test") == set()
        farm.patch(ZONES, "b.test", {"spec": {"cluster": None}})
        holds(server, f"{home}.b.test", "NXDOMAIN")
        assert server.values(f"{home}.a.test") == {"192.0.2.2"}


def test_nodes_follow_their_site(farm: Farm) -> None:
    """auto in the annotation, or for all without one; a family that the Site lacks comes from ExternalIP."""
    home, site = farm.area("home"), farm.namespace
    farm.address(site, "203.0.113.10")
    farm.patch("homing.dev/v1alpha1/sites", site, {"spec": {"nodeSelector": {"site": site}}})
    n1 = farm.node("n1", ips="auto", labels={"site": site}, external=["198.51.100.1", "2001:db8::e1"])
    farm.node("n2", ips=None, labels={"site": site})
    farm.farm("a.test")
    farm.farm("b.test", defaultIPs="Auto", hostNames="Keep")
    with farm.serving() as server:
        holds(server, f"{home}.a.test", "203.0.113.10")
        assert server.values(f"{home}.a.test", "AAAA") == {"2001:db8::e1"}
        assert server.values(f"n2-{site}.nodes.b.test") == {"203.0.113.10"}
        farm.address(site, "203.0.113.20")
        holds(server, f"{home}.a.test", "203.0.113.20", seconds=1.0)
        holds(server, f"n2-{site}.nodes.b.test", "203.0.113.20", seconds=1.0)
        farm.annotate(n1, ips="192.0.2.9")
        holds(server, f"{home}.a.test", "192.0.2.9")


def test_a_restart_keeps_what_domains_published_and_nothing_else(farm: Farm) -> None:
    """A retained name stays; an area that nobody lists any more does not."""
    home = f"{farm.area('home')}.a.test"
    n1 = farm.node("n1", ips="192.0.2.1")
    farm.farm("a.test")
    farm.name("kept.a.test", {"static": ["203.0.113.77"]}, name="kept")
    with farm.serving() as server:
        holds(server, home, "192.0.2.1")
        farm.wait_for(DOMAINS, "kept")
        farm.delete(DOMAINS, "kept")
        until(lambda: farm.get(DOMAINS, "kept") is None, 5, "the end of the Domain")
    farm.forget(n1)
    with farm.serving() as server:
        holds(server, home, "NXDOMAIN")
        assert server.values("kept.a.test") == {"203.0.113.77"}
