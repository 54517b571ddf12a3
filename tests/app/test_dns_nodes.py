"""Zones of nodes and Services, as their users meet them: against a real API server, by questions."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.app.running import HOMING, environment, get, run
from tests.app.test_dns_cluster import WWW, ZONES, House, described, holds, view
from tests.app.test_dns_command import Server
from tests.cluster.fixtures import Cluster
from tests.cluster.nodes import node, ready_condition
from tests.cluster.relay import Relay
from tests.operator.rights import asked, documents, granted
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
        self.made.append((SERVICES, name))  # not with the namespace, some time after: the next test would see that

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
        until(lambda: view(server) == "live", 15, "a live view")
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


def test_a_zone_that_changes_all_the_time_does_not_burden_the_api_server(farm: Farm) -> None:
    """Its status follows once in two seconds while only the serial moves, and tells the last one in the end."""
    node, home = farm.node("n1", ips="192.0.2.1"), f"{farm.area('home')}.a.test"
    farm.farm("a.test")
    with farm.serving() as server:
        holds(server, home, "192.0.2.1")
        until(lambda: farm.status(ZONES, "a.test").get("serial") == server.serial("a.test"), 10, "the status")
        told, begun = set[int](), time.monotonic()
        for number in itertools.count(2):
            farm.annotate(node, ips=f"192.0.2.{number}")
            holds(server, home, f"192.0.2.{number}")
            told.add(farm.status(ZONES, "a.test")["serial"])
            if (took := time.monotonic() - begun) > 2.5 and number > 10:
                break
        assert len(told) <= 2 + took / 2
        until(lambda: farm.status(ZONES, "a.test")["serial"] == server.serial("a.test"), 5, "the status")


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
        holds(server, f"n2-{site}.nodes.b.test", "203.0.113.10")
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


# The drop-in for the Go node DNS: SPEC C1-C8, by its flags alone, with the rights that its ClusterRole has.

RIGHTS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: node-dns}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAMESPACE}
rules:
- {apiGroups: [""], resources: [nodes, services], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAMESPACE}
subjects: [{kind: ServiceAccount, name: node-dns, namespace: NAMESPACE}]
"""

LB = "lb.test"
MANDATORY = (
    "--zone",
    LB,
    "--soa-ns",
    "ns1.lb.test:192.0.2.53,2001:db8::53;ns2.example",
    "--soa-email",
    "ad.min@lb.test",
)


