"""``homing dns`` on the Zones of a real API server: as its user meets it, by kubectl and by questions."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.tsigkeyring
import pytest

import dns.zone
from tests.app.running import HOMING, environment, get
from tests.app.test_dns_command import Server, write
from tests.cluster.fixtures import Cluster
from tests.dns_servers import KEY, KEY_NAME, OTHER_KEY, ZONE, secondary
from tests.monitoring.exposition import check_exposition
from tests.operator.running import CLUSTER_PROVIDERS, DOMAINS, PROVIDERS, SITES, Kube
from tests.ports import free_port
from tests.waiting import until

pytestmark = pytest.mark.cluster

ZONES = "homing.dev/v1alpha1/zones"
LEASE = 3.0
"""Seconds of the Lease of the tests."""

WWW = {"name": "www", "type": "A", "values": ["192.0.2.1"]}


class House(Kube):
    """The cluster with a ClusterProvider for the own zones; Zones and Sites go with the test."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster)
        self.folder = folder
        self.made: list[tuple[str, str]] = []
        spec = {"zone": {}, "allowedDomains": ["test", "net"], "allowedNamespaces": [self.namespace]}
        self.put(CLUSTER_PROVIDERS, "ClusterProvider", self.namespace, spec=spec)
        self.made.append((CLUSTER_PROVIDERS, self.namespace))

    def zone(self, origin: str, *records: dict[str, Any], name: str = "", **more: Any) -> None:
        """Create or change a Zone; it is named after the origin."""
        servers = [{"name": f"ns1.{origin}", "addresses": ["192.0.2.53"]}]
        spec = {"origin": origin, "nameServers": servers, "records": list(records), **more}
        self.put(ZONES, "Zone", name or origin, spec=spec)
        self.made.append((ZONES, name or origin))

    def records(self, origin: str, *records: dict[str, Any]) -> None:
        """Change the records of a Zone."""
        self.patch(ZONES, origin, {"spec": {"records": list(records)}})

    def address(self, site: str, address: str) -> None:
        """Have a Site tell an address, as its agent does."""
        self.put(SITES, "Site", site, spec={})
        self.made.append((SITES, site))
        self.patch(SITES, site, {"status": {"addresses": [{"family": "IPv4", "address": address}]}}, "status")

    def name(self, fqdn: str, addresses: dict[str, Any], name: str = "", **more: Any) -> None:
        """A Domain that is published in the own zones."""
        provider = {"kind": "ClusterProvider", "name": self.namespace}
        self.domain(name or fqdn.replace(".", "-"), fqdn, addresses, providerRef=provider, **more)

    def serving(self, *words: str, state: str = "state", port: int = 0, server: str = "", account: str = "") -> Server:
        """A replica; ``server`` is another way to the API server, ``account`` a service account."""
        cluster, folder = self.cluster, self.folder / state
        kubeconfig = cluster.as_service_account(account) if account else cluster.kubeconfig(server=server)
        folder.mkdir(exist_ok=True)
        argv = [*HOMING, "dns", "--kubeconfig", str(kubeconfig)]
        argv += ["--namespace", self.namespace, "--watch-namespace", self.namespace, "--lease-duration", str(LEASE)]
        argv += ["--bind", "127.0.0.1", "--port", str(port), "--workers", "1", "--web", "127.0.0.1:0"]
        return Server([*argv, "--state", str(folder), *words], folder, environment(folder))

    def end(self) -> None:
        """Take away what belongs to the whole cluster."""
        for resource, name in self.made:
            self.delete(resource, name)


@pytest.fixture
def house(cluster: Cluster, tmp_path: Path) -> Iterator[House]:
    made = House(cluster, tmp_path)
    try:
        yield made
    finally:
        made.end()


def view(server: Server) -> str:
    """What /readyz says: live, last-good, or its status."""
    status, text = get(f"{server.web}/readyz")
    return str(json.loads(text).get("view")) if status == 200 else str(status)


def holds(server: Server, name: str, *values: str, kind: str = "A", seconds: float = 10.0) -> None:
    """Wait for an answer."""
    until(lambda: server.values(name, kind) == set(values), seconds, f"{name} {kind} {values}")


