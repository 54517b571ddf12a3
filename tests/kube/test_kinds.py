"""The kinds at a real API server: what it refuses and says, what it fills in, and that the types read and write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from homing.kube.crd import DEFINITIONS, Definition, select
from homing.kube.kinds import SITES, ClusterProvider, Domain, Provider, Site, StratoDomain, Zone
from homing.kube.kinds.domain import DomainStatus, ProviderRef
from homing.kube.kinds.provider import LockoutStatus, ProviderStatus
from homing.kube.kinds.site import SiteAddress, SiteStatus, SiteVote
from homing.kube.kinds.strato import StratoDomainStatus
from homing.kube.kinds.zone import SecondaryStatus, ZoneStatus
from homing.kube.objects import Condition, ObjectMeta
from tests.cluster.api import Api, ApiRefused
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import Cluster
from tests.kube.manifests import BAD, FIXED, GOOD, ZONE, Bad, Manifest, changed

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).parents[2] / "examples"

NOW = "2026-11-21T12:00:00Z"
READY = Condition(
    type="Ready",
    status="True",
    reason="Published",
    message="all is well",
    last_transition_time=NOW,
    observed_generation=1,
)

UNKNOWN = Condition(type="Synced", status="Unknown", reason="Waiting", last_transition_time=NOW)

STATUSES: dict[str, msgspec.Struct] = {
    "domains.homing.dev": DomainStatus(
        addresses=("192.0.2.1", "2001:db8::1"),
        mode="WAN",
        fqdn="www.example.org",
        provider_ref=ProviderRef(name="example"),
        ttl_seconds=300,
        last_sync=NOW,
        observed_generation=1,
        conditions=(READY, UNKNOWN),
    ),
    "providers.homing.dev": ProviderStatus(
        type="gandi",
        domains=3,
        lockouts=(
            LockoutStatus(account="a", host="", code="badauth", reason="wrong", since=NOW),
            LockoutStatus(account="a", host="www.example.org", code="abuse", since=NOW, until=NOW),
        ),
        conditions=(READY,),
    ),
    "clusterproviders.homing.dev": ProviderStatus(type="rfc2136", conditions=(READY,)),
    "sites.homing.dev": SiteStatus(
        ipv4="192.0.2.1",
        addresses=(SiteAddress(family="IPv4", address="192.0.2.1", since=NOW, confirmed_at=NOW),),
        votes=(SiteVote(family="IPv4", outcome="Agreed", asked=5, answered=4, agreed=3, reason="3 operators agree"),),
        detected_at=NOW,
        detected_by="node-1",
        conditions=(READY,),
    ),
    "zones.homing.dev": ZoneStatus(
        serial=4294967295,
        records=5,
        secondaries=(SecondaryStatus(address="192.0.2.3", port=53, serial=4294967294, lag_seconds=2),),
        unhealthy_addresses=("192.0.2.7", "2001:db8::7"),
        conditions=(READY,),
    ),
    "domains.dyndns.contrib.strato.com": StratoDomainStatus(
        enabled=True, ip_address="192.0.2.1", mode="Dynamic", last_loop=NOW, last_result=True, conditions=(READY,)
    ),
}


@pytest.fixture
def api(control_plane: ControlPlane) -> Api:
    """The administrator's client of a cluster, which has our definitions."""
    return control_plane.admin


def place(definition: Definition, namespace: str = "default", name: str = "", sub: str = "") -> str:
    """The path of the objects of a kind, or of one."""
    resource = definition.resource
    within = f"/namespaces/{namespace}" if resource.namespaced else ""
    path = f"/apis/{resource.group}/{resource.version}{within}/{resource.plural}"
    return "/".join(filter(None, (path, name, sub)))


def trial(api: Api, name: str, manifest: Manifest) -> dict[str, Any]:
    """What the API server would store."""
    (definition,) = select(name)
    return api.request("POST", place(definition) + "?dryRun=All&fieldValidation=Strict", manifest)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.name.split('.')[0]} {bad.changes}"[:80])
def test_the_api_server_refuses_a_bad_spec_and_says_what_to_write(api: Api, bad: Bad) -> None:
    """kubectl apply shows that text; nothing has to run for it."""
    with pytest.raises(ApiRefused) as refused:
        trial(api, bad.name, bad.manifest)
    assert refused.value.status == 422
    assert bad.answer in str(refused.value)