class DropIn(Farm):
    """The cluster, and replicas with flags only."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster, folder)
        cluster.apply(RIGHTS.replace("NAMESPACE", self.namespace))
        self.kubeconfig = cluster.as_service_account("node-dns")

    def replica(self, *words: str, state: str = "state", kubeconfig: Path | None = None) -> Server:
        """One replica; words after the mandatory flags."""
        folder = self.folder / state
        folder.mkdir(exist_ok=True)
        argv = [*HOMING, "dns", *MANDATORY, "--kubeconfig", str(kubeconfig or self.kubeconfig)]
        argv += ["--bind", "127.0.0.1", "--port", "0", "--workers", "1", "--web", "127.0.0.1:0"]
        return Server([*argv, "--state", str(folder), *words], folder, environment(folder))

    def end(self) -> None:
        """Take the role away too."""
        super().end()
        self.cluster.kubectl("delete", "clusterrole,clusterrolebinding", self.namespace)


@pytest.fixture
def drop(cluster: Cluster, tmp_path: Path) -> Iterator[DropIn]:
    made = DropIn(cluster, tmp_path)
    try:
        yield made
    finally:
        made.end()


def live(server: Server) -> None:
    """Wait for the first full view."""
    until(lambda: view(server) == "live", 15, "the first view")


def test_c1_annotations_are_read_entry_by_entry(drop: DropIn) -> None:
    """Lower-cased, deduplicated, mapped IPv4 as IPv4; an invalid entry is told and left out; the keys may be others."""
    home = f"{drop.area('home')}.{LB}"
    drop.node("n1", "home", ips="192.0.2.1, 192.0.2.1 ,::ffff:192.0.2.2,nonsense, fe80::1%eth0,2001:DB8::1")
    drop.node(
        "n2", f"{drop.area('HOME').upper()},bad..label,-x,{'a' * 64},under_score{drop.namespace[-6:]}", ips="192.0.2.3"
    )
    other = drop.node("n3", "", ips="192.0.2.66")
    drop.change(
        other, {"metadata": {"annotations": {"example.org/areas": drop.area("other"), "example.org/ips": "192.0.2.4"}}}
    )
    with drop.replica() as server:
        live(server)
        assert server.values(home) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
        assert server.values(home, "AAAA") == {"2001:db8::1"}
        assert server.values(f"under_score{drop.namespace[-6:]}.{LB}") == {"192.0.2.3"}
        for told in ("nonsense", "fe80::1%eth0", "bad..label", "'-x'", "aaaa"):
            assert told in server.log
    with drop.replica("--areas-annotation", "example.org/areas", "--ips-annotation", "example.org/ips") as server:
        live(server)
        assert server.values(f"{drop.area('other')}.{LB}") == {"192.0.2.4"}
        assert server.values(home) == {"NXDOMAIN"}


def test_c2_areas_answer_with_their_ready_nodes(drop: DropIn) -> None:
    """Not ready or deleted is out; none ready is no answer, listed by nobody no name, both with the SOA."""
    home = f"{drop.area('home')}.{LB}"
    n1, n2 = drop.node("n1", ips="192.0.2.1"), drop.node("n2", ips="192.0.2.2")
    with drop.replica() as server:
        live(server)
        assert server.values(home) == {"192.0.2.1", "192.0.2.2"}
        drop.ready(n1, ready=False)
        holds(server, home, "192.0.2.2", seconds=2.0)
        drop.change(n2, {"metadata": {"finalizers": ["example.org/wait"]}})
        drop.forget(n2)
        holds(server, home, seconds=2.0)
        assert server.values(home, "TXT") == {TXT}
        assert server.values(f"v6.{home}", "TXT") == {TXT}
        (soa,) = server.ask(home).authority
        assert soa.rdtype == dns.rdatatype.SOA
        drop.change(n2, {"metadata": {"finalizers": []}})
        drop.forget(n1)
        holds(server, home, "NXDOMAIN")
        (soa,) = server.ask(home).authority
        assert (soa.rdtype, soa.name.to_text()) == (dns.rdatatype.SOA, f"{LB}.")


def test_c3_the_apex_is_as_the_flags_say(drop: DropIn) -> None:
    """SOA with all its numbers, NS with glue, the server's name before an area of that name, TTLs."""
    drop.node("n1", "ns1,home", ips="192.0.2.1")
    drop.annotate(f"n1-{drop.namespace}", areas=f"ns1,{drop.area('home')}")
    flags = ["--ttl", "7", "--soa-refresh", "1", "--soa-retry", "2", "--soa-expire", "3", "--soa-ttl", "4"]
    with drop.replica(*flags, "--soa-neg-ttl", "5", "--leader-elect") as server:
        live(server)
        (soa,) = server.ask(LB, "SOA").answer
        assert soa.ttl == 4
        assert soa[0].to_text().split()[:2] == ["ns1.lb.test.", r"ad\.min.lb.test."]
        assert (soa[0].refresh, soa[0].retry, soa[0].expire, soa[0].minimum) == (1, 2, 3, 5)
        response = server.ask(LB, "NS")
        assert {rdata.to_text() for rdata in response.answer[0]} == {"ns1.lb.test.", "ns2.example."}
        assert {rdata.to_text() for item in response.additional for rdata in item} == {"192.0.2.53", "2001:db8::53"}
        assert server.values(f"ns1.{LB}") == {"192.0.2.53"}
        assert server.values(f"ns1.{LB}", "AAAA") == {"2001:db8::53"}
        assert server.values(f"v4.ns1.{LB}") == {"192.0.2.1"}
        assert server.ask(f"{drop.area('home')}.{LB}").answer[0].ttl == 7
        assert server.ask(f"nobody.{LB}").authority[0].ttl == 4


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--zone", LB], "needs --soa-ns and --soa-email too"),
        (["--zone", LB, "--soa-ns", "ns1.lb.test", "--soa-email", "a@b.test"], "give its addresses"),
        (["--zone", LB, "--soa-ns", "ns1.lb.test:1.1.1", "--soa-email", "a@b.test"], "is not an IP address"),
        (["--zone", "a..b", "--soa-ns", "n.test", "--soa-email", "a@b.test"], "empty label"),
        (["--zone", LB, "--soa-ns", "n.test", "--soa-email", "a@b..test"], "is not an e-mail address"),
    ],
)
def test_c3_flags_that_say_no_zone_are_refused(tmp_path: Path, words: list[str], told: str) -> None:
    """With what is missing or wrong."""
    done = run("dns", *words, home=tmp_path)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