def transfers(server: Server, secret: str) -> bool:
    """Whether the zone can be transferred with a key."""
    found = dns.zone.Zone(ZONE)
    query = dns.message.make_query(ZONE, "AXFR")
    query.use_tsig(dns.tsigkeyring.from_text({KEY_NAME: secret}))
    host, port = server.dns
    try:
        dns.query.inbound_xfr(host, found, query, port=port, timeout=5)
    except (dns.exception.DNSException, OSError):
        return False
    return True


def described(house: House, zone: str) -> str:
    """What kubectl says of a Zone."""
    return house.cluster.kubectl("describe", "zone", zone)


def test_a_zone_is_served_and_told(house: House) -> None:
    """Static records of any type; kubectl shows serial, records and Ready; a change grows the serial by one."""
    house.zone(
        "a.test",
        WWW,
        {"name": "@", "type": "MX", "values": ["10 mail", "20 mail.example.org."]},
        {"name": "_sip._tcp", "type": "SRV", "values": ["0 5 5060 www"]},
        {"name": "@", "type": "TXT", "values": ['"v=spf1 -all"'], "ttlSeconds": 60},
        {"name": "@", "type": "CAA", "values": ['0 issue "ca.example.net"']},
    )
    with house.serving() as server:
        holds(server, "www.a.test", "192.0.2.1")
        assert server.values("a.test", "MX") == {"10 mail.a.test.", "20 mail.example.org."}
        assert server.values("_sip._tcp.a.test", "SRV") == {"0 5 5060 www.a.test."}
        assert server.values("a.test", "TXT") == {'"v=spf1 -all"'}
        assert server.values("a.test", "NS") == {"ns1.a.test."}
        assert server.values("ns1.a.test") == {"192.0.2.53"}
        until(lambda: view(server) == "live", 15, "a live view")
        house.wait_for(ZONES, "a.test")
        serial = server.serial("a.test")
        status = house.status(ZONES, "a.test")
        assert (status["serial"], status["records"], status["observedGeneration"]) == (serial, 9, 1)
        columns = house.cluster.kubectl("get", "zones", "a.test", "--no-headers").split()
        assert str(serial) in columns
        assert "True" in columns
        house.records("a.test", {**WWW, "values": ["192.0.2.2"]})
        holds(server, "www.a.test", "192.0.2.2")
        assert server.serial("a.test") == serial + 1
        until(lambda: house.status(ZONES, "a.test")["serial"] == serial + 1, 5, "the serial in the status")
        assert server.values("b.test") == {"REFUSED"}
        check_exposition("dns-kubernetes", get(f"{server.web}/metrics")[1])


def test_a_domain_follows_its_site_within_a_second(house: House) -> None:
    """It is served beside the static records; its status tells; when it is deleted with policy Delete it goes."""
    house.zone("a.test", WWW)
    house.address(house.namespace, "203.0.113.10")
    wan = {"wan": {"site": house.namespace, "families": ["IPv4"]}}
    house.name("home.a.test", wan, ttlSeconds=30, deletionPolicy="Delete")
    house.name("fixed.a.test", {"static": ["203.0.113.77", "2001:db8::77"]})
    with house.serving() as server:
        holds(server, "home.a.test", "203.0.113.10")
        holds(server, "fixed.a.test", "2001:db8::77", kind="AAAA")
        house.wait_for(DOMAINS, "home-a-test")
        serial = server.serial("a.test")
        house.address(house.namespace, "203.0.113.20")
        holds(server, "home.a.test", "203.0.113.20", seconds=1.0)
        assert server.serial("a.test") == serial + 1
        until(lambda: house.status(DOMAINS, "home-a-test")["addresses"] == ["203.0.113.20"], 5, "the status")
        until(lambda: ("Normal", "Updated") in house.events("home-a-test"), 5, "the event")
        house.delete(DOMAINS, "home-a-test")
        house.delete(DOMAINS, "fixed-a-test")
        holds(server, "home.a.test", "NXDOMAIN")
        assert server.values("fixed.a.test") == {"203.0.113.77"}
        assert server.values("www.a.test") == {"192.0.2.1"}


