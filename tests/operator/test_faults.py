"""The API server and the way to it break while the operator runs; nothing is lost, nothing is written unasked."""

from __future__ import annotations

import os
import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml

from homing.kube.crd import DEFINITIONS, manifest
from homing.standins.internet import StandInInternet
from tests.app.running import HOME, MOVED
from tests.cluster.api import ApiRefused
from tests.cluster.fixtures import Cluster
from tests.cluster.proxy import Proxy
from tests.cluster.relay import Relay
from tests.operator.names import holds, slowly, static, writes
from tests.operator.running import DOMAINS, PROVIDERS, STRATO_DOMAINS, TOKEN, Kube, operator, within
from tests.waiting import patience, until

pytestmark = pytest.mark.cluster

CUTTING = float(os.environ.get("HOMING_FAULT_SECONDS", "10"))
"""Seconds for which connections are cut again and again."""

WWW, LOST = "www.example.org", "not leading any more"


def test_an_api_server_that_crashes_during_a_turn_loses_nothing(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """What was being written is not written twice, nothing is asked without a Lease, and all is made up for after."""
    plane = kube.cluster.plane
    kube.site(world)
    with slowly(kube, world) as way:
        kube.domain("home", "home.example.org", {"wan": {}})
        kube.domain("www", WWW, static(1))
        with operator(kube, tmp_path, world) as process:
            kube.wait_for(DOMAINS, "www")
            kube.wait_for(DOMAINS, "home")
            way.delay(0.5)
            kube.patch(DOMAINS, "www", {"spec": {"addresses": static(2)}})
            until(lambda: holds(world, "www", 2), 30, "the write, whose answer is under way")
            plane.kill_apiserver()
            try:
                until(lambda: LOST in process.text, 30, "the end of leading")
                alone = time.time()
                way.delay(0.0)
                world.move(MOVED)
                assert process.ask("/livez")[0] == 200
                assert process.metric("homing_operator_leader") == 0
            finally:
                plane.start_apiserver()
            until(lambda: world.gandi.values("example.org", "home", "A") == (str(MOVED),), 20, "the new address")
            back = kube.lease()[1]
            for name, address in (("home", str(MOVED)), ("www", "203.0.113.2")):
                until(lambda: kube.status(DOMAINS, name)["addresses"] == [address], 30, "the status")  # noqa: B023
                kube.wait_for(DOMAINS, name)
            assert alone < back
            assert not [item for item in world.gandi.log if alone < item.at < back], "asked without a Lease"
            assert ("Warning", "DriftFound") not in kube.events("www"), "takes its own write for somebody else's"
            assert [item.method for item in writes(world, "www/")] == ["PUT", "PUT"]
            assert "DELETE" not in {item.method for item in world.gandi.log}
            assert process.metric("homing_operator_leader") == 1


def test_an_etcd_that_restarts_loses_nothing(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """Changes made right after it are published, and those from before are not published again."""
    kube.site(world)
    kube.gandi(world)
    kube.domain("home", "home.example.org", {"wan": {}})
    kube.domain("www", WWW, static(1))
    with operator(kube, tmp_path, world):
        kube.wait_for(DOMAINS, "www")
        kube.wait_for(DOMAINS, "home")
        kube.cluster.plane.restart_etcd()
        kube.patch(DOMAINS, "www", {"spec": {"addresses": static(2)}})
        until(lambda: holds(world, "www", 2), 20, "the change")
        until(lambda: kube.status(DOMAINS, "www")["addresses"] == ["203.0.113.2"], 30, "the status")
        assert world.gandi.values("example.org", "home", "A") == (str(HOME),)
        assert [item.method for item in writes(world)] == ["PUT"] * 3


def test_connections_that_are_cut_every_two_seconds_lose_no_change(
    kube: Kube, world: StandInInternet, relay: Relay, tmp_path: Path
) -> None:
    """Each change is published within 5 s, for as long as the cutting goes on; the leader goes on leading."""
    kube.gandi(world)
    kube.domain("www", WWW, static(1))
    with operator(kube, tmp_path, kubeconfig=kube.cluster.kubeconfig(server=relay.server)) as process:
        kube.wait_for(DOMAINS, "www")
        accepted, number, end = relay.accepted, 1, time.monotonic() + CUTTING
        relay.cut_every(2.0)
        while time.monotonic() < end:
            number = number % 250 + 1
            kube.patch(DOMAINS, "www", {"spec": {"addresses": static(number)}})
            until(lambda: holds(world, "www", number), 15, "the change")  # noqa: B023
            kube.domain(f"more-{number}", f"more-{number}.example.org", static(number))
            until(lambda: holds(world, f"more-{number}", number), 15, "the new Domain")  # noqa: B023
            time.sleep(0.5)
        relay.heal()
        until(lambda: kube.status(DOMAINS, "www")["addresses"] == [f"203.0.113.{number}"], 20, "the status")
        assert relay.accepted - accepted > CUTTING
        assert LOST not in process.text


def test_an_expired_token_ends_the_writing_until_it_is_known_again(
    kube: Kube, world: StandInInternet, proxy: Proxy, tmp_path: Path
) -> None:
    """While every request is answered 401 the operator leads no more; afterwards all that changed is published."""
    kube.gandi(world)
    kube.domain("www", WWW, static(1))
    with operator(kube, tmp_path, kubeconfig=kube.cluster.kubeconfig(server=proxy.server)) as process:
        kube.wait_for(DOMAINS, "www")
        proxy.answer(401)
        proxy.cut()
        until(lambda: LOST in process.text, 30, "the end of leading")
        asked = len(writes(world))
        kube.patch(DOMAINS, "www", {"spec": {"addresses": static(2)}})
        kube.domain("mail", "mail.example.org", static(3))
        assert process.metric("homing_operator_leader") == 0
        proxy.heal()
        until(lambda: holds(world, "www", 2) and holds(world, "mail", 3), 15, "the changes")
        assert len(writes(world)) == asked + 2
        kube.wait_for(DOMAINS, "mail")


def test_a_token_that_rotates_is_read_anew(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """The old token ends while the operator leads: it reads the file again, and goes on leading and publishing."""
    admin, plane, namespace = kube.cluster.plane.admin, kube.cluster.plane, kube.namespace
    subject = {"kind": "ServiceAccount", "name": "homing", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    kube.put("v1/serviceaccounts", "ServiceAccount", "homing")
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    admin.request("POST", bindings, {"metadata": {"name": namespace}, "subjects": [subject], "roleRef": role})

    def token(name: str) -> str:
        """A token that ends with a Secret of its own."""
        kube.secret(name, x="x")
        spec = {"expirationSeconds": 3600, "boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": name}}
        path = kube.path("v1/serviceaccounts", "homing", "token")
        return str(admin.request("POST", path, {"spec": spec})["status"]["token"])

    first, second = token("first"), token("second")
    file = tmp_path / "token"
    file.write_text(first)
    config = yaml.safe_load(kube.cluster.kubeconfig().read_text())
    config["users"][0]["user"] = {"tokenFile": str(file)}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))

    def ended() -> bool:
        try:
            plane.api(first).request("GET", kube.path("v1/secrets", "second"))
        except ApiRefused as refused:
            return refused.status == 401
        return False

    try:
        kube.gandi(world)
        kube.domain("www", WWW, static(1))
        with operator(kube, tmp_path / "operator", kubeconfig=kubeconfig) as process:
            kube.wait_for(DOMAINS, "www")
            file.write_text(second)
            kube.delete("v1/secrets", "first")
            until(ended, 20, "the end of the old token, which the API server remembers for 10 s")
            kube.patch(DOMAINS, "www", {"spec": {"addresses": static(2)}})
            until(lambda: holds(world, "www", 2), 15, "the change")
            until(lambda: kube.status(DOMAINS, "www")["addresses"] == ["203.0.113.2"], 15, "the status")
            assert LOST not in process.text
            assert first not in process.text
    finally:
        admin.request("DELETE", f"{bindings}/{namespace}")


def test_a_status_that_cannot_be_written_is_written_15_seconds_later(
    kube: Kube, world: StandInInternet, proxy: Proxy, tmp_path: Path
) -> None:
    """A4: whether by conflicts or by errors; the name is published at once, and only once."""
    faults = [
        proxy.answer(status, "PUT|PATCH", f"/domains/{name}/status")
        for name, status in (("www", 409), ("mail", 500), ("seed", 409))
    ]
    kube.gandi(world)
    kube.domain("www", WWW, static(1))
    kube.domain("mail", "mail.example.org", static(2))
    kube.strato_domain("seed", "www.example.de", ipAddress="8.8.4.4")
    with operator(kube, tmp_path, world, kubeconfig=kube.cluster.kubeconfig(server=proxy.server)) as process:
        until(lambda: all(item.hits for item in faults), 30, "the refused writes")
        until(lambda: process.metric("homing_operator_queue_depth") == 0, 15, "the end of the turns")
        assert not kube.status(DOMAINS, "www")
        assert len(writes(world)) == 2
        began = time.monotonic()
        proxy.heal()
        kube.wait_for(DOMAINS, "www", seconds=20)
        kube.wait_for(DOMAINS, "mail")
        kube.wait_for(STRATO_DOMAINS, "seed")
        assert 10 < time.monotonic() - began < 20 * patience()
        assert kube.status(STRATO_DOMAINS, "seed")["lastResult"] is True
        assert len(writes(world)) == 2
        assert [item.code for item in world.strato.log] == ["good 8.8.4.4"]


def test_a_lockout_that_could_not_be_kept_is_kept_later(
    kube: Kube, world: StandInInternet, proxy: Proxy, tmp_path: Path
) -> None:
    """The pause that a wrong password earned outlives the leader though its first writing failed (law 8)."""
    kube.strato_domain("www", "www.example.de", ipAddress="8.8.4.4")
    kube.secret("strato-dyndns-password", password="a wrong one")
    refused = proxy.answer(409, "PATCH", "/domains/www[?]", times=1)
    with operator(kube, tmp_path, world, kubeconfig=kube.cluster.kubeconfig(server=proxy.server)):
        kube.wait_for(STRATO_DOMAINS, "www", kind="Locked")
        assert refused.hits == 1
        found = kube.get(STRATO_DOMAINS, "www")
        assert found is not None
        assert "badauth" in found["metadata"].get("annotations", {}).get("homing.dev/lockouts", "")


def test_a_secret_deleted_changed_and_recreated_is_followed(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """Each shows in the conditions and counts at once, without a restart; what is published stays throughout."""
    kube.gandi(world)
    kube.domain("www", WWW, static(1))
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "www")
        kube.delete("v1/secrets", "gandi")
        kube.wait_for(DOMAINS, "www", status="False", reason="SecretNotFound")
        kube.wait_for(PROVIDERS, "gandi", status="False", reason="SecretNotFound")
        kube.patch(DOMAINS, "www", {"spec": {"addresses": static(2)}})
        kube.secret("gandi", **{"api-key": "an-old-token"})
        kube.wait_for(DOMAINS, "www", kind="Locked")
        kube.wait_for(PROVIDERS, "gandi", kind="Locked")
        assert holds(world, "www", 1)
        kube.secret("gandi", **{"api-key": TOKEN})
        kube.wait_for(DOMAINS, "www")
        kube.wait_for(PROVIDERS, "gandi")
        assert holds(world, "www", 2)
        world.gandi.token = "the-next-token"
        kube.secret("gandi", **{"api-key": "the-next-token"})
        kube.patch(DOMAINS, "www", {"spec": {"addresses": static(3)}})
        until(lambda: holds(world, "www", 3), 30, "the change with the new token")
        assert {item.method for item in writes(world)} == {"PUT"}


def test_kinds_upgraded_in_place_go_on(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """With a new optional field and other descriptions in the definitions, changes and new Domains are followed."""
    plane = kube.cluster.plane
    newer = [manifest(item) for item in DEFINITIONS]
    for item in newer:
        for part in ("spec", "status"):
            schema = item["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
            schema["properties"]["later"] = {"type": "string", "description": "Of a later version."}
            schema["description"] = "Told in other words."
    kube.gandi(world)
    kube.domain("www", WWW, static(1))
    with operator(kube, tmp_path) as process:
        kube.wait_for(DOMAINS, "www")
        try:
            plane.apply("".join(f"---\n{yaml.safe_dump(item)}" for item in newer))
            kube.domain("mail", "mail.example.org", static(3), later="told by a newer client")
            kube.patch(DOMAINS, "www", {"spec": {"addresses": static(2), "later": "x"}})
            until(lambda: holds(world, "www", 2) and holds(world, "mail", 3), 15, "the changes")
            until(lambda: kube.status(DOMAINS, "www")["addresses"] == ["203.0.113.2"], 15, "the status")
            kube.wait_for(DOMAINS, "mail")
        finally:
            plane.apply("".join(f"---\n{yaml.safe_dump(manifest(item))}" for item in DEFINITIONS))
        kube.patch(DOMAINS, "www", {"spec": {"addresses": static(4)}})
        until(lambda: holds(world, "www", 4), 15, "the change after going back")
        assert LOST not in process.text


def test_a_namespace_that_is_deleted_with_its_domains_does_not_hang(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """Domains that remove their records, their Provider and its Secret go within 30 s, in whatever order."""
    plane = kube.cluster.plane
    name = f"{kube.namespace}-2"
    path = f"/api/v1/namespaces/{name}"
    plane.admin.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    other = Kube(Cluster(plane, name))
    other.gandi(world)
    for number in range(1, 6):
        other.domain(f"d{number}", f"d{number}.example.org", static(number), deletionPolicy="Delete")
    other.strato_domain("seed", "www.example.de", ipAddress="8.8.4.4")
    kube.gandi(world)
    kube.domain("www", WWW, static(9))

    def gone() -> bool:
        try:
            plane.admin.request("GET", path)
        except ApiRefused as refused:
            return refused.status == 404
        return False

    with operator(kube, tmp_path, world, "--watch-namespace", name):
        for number in range(1, 6):
            other.wait_for(DOMAINS, f"d{number}")
        kube.wait_for(DOMAINS, "www")
        plane.admin.request("DELETE", path)
        with within(30):
            until(gone, 30, "the end of the namespace")
        assert holds(world, "www", 9)
        kube.patch(DOMAINS, "www", {"spec": {"addresses": static(8)}})
        until(lambda: holds(world, "www", 8), 15, "the change elsewhere")


@pytest.mark.parametrize("older", ["Domain", "StratoDomain"])
def test_the_older_of_two_kinds_holds_the_name(kube: Kube, world: StandInInternet, tmp_path: Path, older: str) -> None:
    """A Domain of either kind that is younger says Conflict; once the older is gone the name is its own."""
    kube.secret("strato-dyndns-password", password="open-sesame-4711")
    spec = {"strato": {"server": world.strato_url}, "secretRef": {"name": "strato-dyndns-password"}}
    kube.put(PROVIDERS, "Provider", "strato", spec=spec)
    makers = {
        "Domain": lambda: kube.domain("own", "www.example.de", {"static": ["8.8.8.8"]}, "strato"),
        "StratoDomain": lambda: kube.strato_domain("seed", "WWW.example.de", ipAddress="8.8.4.4"),
    }
    objects = {"Domain": (DOMAINS, "own"), "StratoDomain": (STRATO_DOMAINS, "seed")}
    addresses = {"Domain": IPv4Address("8.8.8.8"), "StratoDomain": IPv4Address("8.8.4.4")}
    (younger,) = set(makers) - {older}
    created = makers[older]()["metadata"]["creationTimestamp"]
    until(lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) > created, 3, "the next second")
    makers[younger]()
    with operator(kube, tmp_path, world):
        told = kube.wait_for(*objects[younger], status="False", reason="Conflict")
        assert objects[older][1] in told["message"]
        kube.wait_for(*objects[older])
        assert world.strato.published["www.example.de"] == (addresses[older],)
        assert len(world.strato.log) == 1
        kube.delete(*objects[older])
        kube.wait_for(*objects[younger], kind="Conflict", status="False")
