"""`homing doctor --kubernetes`: judgements by tables, then a real API server with what goes wrong there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from homing.app.doctor.cluster import corefile, judging, tsig
from homing.app.doctor.cluster.judging import Seen
from homing.app.doctor.cluster.look import addresses_of
from homing.app.doctor.cluster.rights import AGENT, DNS, NODE_DNS, OPERATOR, Part
from homing.app.doctor.finding import Finding, Level
from homing.kube.crd import DEFINITIONS, manifest
from homing.kube.kinds.common import ClusterSecretKey
from homing.kube.kinds.zone import TsigKey
from homing.kube.objects import (
    Condition,
    Endpoint,
    EndpointConditions,
    EndpointSlice,
    Lease,
    LeaseSpec,
    ObjectMeta,
    Secret,
    Service,
    ServicePort,
    ServiceSpec,
)
from homing.model.name import parse_name
from tests.app.doctor.cases import levels
from tests.app.running import run
from tests.cluster.fixtures import Cluster
from tests.operator.rights import ANY, Document, Right, documents, granted, place, remove
from tests.operator.running import Kube

OK, NOTE, WARNING, ERROR, SKIPPED = Level.OK, Level.NOTE, Level.WARNING, Level.ERROR, Level.SKIPPED

COREFILE = """
# the default of kubeadm
.:53 {
    errors
    health {
       lameduck 5s
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa
    }
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
}
"""
HOME = parse_name("home.example.net")
KEY = b"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.mark.parametrize(
    ("text", "to"),
    [
        (COREFILE, None),
        (COREFILE + "home.example.net:53 {\n forward . 10.0.0.9\n}\n", ("10.0.0.9",)),
        ("example.net home.other.org {\n forward . 10.0.0.9:5353 # note\n}\n", ("10.0.0.9:5353",)),
        ("example.org,\nHOME.example.net { forward . 10.0.0.9\n}\n", ("10.0.0.9",)),
        (". {\n forward home.example.net 10.0.0.8\n forward . 1.1.1.1\n}\n", ("10.0.0.8",)),
        ('dns://home.example.net. {\n errors\n forward "." "10.0.0.9" {\n force_tcp\n }\n}\n', ("10.0.0.9",)),
        ("(go) {\n forward . 10.0.0.7\n}\nhome.example.net {\n import go\n}\n", ("10.0.0.7",)),
        ("home.example.net {\n file db\n}\nexample.net {\n forward . 10.0.0.9\n}\n", None),
        ("home.example.net {\n forward other.org 10.0.0.9\n}\n", None),
        ("10.0.0.0/8 {\n forward . 10.0.0.9\n}\n", None),
        ("home.example.net {\n forward . # 10.0.0.9\n}\n", None),
        ("{ } } { forward", None),
        ("", None),
    ],
)
def test_a_corefile_tells_where_a_zone_goes(text: str, to: tuple[str, ...] | None) -> None:
    """The most specific block counts; comments, quotes, snippets and nested blocks are understood."""
    found = corefile.forward_of(corefile.parse(text), HOME)
    assert (tuple(found.to) if found else None) == to


def test_the_block_to_add_is_printed() -> None:
    """With the address of Homing's Service where it is known; it is a Corefile that forwards the zone there."""
    finding = corefile.judge(HOME, corefile.parse(COREFILE), frozenset({"10.96.0.77"}))
    assert finding.level is WARNING
    block = finding.remedy.partition("\n")[2]
    assert corefile.judge(HOME, corefile.parse(COREFILE + block), frozenset({"10.96.0.77"})).level is OK
    elsewhere = corefile.judge(HOME, corefile.parse(COREFILE + block), frozenset({"10.96.0.78"}))
    assert (elsewhere.level, "10.96.0.77" in elsewhere.text) == (WARNING, True)


def test_a_corefile_that_imports_others_is_not_judged() -> None:
    """What is in other files is not known."""
    assert corefile.judge(HOME, corefile.parse(COREFILE + "import custom/*.server\n"), frozenset()).level is SKIPPED


@pytest.mark.parametrize(
    ("part", "file"),
    [(OPERATOR, "operator.yaml"), (AGENT, "agent.yaml"), (DNS, "dns.yaml"), (NODE_DNS, "node-dns.yaml")],
)
def test_the_rights_that_are_asked_about_are_those_of_the_manifests(part: Part, file: str) -> None:
    """One table, one truth: a right more or less in deploy/rbac fails here."""
    table = {
        Right("homing" if right.home else ANY, right.resource, right.name or ANY, right.verb) for right in part.rights
    }
    assert table == granted(documents(file))
    assert part.file.endswith(file)