def test_a_domain_that_moves_to_another_provider_leaves_the_zone(house: House) -> None:
    """With policy Delete its name goes, though nobody publishes it elsewhere yet; back again, it is served again."""
    house.zone("a.test", WWW)
    house.name("home.a.test", {"static": ["203.0.113.77"]}, deletionPolicy="Delete")
    with house.serving() as server:
        holds(server, "home.a.test", "203.0.113.77")
        house.wait_for(DOMAINS, "home-a-test")
        house.put(PROVIDERS, "Provider", "other", spec={"gandi": {}, "secretRef": {"name": "none"}})
        house.patch(DOMAINS, "home-a-test", {"spec": {"providerRef": {"kind": "Provider", "name": "other"}}})
        holds(server, "home.a.test", "NXDOMAIN")
        house.patch(
            DOMAINS, "home-a-test", {"spec": {"providerRef": {"kind": "ClusterProvider", "name": house.namespace}}}
        )
        holds(server, "home.a.test", "203.0.113.77")


def test_zones_come_and_go_without_touching_others(house: House) -> None:
    """A new Zone is served, with the Domain that waited for it; a deleted one REFUSED; made anew, its serial grows."""
    house.zone("a.test", WWW)
    house.name("x.b.test", {"static": ["203.0.113.77"]})
    with house.serving() as server:
        holds(server, "www.a.test", "192.0.2.1")
        told = house.wait_for(DOMAINS, "x-b-test", status="False")
        assert "in none of its zones (a.test)" in told["message"]
        serial = server.serial("a.test")
        house.zone("b.test", WWW)
        holds(server, "x.b.test", "203.0.113.77", seconds=2.0)
        house.wait_for(DOMAINS, "x-b-test")
        before = server.serial("b.test")
        house.delete(ZONES, "b.test")
        holds(server, "www.b.test", "REFUSED")
        house.zone("b.test", WWW)
        holds(server, "x.b.test", "203.0.113.77")
        assert server.values("www.b.test") == {"192.0.2.1"}
        assert server.serial("b.test") > before
        assert server.serial("a.test") == serial


def test_a_broken_record_is_refused_and_the_old_zone_stays(house: House) -> None:
    """Condition and event name the record and what is wrong; what is right again is served; other changes wait."""
    house.zone("a.test", WWW)
    with house.serving() as server:
        house.wait_for(ZONES, "a.test")
        serial = server.serial("a.test")
        broken = {"name": "mail", "type": "MX", "values": ["ten mail.a.test."]}
        house.records("a.test", {**WWW, "values": ["192.0.2.9"]}, broken)
        told = house.wait_for(ZONES, "a.test", status="False", reason="InvalidRecords")
        assert "record mail MX, value 'ten mail.a.test.'" in told["message"]
        assert house.status(ZONES, "a.test")["serial"] == serial
        assert server.values("www.a.test") == {"192.0.2.1"}
        until(lambda: "InvalidRecords" in described(house, "a.test").partition("Events:")[2], 5, "the event")
        house.records("a.test", WWW, {"name": "www", "type": "CNAME", "values": ["ns1"]})
        until(lambda: "CNAME" in house.condition(ZONES, "a.test")["message"], 5, "the other problem")
        assert (server.values("www.a.test"), server.serial("a.test")) == ({"192.0.2.1"}, serial)
        house.records("a.test", {**WWW, "values": ["192.0.2.9"]})
        holds(server, "www.a.test", "192.0.2.9")
        house.wait_for(ZONES, "a.test")
        house.zone("b.test", broken)
        house.wait_for(ZONES, "b.test", status="False", reason="InvalidRecords")
        assert server.values("www.b.test") == {"SERVFAIL"}
        house.zone("a.test", WWW, name="second")
        assert "Zone a.test is of a.test too" in house.wait_for(ZONES, "second", status="False")["message"]


def test_a_static_record_stands_before_a_domain(house: House) -> None:
    """The Domain says so, whichever came first; once the record is gone the Domain has the name."""
    house.zone("a.test", WWW)
    house.name("www.a.test", {"static": ["203.0.113.77"]})
    house.name("alias.a.test", {"static": ["203.0.113.78"]})
    with house.serving() as server:
        told = house.wait_for(DOMAINS, "www-a-test", status="False", reason="UpdateFailed")
        assert "www.a.test is a fixed record of zone a.test" in told["message"]
        assert server.values("www.a.test") == {"192.0.2.1"}
        holds(server, "alias.a.test", "203.0.113.78")
        house.records("a.test", {"name": "alias", "type": "CNAME", "values": ["ns1"]})
        holds(server, "www.a.test", "203.0.113.77")
        house.wait_for(DOMAINS, "www-a-test")
        told = house.wait_for(DOMAINS, "alias-a-test", status="False", reason="UpdateFailed")
        assert "CNAME" in told["message"]
        assert server.values("alias.a.test", "CNAME") == {"ns1.a.test."}
        house.wait_for(ZONES, "a.test")