def test_c4_families_have_names_of_their_own(drop: DropIn) -> None:
    """v4 only A, v6 only AAAA, for areas and Services; v4 alone is an area like any other."""
    home, git = f"{drop.area('home')}.{LB}", f"git.{drop.namespace}.{LB}"
    n1 = drop.node("n1", "home", ips="192.0.2.1,2001:db8::1")
    drop.annotate(n1, areas=f"{drop.area('home')},v4")
    drop.service("git")
    drop.slice("git-1", "git", {"node": n1})
    with drop.replica() as server:
        live(server)
        for name in (home, git, f"v4.{LB}"):
            assert [server.values(name, kind) for kind in ("A", "AAAA")] == [{"192.0.2.1"}, {"2001:db8::1"}]
        for name in (home, git):
            assert [server.values(f"v4.{name}", kind) for kind in ("A", "AAAA", "TXT")] == [{"192.0.2.1"}, set(), set()]
            assert [server.values(f"v6.{name}", kind) for kind in ("A", "AAAA", "TXT")] == [
                set(),
                {"2001:db8::1"},
                set(),
            ]


def test_c5_services_answer_with_the_nodes_behind_them(drop: DropIn) -> None:
    """Over all slices; unknown is ready; serving while ending only when none is ready; without node name left out."""
    git = f"git.{drop.namespace}.{LB}"
    nodes = [drop.node(f"n{number}", ips=f"192.0.2.{number}") for number in (1, 2, 3)]
    drop.service("git")
    drop.service("other", dns="yes")
    drop.slice("other-1", "other", {"node": nodes[0]})
    drop.slice("git-1", "git", {"node": nodes[0]}, {"ready": True})
    ending = {"node": nodes[2], "ready": False, "serving": True, "terminating": True}
    drop.slice("git-2", "git", {"node": nodes[1], "ready": True}, ending)
    with drop.replica() as server:
        live(server)
        assert server.values(git) == {"192.0.2.1", "192.0.2.2"}
        assert server.values(f"other.{drop.namespace}.{LB}") == {"NXDOMAIN"}
        drop.ready(nodes[0], ready=False)
        holds(server, git, "192.0.2.2", seconds=2.0)
        drop.delete(SLICES, "git-1")
        drop.slice("git-2", "git", ending)
        holds(server, git, "192.0.2.3", seconds=2.0)
        drop.delete(SLICES, "git-2")
        holds(server, git, seconds=2.0)
        assert server.ask(git).authority[0].rdtype == dns.rdatatype.SOA
        drop.delete(SERVICES, "git")
        holds(server, git, "NXDOMAIN", seconds=2.0)
    with drop.replica("--service-annotation", "example.org/none") as server:
        live(server)
        assert server.values(git) == {"NXDOMAIN"}


def test_c6_questions_are_answered_by_the_book(drop: DropIn) -> None:
    """SERVFAIL before the first view; then each rule of the line."""
    name = f"{drop.area('Big')}.{LB}"
    drop.node("n1", "Big", ips=",".join(f"192.0.2.{number}" for number in range(1, 61)))
    blind = drop.cluster.kubeconfig(server="https://127.0.0.1:9")
    with drop.replica(kubeconfig=blind) as server:
        assert {*server.values(name), *server.values(LB, "SOA")} == {"SERVFAIL"}
        assert view(server) == "503"
    with drop.replica() as server:
        live(server)
        host, port = server.dns
        assert server.values("elsewhere.test") == {"REFUSED"}
        chaos = dns.message.make_query(LB, "TXT", "CH")
        assert dns.query.udp(chaos, host, timeout=3, port=port).rcode() == dns.rcode.REFUSED
        two = dns.message.make_query(LB, "A")
        two.question.append(dns.message.make_query(name, "A").question[0])
        answered = dns.query.udp(two, host, timeout=3, port=port)
        assert answered.rcode() == dns.rcode.FORMERR
        mixed = name.replace("Big", "bIg")
        plain = dns.query.udp(dns.message.make_query(mixed, "A", use_edns=False), host, timeout=3, port=port)
        assert plain.question[0].name.to_text() == f"{mixed}."
        assert (plain.edns, bool(plain.flags & dns.flags.TC)) == (-1, True)
        wide = dns.query.udp(dns.message.make_query(name, "A", use_edns=0, payload=1232), host, timeout=3, port=port)
        assert (wide.edns, bool(wide.flags & dns.flags.TC), len(wide.answer[0])) == (0, False, 60)
        assert len(server.ask(name, tcp=True).answer[0]) == 60
        assert server.values(name, "ANY") == {'"RFC8482" ""'}