@pytest.mark.parametrize("name", GOOD)
def test_the_least_is_enough(api: Api, name: str) -> None:
    """Each kind can be written with what has no sensible default, and every field is known."""
    assert trial(api, name, GOOD[name])["metadata"]["name"] == "example"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("domains.homing.dev", {"fqdn": "*.Example.ORG", "addresses": {"static": ["192.0.2.1", "2001:db8::1"]}}),
        ("domains.homing.dev", {"fqdn": "xn--mnchen-3ya.de", "addresses": {"nodes": {"area": "rack_1"}}}),
        ("domains.homing.dev", {"addresses.wan": {"ipv6HostId": "::1:0:0:10"}}),
        ("providers.homing.dev", {"gandi": {"domain": "example.org"}, "allowedDomains": ["example.org", "home.arpa"]}),
        ("providers.homing.dev", {"gandi": {"server": "http://127.0.0.1:8080/v5"}}),
        ("providers.homing.dev", {"gandi": {"server": "http://[::1]:8080"}}),
        ("clusterproviders.homing.dev", {"rfc2136.server": "[2001:db8::1]:5353", "allowedNamespaces": ["*"]}),
        ("clusterproviders.homing.dev", {"rfc2136.server": "2001:db8::1", "allowedNamespaces": ["web", "mail"]}),
        ("sites.homing.dev", {"nodeSelector": {"topology.kubernetes.io/region": "home"}, "detect": {"quorum": 1}}),
        ("sites.homing.dev", {"detect.stunServers": ["192.0.2.1:3478", "[2001:db8::1]:3478", "stun.example.org"]}),
        ("zones.homing.dev", {"origin": "2.0.192.in-addr.arpa"}),
        ("zones.homing.dev", {"records": [{"name": "*", "type": "TYPE65280", "values": ["\\# 2 abcd"]}]}),
        ("zones.homing.dev", {"records": [{"name": "_sip._tcp", "type": "SRV", "values": ["0 5 5060 sip"]}]}),
        ("zones.homing.dev", {"transfers": [{"network": "2001:db8::/32"}, {"network": "192.0.2.1"}]}),
        ("domains.dyndns.contrib.strato.com", {"ipAddress": "192.0.2.1", "interval": 1440, "enabled": False}),
        ("domains.dyndns.contrib.strato.com", {"password": {"name": "strato", "namespace": "other"}}),
    ],
)
def test_what_people_rightly_write_is_taken(api: Api, name: str, changes: dict[str, Any]) -> None:
    """The rules refuse no more than they must."""
    trial(api, name, changed(GOOD[name], changes))


def test_defaults_are_filled_in(api: Api) -> None:
    """What is left out shows in the stored object, so nobody has to look it up."""
    assert trial(api, "domains.homing.dev", GOOD["domains.homing.dev"])["spec"] == {
        "fqdn": "www.example.org",
        "addresses": {"wan": {"site": "default", "families": ["IPv4", "IPv6"]}},
        "providerRef": {"kind": "Provider", "name": "example"},
        "ttlSeconds": 300,
        "intervalSeconds": 300,
        "enabled": True,
        "deletionPolicy": "Retain",
        "allowPrivate": False,
    }
    assert trial(api, "sites.homing.dev", GOOD["sites.homing.dev"])["spec"]["detect"] == {
        "families": ["IPv4", "IPv6"],
        "methods": ["STUN", "HTTP", "Whoami", "Interface"],
        "quorum": 2,
        "timeoutSeconds": 5,
        "intervalSeconds": 300,
        "probeIntervalSeconds": 15,
    }
    zone = trial(api, "zones.homing.dev", GOOD["zones.homing.dev"])["spec"]
    assert (zone["ttlSeconds"], zone["catalog"], zone["soa"]) == (
        300,
        False,
        {"refreshSeconds": 3600, "retrySeconds": 900, "expireSeconds": 86400, "negativeTTLSeconds": 30},
    )
    strato = trial(api, "domains.dyndns.contrib.strato.com", GOOD["domains.dyndns.contrib.strato.com"])["spec"]
    assert (strato["enabled"], strato["interval"]) == (True, 5)


def test_a_site_needs_no_spec(api: Api) -> None:
    """kind: Site and a name are a whole object: its defaults are filled in."""
    site = {"apiVersion": "homing.dev/v1alpha1", "kind": "Site", "metadata": {"name": "default"}}
    assert trial(api, "sites.homing.dev", site)["spec"]["detect"]["quorum"] == 2


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda item: item.name)
def test_what_the_types_write_they_read_again(api: Api, cluster: Cluster, definition: Definition) -> None:
    """An object made of the types, and its status patched in, come back equal; no field is lost on the way."""
    kind = definition.resource.type
    given = msgspec.convert({**GOOD[definition.name], "metadata": {"name": cluster.namespace}}, kind)
    body = msgspec.to_builtins(given)
    path = place(definition, cluster.namespace)
    api.request("POST", path + "?fieldValidation=Strict", body)
    status = msgspec.to_builtins(STATUSES[definition.name])
    strict = f"{place(definition, cluster.namespace, cluster.namespace, 'status')}?fieldValidation=Strict"
    api.request("PATCH", strict, {"status": status}, "application/merge-patch+json")

    stored = api.request("GET", place(definition, cluster.namespace, cluster.namespace))
    read: Domain | Provider | ClusterProvider | Site | Zone | StratoDomain = msgspec.convert(stored, kind)
    assert read.spec == given.spec
    assert read.status == STATUSES[definition.name]
    assert (read.api_version, read.kind) == (given.api_version, given.kind)
    assert read.metadata.generation == 1
    api.request("DELETE", place(definition, cluster.namespace, cluster.namespace))