def test_answers_go_on_without_the_api_server(house: House) -> None:
    """It is killed: answers stay, a restart serves the last good zone and says so; back again, it is followed."""
    house.zone("a.test", WWW)
    house.zone("gone.test", WWW)
    house.name("home.a.test", {"static": ["203.0.113.77"]})
    plane = house.cluster.plane
    with house.serving() as server:
        house.wait_for(DOMAINS, "home-a-test")
        house.wait_for(ZONES, "gone.test")
        house.delete(ZONES, "gone.test")
        holds(server, "www.gone.test", "REFUSED")
        serial = server.serial("a.test")
        plane.kill_apiserver()
        try:
            until(lambda: view(server) == "last-good", 10, "the end of leading")
            assert (server.values("www.a.test"), server.values("home.a.test")) == ({"192.0.2.1"}, {"203.0.113.77"})
            server.stop()
            with house.serving() as again:
                assert (again.values("www.a.test"), again.values("home.a.test")) == ({"192.0.2.1"}, {"203.0.113.77"})
                assert again.serial("a.test") == serial
                assert again.values("www.gone.test") == {"REFUSED"}
                assert view(again) == "last-good"
                plane.start_apiserver()
                until(lambda: view(again) == "live", 10, "leading again")
                assert again.serial("a.test") == serial
                house.records("a.test", {**WWW, "values": ["192.0.2.2"]})
                holds(again, "www.a.test", "192.0.2.2")
                assert again.serial("a.test") == serial + 1
                assert again.values("home.a.test") == {"203.0.113.77"}
        finally:
            with contextlib.suppress(AssertionError):
                plane.start_apiserver()


def test_the_next_replica_takes_over_from_a_killed_leader(house: House) -> None:
    """Within the lease and little more; serials do not fall, no name is lost, and back again the first is above."""
    house.zone("a.test", WWW)
    house.name("home.a.test", {"static": ["203.0.113.77"]})
    with house.serving(state="first") as first:
        house.wait_for(DOMAINS, "home-a-test")
        house.records("a.test", {**WWW, "values": ["192.0.2.2"]})
        holds(first, "www.a.test", "192.0.2.2")
        serial = first.serial("a.test")
        until(lambda: house.status(ZONES, "a.test")["serial"] == serial, 5, "the status")
        with house.serving(state="second") as second:
            assert second.values("www.a.test") == {"SERVFAIL"}
            assert view(second) == "503"
            first.kill()
            until(lambda: view(second) == "live", LEASE + 4, "the takeover")
            assert (second.values("www.a.test"), second.values("home.a.test")) == ({"192.0.2.2"}, {"203.0.113.77"})
            later = second.serial("a.test")
            assert later > serial
            house.records("a.test", {**WWW, "values": ["192.0.2.3"]})
            holds(second, "www.a.test", "192.0.2.3")
            until(lambda: house.status(ZONES, "a.test")["serial"] == later + 1, 5, "the status")
        with house.serving(state="first") as back:
            until(lambda: view(back) == "live", 10, "leading again")
            assert (back.values("www.a.test"), back.values("home.a.test")) == ({"192.0.2.3"}, {"203.0.113.77"})
            assert back.serial("a.test") > later + 1