def test_an_operator_of_some_namespaces_has_its_rights_there() -> None:
    """What is denied in the cluster and allowed at home is a limit, and no fault; anything else is one."""
    denied = [right for right in OPERATOR.rights if right.plural == "secrets"]
    limited = judging.rights(OPERATOR, denied, denied)
    assert (limited.level, "limited to some namespaces for secrets" in limited.text) == (NOTE, True)
    missing = judging.rights(OPERATOR, denied, denied[1:])
    assert (missing.level, "may not get secrets" in missing.text) == (ERROR, True)
    assert judging.rights(OPERATOR, [], []).level is OK


@pytest.mark.parametrize(
    ("told", "level"), [("v1.31.0", OK), ("v1.34.2+k3s1", OK), ("v1.30.9", WARNING), ("nonsense", NOTE)]
)
def test_a_version_that_is_too_old_is_told(told: str, level: Level) -> None:
    """Homing's kinds need selectable fields."""
    assert judging.version(told).level is level


def test_kinds_are_compared_with_this_version() -> None:
    """Defaults that the API server adds are no difference; a field that is missing is one."""
    specs: dict[str, dict[str, Any]] = {
        item.name: json.loads(json.dumps(manifest(item)["spec"])) for item in DEFINITIONS
    }
    specs[DEFINITIONS[0].name]["versions"][0]["schema"]["openAPIV3Schema"]["x-added"] = True
    assert judging.definitions(DEFINITIONS, specs).level is OK
    del specs[DEFINITIONS[0].name]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][
        "fqdn"
    ]
    older = judging.definitions(DEFINITIONS, specs)
    assert (older.level, "domains.homing.dev" in older.text) == (WARNING, True)
    del specs["zones.homing.dev"]
    assert "not installed: zones.homing.dev" in judging.definitions(DEFINITIONS, specs).text
    assert judging.definitions(DEFINITIONS, {}).level is ERROR


NOW = 1_800_000_000.0


def held(age: float, holder: str | None = "pod-1") -> Lease:
    renewed = (datetime.fromtimestamp(NOW, UTC) - timedelta(seconds=age)).isoformat().replace("+00:00", "Z")
    return Lease(spec=LeaseSpec(holder_identity=holder, lease_duration_seconds=15, renew_time=renewed))


@pytest.mark.parametrize(
    ("lease", "level"),
    [
        (held(2), OK),
        (held(-5), OK),
        (held(44), OK),
        (held(46), ERROR),
        (held(2, ""), WARNING),
        (held(2, None), WARNING),
        (None, WARNING),
        (Lease(spec=LeaseSpec(holder_identity="x", renew_time="nonsense")), NOTE),
    ],
)
def test_leases_are_held_and_fresh(lease: Lease | None, level: Level) -> None:
    """Clocks of two machines may differ by half a minute."""
    assert judging.lease("homing-operator", lease, NOW, "homing operator").level is level


def seen(name: str, status: str, message: str = "", kind: str = "Ready") -> Seen:
    return Seen(name, [Condition(type=kind, status=status, reason="Because", message=message)])


def judged(*objects: Seen, main: str = "Ready") -> Finding:
    finding = judging.ready("Domain", objects, main)
    assert finding is not None
    return finding


def test_what_is_not_ready_is_told_with_what_it_says() -> None:
    """The first few, how many more, and nothing that could speak to the terminal."""
    bad = [seen(f"web/d{number}", "False", f"message {number}\x1b[2J") for number in range(5)]
    found = judged(seen("web/good", "True"), *bad)
    assert found.level is ERROR
    assert "5 of 6 not ready: web/d0: Because: message 0" in found.text
    assert "and 2 more" in found.text
    assert "\x1b" not in found.text
    assert judged(seen("web/new", "Unknown")).level is WARNING
    assert judged(seen("web/good", "True")).level is OK
    assert judged(seen("home", "True", kind="Detected"), main="Detected").level is OK
    assert judging.ready("Domain", []) is None
    made = ObjectMeta(creation_timestamp=datetime.fromtimestamp(NOW - 10, UTC).isoformat())
    assert judged(Seen("web/new", [], judging.is_new(made, NOW))).level is NOTE
    assert judged(Seen("web/new", [], judging.is_new(made, NOW + 60))).level is WARNING
    disputed = Seen("home", [Condition("Detected", "True"), Condition("Disputed", "True", "Split")])
    assert judged(disputed, main="Detected").level is ERROR


