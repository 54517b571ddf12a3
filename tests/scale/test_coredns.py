"""CoreDNS forwards the zone of nodes to Homing, and users' CNAMEs point there (C8)."""

from __future__ import annotations

from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest
from bench.dns.programs import coredns

from tests.cluster.fixtures import Cluster
from tests.cluster.nodes import create_nodes, node, ready_condition
from tests.cluster.process import Process
from tests.ports import free_port
from tests.scale.crowd import AREAS, IPS
from tests.scale.run import ZONE, node_dns
from tests.waiting import until

pytestmark = pytest.mark.cluster

COREFILE = """
{zone}:{port} {{
  bind 127.0.0.1
  forward . 127.0.0.1:{homing}
}}
example.org:{port} {{
  bind 127.0.0.1
  file {file}
}}
"""

EXAMPLE = """
$ORIGIN example.org.
@ 300 SOA ns1 admin 1 3600 900 86400 30
@ 300 NS ns1
ns1 300 A 192.0.2.53
www 300 CNAME {area}.{zone}.
"""


@pytest.fixture
def area(cluster: Cluster) -> str:
    """An area of one node with both families, and one that is not ready."""
    name = cluster.namespace
    for number, ready in ((1, True), (2, False)):
        noted = {AREAS: name, IPS: f"192.0.2.{number},2001:db8::{number}"}
        create_nodes(
            cluster.plane.admin, [node(f"{name}-{number}", labels=cluster.labels, annotations=noted, ready=ready)]
        )
    return name


def test_coredns_forwards_the_zone_and_resolves_a_cname_through_it(cluster: Cluster, area: str, tmp_path: Path) -> None:
    """An area, one nobody lists, by UDP and TCP; www.example.org is wherever the area's ready nodes are."""
    api, port = cluster.plane.admin, free_port()
    with node_dns(cluster.plane, tmp_path, workers=1) as server:
        until(lambda: server.values(f"{area}.{ZONE}") == {"192.0.2.1"}, 10, "the area")
        (tmp_path / "example.org").write_text(EXAMPLE.format(area=area, zone=ZONE))
        (tmp_path / "Corefile").write_text(
            COREFILE.format(zone=ZONE, port=port, homing=server.dns[1], file=tmp_path / "example.org")
        )
        process = Process(tmp_path / "coredns.log", [coredns(), "-conf", str(tmp_path / "Corefile")])
        process.start()
        try:

            def ask(name: str, kind: str = "A", *, tcp: bool = False) -> tuple[str, list[str]]:
                query = dns.message.make_query(name, kind)
                response = (dns.query.tcp if tcp else dns.query.udp)(query, "127.0.0.1", timeout=3, port=port)
                found = [record.to_text() for rrset in response.answer for record in rrset]
                return dns.rcode.to_text(response.rcode()), sorted(found)

            until(lambda: _listens(port), 20, "CoreDNS")
            assert ask(f"{area}.{ZONE}") == ("NOERROR", ["192.0.2.1"])
            assert ask(f"{area}.{ZONE}", "AAAA", tcp=True) == ("NOERROR", ["2001:db8::1"])
            assert ask(f"v4.{area}.{ZONE}", "AAAA") == ("NOERROR", [])
            assert ask(f"nobody.{ZONE}") == ("NXDOMAIN", [])
            alias = f"{area}.{ZONE}."
            assert ask("www.example.org") == ("NOERROR", sorted(["192.0.2.1", alias]))
            assert ask("www.example.org", "AAAA") == ("NOERROR", sorted(["2001:db8::1", alias]))
            body = {"status": {"conditions": [ready_condition(ready=True)]}}
            path = f"/api/v1/nodes/{area}-2/status"
            api.request("PATCH", path, body, "application/strategic-merge-patch+json")
            both = sorted(["192.0.2.1", "192.0.2.2", alias])
            until(lambda: ask("www.example.org") == ("NOERROR", both), 5, "the second node behind the alias")
        finally:
            process.stop()


def _listens(port: int) -> bool:
    query = dns.message.make_query("example.org", "SOA")
    try:
        return bool(dns.query.udp(query, "127.0.0.1", timeout=0.5, port=port).answer)
    except (OSError, dns.exception.DNSException):
        return False