@pytest.mark.peers
async def test_a_secondary_follows_by_a_key_from_a_secret(house: House, tmp_path: Path) -> None:
    """Knot transfers with the key, the status tells how far it is; another key in the Secret counts at once."""
    port = free_port()
    (tmp_path / "knot").mkdir()
    knot = secondary("knot", tmp_path / "knot", port)
    reference = {"namespace": house.namespace, "name": "tsig"}
    house.zone(
        ZONE,
        WWW,
        tsigKeys=[{"name": KEY_NAME, "secretRef": reference}],
        secondaries=[{"address": "127.0.0.1", "port": knot.port, "tsigKeyName": KEY_NAME}],
    )
    with house.serving(port=port) as server:
        told = house.wait_for(ZONES, ZONE, status="False", reason="SecretNotFound")
        assert f"no Secret {house.namespace}/tsig" in told["message"]
        assert server.values(f"www.{ZONE}") == {"192.0.2.1"}
        house.secret("tsig", key=KEY)
        house.wait_for(ZONES, ZONE)
        with knot:
            await knot.reaches(server.serial(ZONE))
            house.records(ZONE, {**WWW, "values": ["192.0.2.2"]})
            holds(server, f"www.{ZONE}", "192.0.2.2")
            serial = server.serial(ZONE)
            await knot.reaches(serial)
            assert await knot.addresses(f"www.{ZONE}") == {"192.0.2.2"}
            expected = [{"address": "127.0.0.1", "port": knot.port, "serial": serial, "lagSeconds": 0}]
            until(lambda: house.status(ZONES, ZONE)["secondaries"] == expected, 12, "the status")
            house.secret("tsig", key=OTHER_KEY)
            until(lambda: transfers(server, OTHER_KEY), 5, "the new key")
            assert not transfers(server, KEY)
        assert KEY not in server.log
        assert base64.b64decode(KEY).decode() not in server.log


def test_zone_files_are_served_beside(house: House, tmp_path: Path) -> None:
    """SIGHUP and the cluster leave each other's zones alone; a Zone that a file holds says so."""
    write(tmp_path, "file.test")
    house.zone("a.test", WWW)
    house.zone("file.test", WWW)
    with house.serving("--zone-dir", str(tmp_path)) as server:
        holds(server, "www.a.test", "192.0.2.1")
        told = house.wait_for(ZONES, "file.test", status="False", reason="Conflict")
        assert "a zone file of file.test is served" in told["message"]
        serial = server.serial("a.test")
        write(tmp_path, "file.test", 2, "www A 192.0.2.7\n")
        server.reload()
        assert (server.values("www.file.test"), server.serial("file.test")) == ({"192.0.2.7"}, 2)
        assert (server.values("www.a.test"), server.serial("a.test")) == ({"192.0.2.1"}, serial)


RIGHTS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: dns}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAMESPACE}
rules:
- {apiGroups: [homing.dev], resources: [zones, domains, clusterproviders, sites], verbs: [list, watch]}
- {apiGroups: [homing.dev], resources: [zones/status, domains/status], verbs: [patch]}
- {apiGroups: [homing.dev], resources: [domains], verbs: [patch]}
- {apiGroups: [""], resources: [events], verbs: [create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAMESPACE}
subjects: [{kind: ServiceAccount, name: dns, namespace: NAMESPACE}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: dns}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [homing-dns], verbs: [get, update]}
- {apiGroups: [""], resources: [secrets], resourceNames: [tsig], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: dns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: dns}
subjects: [{kind: ServiceAccount, name: dns}]
"""


def test_few_rights_are_enough(house: House) -> None:
    """With the one Secret of its key, no other Secret and no Provider; what it may not read is told."""
    house.cluster.apply(RIGHTS.replace("NAMESPACE", house.namespace))
    house.secret("tsig", key=KEY)
    house.secret("other", key=OTHER_KEY)
    keys = [{"name": KEY_NAME, "secretRef": {"namespace": house.namespace, "name": "tsig"}}]
    house.zone(ZONE, WWW, tsigKeys=keys, transfers=[{"tsigKeyName": KEY_NAME}])
    house.zone("b.test", tsigKeys=[{"name": "o", "secretRef": {"namespace": house.namespace, "name": "other"}}])
    house.name(f"home.{ZONE}", {"static": ["203.0.113.77"]}, name="home", deletionPolicy="Delete")
    with house.serving(account="dns") as server:
        house.wait_for(DOMAINS, "home")
        house.wait_for(ZONES, ZONE)
        assert transfers(server, KEY)
        told = house.wait_for(ZONES, "b.test", status="False", reason="SecretUnread")
        assert f"Secret {house.namespace}/other cannot be read" in told["message"]
        until(lambda: ("Normal", "Updated") in house.events("home"), 5, "the event")
        house.delete(DOMAINS, "home")
        holds(server, f"home.{ZONE}", "NXDOMAIN")
    house.cluster.kubectl("delete", "clusterrole,clusterrolebinding", house.namespace)