@pytest.mark.parametrize(
    ("data", "level", "words"),
    [
        ({"key": KEY}, OK, "in its Secret"),
        (None, ERROR, "there is no Secret homing/ns2"),
        ({"tsig": KEY}, ERROR, "has no key, but tsig"),
        ({"key": b"not base64!"}, ERROR, "not Base64"),
        ({"key": b""}, ERROR, "empty"),
        ({"key": KEY[:24]}, WARNING, "has 18 octets, hmac-sha256 wants 32"),
    ],
)
def test_keys_of_zones_are_looked_at(data: dict[str, bytes] | None, level: Level, words: str) -> None:
    """Each fault of a Secret has its remedy; what is in it is never shown."""
    secret = Secret(data=data) if data is not None else None
    key = TsigKey(name="ns2", secret_ref=ClusterSecretKey(namespace="homing", name="ns2"))
    (finding,) = tsig.judge([tsig.Wanted("a.test", key, "homing", "ns2", "key", secret)], ())
    assert finding.level is level
    assert words in finding.text
    assert bool(finding.remedy) == (level is not OK)
    assert KEY[:16].decode() not in str(finding)


def test_a_secret_that_the_dns_server_may_not_read_is_told() -> None:
    """Though its content is fine; without any key there is nothing to say."""
    key = TsigKey(name="ns2", secret_ref=ClusterSecretKey(namespace="homing", name="ns2"))
    wanted = tsig.Wanted("a.test", key, "homing", "ns2", "key", Secret(data={"key": KEY}))
    (finding,) = tsig.judge([wanted], [("homing", "ns2")])
    assert (finding.level, "may not read Secret homing/ns2" in finding.text) == (ERROR, True)
    assert list(tsig.judge([], ())) == []


def test_services_without_endpoints_are_told() -> None:
    """A nil ready condition means ready; a Service that is not there is an error."""
    good = EndpointSlice(endpoints=[Endpoint(conditions=EndpointConditions(ready=None))])
    bad = EndpointSlice(endpoints=[Endpoint(conditions=EndpointConditions(ready=False))])
    assert levels(list(judging.endpoints({"web/a": [bad, good]}))) == [OK]
    assert levels(list(judging.endpoints({"web/a": [bad], "web/b": [EndpointSlice()], "web/c": None}))) == [
        ERROR,
        WARNING,
    ]
    assert list(judging.endpoints({})) == []


def test_the_addresses_of_homings_service_are_those_of_its_dns_port() -> None:
    """Other Services of the namespace do not count."""
    dns = Service(spec=ServiceSpec(cluster_ip="10.0.0.1", ports=[ServicePort(port=53)]))
    page = Service(spec=ServiceSpec(cluster_ip="10.0.0.2", ports=[ServicePort(port=80)]))
    headless = Service(spec=ServiceSpec(cluster_ip="None", ports=[ServicePort(port=53)]))
    assert addresses_of([dns, page, headless]) == {"10.0.0.1"}


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Kube]:
    """A namespace for Homing, with what is of the whole cluster taken away at the end."""
    made = Kube(cluster)
    yield made
    cluster.plane.kubectl("delete", "zone", "--ignore-not-found", made.namespace)


@pytest.fixture
def placed(kube: Kube) -> Iterator[list[Document]]:
    made: list[Document] = []
    yield made
    remove(kube, made)


def examined(kube: Kube, tmp_path: Path, kubeconfig: Path | None = None) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    file = str(kubeconfig or kube.cluster.kubeconfig())
    done = run("doctor", "--json", "--kubeconfig", file, "--namespace", kube.namespace, home=tmp_path)
    assert not done.stderr, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for item in json.loads(done.stdout)["findings"]:
        found.setdefault(item["check"], []).append(item)
    return done.returncode, found