def test_c7_the_serial_grows_with_content_alone(drop: DropIn) -> None:
    """A label, a heartbeat or an equal address change nothing; an address does."""
    home = f"{drop.area('home')}.{LB}"
    n1 = drop.node("n1", ips="192.0.2.1")
    with drop.replica() as server:
        live(server)
        serial = server.serial(LB)
        drop.change(n1, {"metadata": {"labels": {"some": "label"}}})
        drop.ready(n1, ready=True)
        drop.annotate(n1, ips="192.0.2.1,192.0.2.1")
        drop.node("n2", "other", ips="")
        holds(server, f"{drop.area('other')}.{LB}")
        grown = server.serial(LB)
        assert grown > serial
        drop.annotate(n1, ips="192.0.2.2")
        holds(server, home, "192.0.2.2", seconds=2.0)
        assert server.serial(LB) > grown
        grown = server.serial(LB)
    with drop.replica() as server:
        live(server)
        assert server.serial(LB) == grown


def test_c8_every_replica_answers_with_few_rights(drop: DropIn) -> None:
    """Two at once, without a Lease, an event or a kind of ours; nothing that they ask for is refused."""
    home = f"{drop.area('home')}.{LB}"
    drop.node("n1", ips="192.0.2.1")
    with drop.replica() as first, drop.replica("--leader-elect", state="second") as second:
        for server in (first, second):
            live(server)
            assert server.values(home) == {"192.0.2.1"}
    allowed, refused = asked(drop, "node-dns")
    assert refused == []
    wanted = {(right.resource, right.verb) for right in granted(documents("node-dns.yaml"))}
    assert {(right.resource, right.verb) for right in allowed} == wanted


def test_auto_without_a_right_to_sites_is_the_external_address(drop: DropIn) -> None:
    """It is told; nodes that need no Site do not wait for that, once served."""
    n1 = drop.node("n1", ips="192.0.2.1", external=["198.51.100.1"])
    home = f"{drop.area('home')}.{LB}"
    with drop.replica() as server:
        live(server)
        drop.annotate(n1, ips="auto")
        drop.node("n2", ips="192.0.2.2")
        holds(server, home, "192.0.2.1", "192.0.2.2", seconds=2.0)
        holds(server, home, "198.51.100.1", "192.0.2.2", seconds=20.0)
        assert "Sites cannot be read" in server.log


def test_c9_blindness_is_survived(drop: DropIn) -> None:
    """The last view stays, a restart serves it at once and says so; then the cluster is followed again."""
    home = f"{drop.area('home')}.{LB}"
    n1 = drop.node("n1", ips="192.0.2.1")
    with Relay(drop.cluster.plane.port) as relay:
        kubeconfig = drop.cluster.as_service_account("node-dns", server=relay.server)
        with drop.replica(kubeconfig=kubeconfig) as server:
            live(server)
            serial = server.serial(LB)
            relay.refuse()
            until(lambda: view(server) == "last-good", 10, "that it is told")
            assert server.values(home) == {"192.0.2.1"}
            server.stop()
            with drop.replica(kubeconfig=kubeconfig) as again:
                assert (again.values(home), again.serial(LB)) == ({"192.0.2.1"}, serial)
                assert view(again) == "last-good"
                drop.annotate(n1, ips="192.0.2.2")
                relay.heal()
                holds(again, home, "192.0.2.2", seconds=20.0)
                until(lambda: view(again) == "live", 15, "that it is told")


def test_the_zone_goes_beside_zones_of_the_cluster(farm: Farm) -> None:
    """With --kubernetes; a Zone of the same name says so."""
    home = farm.area("home")
    farm.node("n1", ips="192.0.2.1")
    farm.zone("a.test", WWW)
    farm.zone(LB, WWW)
    with farm.serving("--kubernetes", *MANDATORY) as server:
        holds(server, "www.a.test", "192.0.2.1")
        holds(server, f"{home}.{LB}", "192.0.2.1")
        farm.wait_for(ZONES, LB, status="False", reason="Conflict")
        assert "homing_zone_view_age_seconds" in get(f"{server.web}/metrics")[1]