def test_a_status_field_goes_when_it_is_patched_with_none(api: Api, cluster: Cluster) -> None:
    """The types write null for what is not there, which a merge patch removes."""
    (definition,) = select(SITES.plural)
    api.request("POST", place(definition), msgspec.to_builtins(Site(metadata=ObjectMeta(name=cluster.namespace))))
    path = place(definition, name=cluster.namespace, sub="status")
    for status in (SiteStatus(ipv4="192.0.2.1", detected_by="node-1"), SiteStatus(ipv4="192.0.2.2")):
        body = {"status": msgspec.to_builtins(status)}
        answer = api.request("PATCH", path, body, "application/merge-patch+json")
    assert "detectedBy" not in answer["status"]
    assert answer["status"]["ipv4"] == "192.0.2.2"
    api.request("DELETE", place(definition, name=cluster.namespace))


def test_the_origin_of_a_zone_cannot_change(api: Api, cluster: Cluster) -> None:
    """Names elsewhere rely on it."""
    (definition,) = select(ZONE)
    zone = changed(GOOD[ZONE], {})
    zone["metadata"]["name"] = cluster.namespace
    api.request("POST", place(definition), zone)
    with pytest.raises(ApiRefused, match=FIXED):
        api.request(
            "PATCH",
            place(definition, name=cluster.namespace),
            {"spec": {"origin": "example.net"}},
            "application/merge-patch+json",
        )
    api.request("DELETE", place(definition, name=cluster.namespace))


def test_a_misspelt_field_is_named(api: Api, cluster: Cluster) -> None:
    """kubectl apply stops at a field that the schema does not know."""
    manifest = changed(GOOD["domains.homing.dev"], {"ttlSecond": 60})
    with pytest.raises(AssertionError, match=r'unknown field "spec.ttlSecond"'):
        cluster.apply(yaml.safe_dump(manifest))


def test_explain_tells_what_to_write(api: Api, control_plane: ControlPlane) -> None:
    """kubectl explain shows the sentences that stand in the types."""
    told = control_plane.kubectl("explain", "domain.spec.addresses", "--api-version=homing.dev/v1alpha1")
    assert "exactly one of wan, static, nodes, service" in told
    assert "The addresses of the ready nodes of an area." in told
    told = control_plane.kubectl("explain", "domain.spec", "--api-version=dyndns.contrib.strato.com/v1alpha1")
    assert "The domain or subdomain whose addresses Strato shall know" in " ".join(told.split())


def test_get_shows_how_things_are(api: Api, cluster: Cluster) -> None:
    """The columns of Homing's Domain and, as before, of the Strato controller's."""
    for name in ("domains.homing.dev", "domains.dyndns.contrib.strato.com"):
        (definition,) = select(name)
        cluster.apply(yaml.safe_dump(GOOD[name]))
        path = place(definition, cluster.namespace, "example", "status")
        body = {"status": msgspec.to_builtins(STATUSES[name])}
        api.request("PATCH", path, body, "application/merge-patch+json")

    head, line = cluster.kubectl("get", "hdom").splitlines()
    assert head.split() == ["NAME", "FQDN", "ADDRESSES", "MODE", "READY", "REASON", "LAST", "SYNC", "AGE"]
    assert line.split()[:6] == ["example", "www.example.org", '["192.0.2.1","2001:db8::1"]', "WAN", "True", "Published"]
    head, line = cluster.kubectl("get", "domains.dyndns.contrib.strato.com").splitlines()
    assert head.split() == ["NAME", "FQDN", "IP", "ADDRESS", "MODE", "SUCCESSFUL", "LAST", "RUN", "ENABLED"]
    assert line.split() == ["example", "www.example.de", "192.0.2.1", "Dynamic", "true", NOW, "true"]
    both = cluster.kubectl("get", "homing", "-o", "name").splitlines()
    assert both == ["domain.dyndns.contrib.strato.com/example", "domain.homing.dev/example"]


def test_domains_are_found_by_their_name_and_provider(api: Api, cluster: Cluster) -> None:
    """Field selectors work: kubectl get hdom --field-selector spec.fqdn=..."""
    cluster.apply(yaml.safe_dump(GOOD["domains.homing.dev"]))
    for selector, found in (("spec.fqdn=www.example.org", 1), ("spec.providerRef.name=other", 0)):
        assert len(cluster.kubectl("get", "hdom", "-o", "name", "--field-selector", selector).split()) == found


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_apply(api: Api, control_plane: ControlPlane, path: Path) -> None:
    """Every example is taken as it stands, with no field that the schema does not know."""
    control_plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(path))


SEED_SAMPLE = """\
apiVersion: dyndns.contrib.strato.com/v1alpha1
kind: Domain
metadata:
  name: www-example-de
spec:
  fqdn: "www.example.de"
  enabled: true
  interval: 5
  password:
    name: strato-dyndns-password
"""


def test_the_sample_of_the_strato_controller_applies(api: Api, cluster: Cluster) -> None:
    """A manifest written for it needs no change, and stays as it was written."""
    cluster.apply(SEED_SAMPLE)
    told = yaml.safe_load(cluster.kubectl("get", "domains.dyndns.contrib.strato.com", "www-example-de", "-o", "yaml"))
    assert told["spec"] == yaml.safe_load(SEED_SAMPLE)["spec"]