@pytest.mark.cluster
def test_a_real_cluster_is_examined(kube: Kube, tmp_path: Path, placed: list[Document]) -> None:
    """The kinds as the API server keeps them are of this version; all rights of the manifests are there, and one that
    is taken away is missed; a Domain without a provider, a Service without pods and an unforwarded Zone are told.
    """
    placed += place(kube, "operator.yaml")
    placed += place(kube, "dns.yaml")
    kube.cluster.apply(
        f"""
apiVersion: v1
kind: Service
metadata: {{name: empty, annotations: {{k8s.pootis.network/dns: "true"}}}}
spec: {{ports: [{{port: 80}}], selector: {{app: nobody}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: homing-dns}}
spec: {{ports: [{{name: dns, port: 53, protocol: UDP}}], selector: {{app: homing-dns}}}}
---
apiVersion: homing.dev/v1alpha1
kind: Zone
metadata: {{name: {kube.namespace}}}
spec:
  origin: home.example.net
  nameServers: [{{name: ns1.example.net}}]
  tsigKeys:
    - {{name: there, secretRef: {{namespace: {kube.namespace}, name: there}}}}
    - {{name: lost, secretRef: {{namespace: {kube.namespace}, name: lost}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: there}}
data: {{key: {base64.b64encode(KEY).decode()}}}
"""
    )
    kube.cluster.plane.kubectl(
        "-n", "kube-system", "create", "configmap", "coredns", f"--from-literal=Corefile={COREFILE}"
    )
    try:
        _, found = examined(kube, tmp_path)
    finally:
        kube.cluster.plane.kubectl("-n", "kube-system", "delete", "configmap", "coredns")
    assert found["API server"][0]["level"] == "ok"
    assert found["kinds"][0] == {
        "check": "kinds", "level": "ok", "text": f"all {len(DEFINITIONS)} are installed, of this version", "remedy": "",
    }  # fmt: skip
    assert found["rights of homing-operator"][0]["level"] == "ok", found["rights of homing-operator"]
    assert found["rights of homing-dns"][0]["level"] == "ok"
    assert found["rights of homing-agent"][0]["level"] == "skipped"
    assert found["Lease homing-operator"][0]["text"] == "is not there: homing operator has never led"
    assert any(
        "no ready endpoint" in item["text"] and f"{kube.namespace}/empty" in item["text"] for item in found["Services"]
    )
    assert "have no status yet" in found.get("Zone", found.get("Zones", []))[0]["text"]
    assert [item["text"] for item in found["Zone home.example.net"]] == [
        f"key lost: there is no Secret {kube.namespace}/lost"
    ]
    assert f"the DNS server may not read Secret {kube.namespace}/there" in [item["text"] for item in found["TSIG keys"]]
    address = kube.cluster.kubectl("get", "service", "homing-dns", "-o", "jsonpath={.spec.clusterIP}")
    (forwarding,) = found["CoreDNS home.example.net"]
    assert (forwarding["level"], f"forward . {address}" in forwarding["remedy"]) == ("warning", True)
    role = f"homing-operator-namespace-{kube.namespace}"
    kube.cluster.plane.kubectl("delete", "clusterrolebinding", role)
    _, found = examined(kube, tmp_path)
    assert found["rights of homing-operator"][0]["level"] == "error"
    assert "kubectl apply -f deploy/rbac/operator.yaml" in found["rights of homing-operator"][0]["remedy"]


@pytest.mark.cluster
def test_an_account_that_may_not_look_claims_nothing(kube: Kube, tmp_path: Path, placed: list[Document]) -> None:
    """Under the operator's own account much is skipped, with what to do; nothing of that is an error."""
    placed += place(kube, "operator.yaml")
    _, found = examined(kube, tmp_path, kube.cluster.as_service_account("homing-operator"))
    assert found["API server"][0]["level"] == "ok"
    for check in ("kinds", "rights of homing-operator", "Leases"):
        assert found[check][0]["level"] == "skipped", found[check]
        assert "administrator" in found[check][0]["remedy"]


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """One error with the remedy; the rest is not known. No credentials at all are wrong usage."""
    file = tmp_path / "config"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
        "clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}]\nusers: [{name: a, user: {token: t-4711}}]\n"
    )
    done = run("doctor", "--kubeconfig", str(file), home=tmp_path)
    assert done.returncode == 1
    assert "API server        does not answer" in done.stdout
    assert done.stdout.count("\nskipped") == len(done.stdout.splitlines()) - 2
    assert "t-4711" not in done.stdout
    assert run("doctor", "--kubernetes", "--kubeconfig", str(tmp_path / "none"), home=tmp_path).returncode == 2
