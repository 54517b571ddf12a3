"""Objects of every kind that the API server takes, and what is wrong with others: the change and the answer to it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from enum import Enum
from typing import Any

from homing.kube.crd import Definition, select

Manifest = dict[str, Any]

HOMING = "homing.dev/v1alpha1"


class Removed(Enum):
    """In a change: the field is left out. Its text is the same in every process, as the tests' names hold it."""

    REMOVED = "removed"


REMOVED = Removed.REMOVED


def _named(kind: str, spec: Manifest, api_version: str = HOMING) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "example"}, "spec": spec}


GOOD: dict[str, Manifest] = {
    "domains.homing.dev": _named(
        "Domain",
        {"fqdn": "www.example.org", "addresses": {"wan": {}}, "providerRef": {"name": "example"}},
    ),
    "providers.homing.dev": _named("Provider", {"gandi": {}, "secretRef": {"name": "gandi"}}),
    "clusterproviders.homing.dev": _named(
        "ClusterProvider",
        {
            "rfc2136": {"server": "ns1.example.org:53", "tsigKeyName": "homing"},
            "secretRef": {"namespace": "web", "name": "knot"},
            "allowedDomains": ["example.org"],
        },
    ),
    "sites.homing.dev": _named("Site", {}),
    "zones.homing.dev": _named(
        "Zone",
        {
            "origin": "example.org",
            "nameServers": [{"name": "ns1.example.org", "addresses": ["192.0.2.1"]}],
            "records": [{"name": "www", "type": "A", "values": ["192.0.2.2"]}],
        },
    ),
    "domains.dyndns.contrib.strato.com": _named(
        "Domain",
        {"fqdn": "www.example.de", "password": {"name": "strato-dyndns-password"}},
        "dyndns.contrib.strato.com/v1alpha1",
    ),
}
"""The least that each kind needs."""


@dataclass(frozen=True)
class Bad:
    """A change to a good object, by paths such as ``addresses.wan`` below ``spec``, and a part of the answer."""

    name: str
    changes: dict[str, Any]
    answer: str

    @property
    def definition(self) -> Definition:
        """The definition that refuses."""
        (definition,) = select(self.name)
        return definition

    @property
    def manifest(self) -> Manifest:
        """The bad object."""
        return changed(GOOD[self.name], self.changes)


def changed(manifest: Manifest, changes: dict[str, Any]) -> Manifest:
    """A copy whose spec is changed at some paths."""
    copied = copy.deepcopy(manifest)
    for path, value in changes.items():
        *parents, last = path.split(".")
        here = copied["spec"]
        for step in parents:
            here = here.setdefault(step, {})
        if value is REMOVED:
            del here[last]
        else:
            here[last] = value
    return copied


DOMAIN, PROVIDER, CLUSTER_PROVIDER = "domains.homing.dev", "providers.homing.dev", "clusterproviders.homing.dev"
SITE, ZONE, STRATO = "sites.homing.dev", "zones.homing.dev", "domains.dyndns.contrib.strato.com"

_RECORD = {"name": "www", "type": "A", "values": ["192.0.2.2"]}
_KEY = {"name": "home", "secretRef": {"namespace": "dns", "name": "home"}}


def _record(**fields: Any) -> dict[str, Any]:
    return {"records": [{**_RECORD, **fields}]}


def _dyndns2(**fields: Any) -> dict[str, Any]:
    return {"gandi": REMOVED, "dyndns2": fields}


HEALTH_CHECKS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "write exactly one of tcp, http and icmp"),
    ({"tcp": {"port": 80}, "icmp": {}}, "write exactly one of tcp, http and icmp"),
    ({"tcp": {}}, "spec.cluster.healthCheck.tcp.port: Required value"),
    ({"tcp": {"port": 0}}, "should be greater than or equal to 1"),
    ({"tcp": {"port": 65536}}, "should be less than or equal to 65535"),
    ({"icmp": {}, "intervalSeconds": 2, "timeoutSeconds": 3}, "timeoutSeconds is longer than intervalSeconds"),
    ({"icmp": {}, "intervalSeconds": 1}, "timeoutSeconds is longer than intervalSeconds"),
    ({"icmp": {}, "intervalSeconds": 301}, "should be less than or equal to 300"),
    ({"icmp": {}, "fall": 1}, "should be greater than or equal to 2"),
    ({"icmp": {}, "rise": 11}, "should be less than or equal to 10"),
    *(
        ({"http": {"path": path}}, "is not a path: write it like /healthz")
        for path in ("healthz", "/a b", "/a\r\nX: 1", "/a\n", "/ü", "/?token=x", "/#a")
    ),
    *(
        ({"http": {"host": host}}, "is not a host name: write it like www.example.org")
        for host in ("a\r\nX: 1", "a.example\n", "user@a.example", "a.example:80", "*.example.org", "[::1]")
    ),
    ({"http": {"expectedStatuses": [199]}}, "should be greater than or equal to 200"),
    ({"http": {"expectedStatuses": [200, 200]}}, "Duplicate value"),
    ({"http": {"expectedStatuses": list(range(200, 217))}}, "must have at most 16 items"),
)
"""Health checks that are refused, with a part of the answer."""


BAD = (
    # Names
    *(
        Bad(DOMAIN, {"fqdn": fqdn}, "write it like www.example.org")
        for fqdn in ("www", "www.example.org.", "a_b.example.org", "-a.example.org", "*", "192.0.2.1", "münchen.de")
    ),
    Bad(DOMAIN, {"fqdn": ".".join(["a" * 63] * 4)}, "Too long"),
    Bad(DOMAIN, {"fqdn": REMOVED}, "spec.fqdn: Required value"),
    # Exactly one source
    Bad(DOMAIN, {"addresses": {}}, "write exactly one of wan, static, nodes and service"),
    Bad(DOMAIN, {"addresses.static": ["192.0.2.1"]}, "write exactly one of wan, static, nodes and service"),
    # WAN
    Bad(DOMAIN, {"addresses.wan.families": ["IPv5"]}, 'supported values: "IPv4", "IPv6"'),
    Bad(DOMAIN, {"addresses.wan.families": ["IPv4", "IPv4"]}, "Duplicate value"),
    Bad(DOMAIN, {"addresses.wan.families": []}, "should have at least 1 items"),
    *(
        Bad(DOMAIN, {"addresses.wan.ipv6HostId": text}, "write the low 64 bits of an IPv6 address, like ::10")
        for text in ("10", "::", "2001:db8::10", "192.0.2.1")
    ),
    Bad(
        DOMAIN,
        {"addresses.wan": {"families": ["IPv4"], "ipv6HostId": "::10"}},
        "add IPv6 to families, or remove ipv6HostId",
    ),
    # Other sources
    *(
        Bad(DOMAIN, {"addresses": {"static": [text]}}, "write it like 192.0.2.1 or 2001:db8::1")
        for text in ("192.0.2.256", "www.example.org", "fe80::1%eth0", "192.0.2.0/24")
    ),
    Bad(DOMAIN, {"addresses": {"static": []}}, "should have at least 1 items"),
    *(
        Bad(DOMAIN, {"addresses": {"nodes": {"area": text}}}, "write one label in lower case, like berlin")
        for text in ("Berlin", "a.b", "-a")
    ),
    Bad(DOMAIN, {"addresses": {"service": {}}}, "spec.addresses.service.name: Required value"),
    # Where, how often, how long
    Bad(DOMAIN, {"providerRef.kind": "Zone"}, 'supported values: "Provider", "ClusterProvider"'),
    Bad(DOMAIN, {"providerRef.name": "My Provider"}, "is not the name of an object: write it as kubectl get shows it"),
    Bad(DOMAIN, {"providerRef": REMOVED}, "spec.providerRef: Required value"),
    Bad(DOMAIN, {"ttlSeconds": 10}, "should be greater than or equal to 30"),
    Bad(DOMAIN, {"intervalSeconds": 59}, "should be greater than or equal to 60"),
    Bad(DOMAIN, {"deletionPolicy": "Keep"}, 'supported values: "Retain", "Delete"'),
    # Providers
    Bad(PROVIDER, {"gandi": REMOVED}, "write exactly one of strato, dyndns2, gandi and rfc2136"),
    Bad(PROVIDER, {"strato": {}}, "write exactly one of strato, dyndns2, gandi and rfc2136"),
    Bad(PROVIDER, {"secretRef": REMOVED}, "spec.secretRef: Required value"),
    Bad(PROVIDER, {"secretRef.key": "data/password"}, "is not a key of a Secret"),
    Bad(PROVIDER, {"allowedDomains": ["*.example.org"]}, "is not a domain name: write it like example.org"),
    Bad(PROVIDER, {"timeoutSeconds": 61}, "should be less than or equal to 60"),
    Bad(PROVIDER, {"rateLimit": {"requestsPerMinute": 0}}, "should be greater than or equal to 1"),
    Bad(PROVIDER, {"caBundle": "certificate"}, "write it in PEM"),
    Bad(PROVIDER, {"gandi.authentication": "Basic"}, 'supported values: "Bearer", "Apikey"'),
    Bad(PROVIDER, _dyndns2(), "write preset with a service that is known by name, or server"),
    Bad(PROVIDER, _dyndns2(preset="noip"), "write the user name of the account"),
    Bad(PROVIDER, _dyndns2(preset="no-ip"), 'supported values: "strato", "noip"'),
    Bad(PROVIDER, _dyndns2(preset="desec", user="a:b"), "the password belongs in the Secret"),
    *(
        Bad(PROVIDER, _dyndns2(server=text), "must be a URL that begins with https://")
        for text in (
            "http://dyndns.example.org/",
            "dyndns.example.org",
            "https://",
            "http://localhost.example.org/",
            "http://127.0.0.1.example.org/",
            "http://127.0.0.1@dyndns.example.org/",
        )
    ),
    *(
        Bad(PROVIDER, _dyndns2(server=f"https://{text}"), "write the plain URL")
        for text in ("user:word@dyndns.example.org", "dyndns.example.org/nic/update?hostname=a")
    ),
    *(
        Bad(CLUSTER_PROVIDER, {"rfc2136.server": text}, "write it like ns1.example.org, 192.0.2.1:53 or")
        for text in ("https://ns1.example.org", "ns1.example.org:dns", "[ns1.example.org]:53")
    ),
    Bad(CLUSTER_PROVIDER, {"rfc2136.tsigKeyName": "a b"}, "is not a key name"),
    Bad(CLUSTER_PROVIDER, {"rfc2136.tsigAlgorithm": "sha256"}, 'supported values: "hmac-sha256"'),
    Bad(CLUSTER_PROVIDER, {"rfc2136": REMOVED}, "write exactly one of strato, dyndns2, gandi, rfc2136 and zone"),
    Bad(CLUSTER_PROVIDER, {"secretRef": REMOVED}, "secretRef is missing: write namespace and name"),
    Bad(CLUSTER_PROVIDER, {"secretRef.namespace": "Web"}, "is not a namespace: write its name"),
    Bad(CLUSTER_PROVIDER, {"secretRef.namespace": REMOVED}, "spec.secretRef.namespace: Required value"),
    Bad(CLUSTER_PROVIDER, {"rfc2136": REMOVED, "zone": {}}, "zone needs no Secret: remove secretRef"),
    Bad(CLUSTER_PROVIDER, {"allowedDomains": REMOVED}, "spec.allowedDomains: Required value"),
    Bad(CLUSTER_PROVIDER, {"allowedDomains": []}, "should have at least 1 items"),
    Bad(CLUSTER_PROVIDER, {"allowedNamespaces": ["web-*"]}, "is not a namespace: write its name"),
    # Sites
    Bad(SITE, {"nodeSelector": {}}, "should have at least 1 properties"),
    Bad(SITE, {"detect.stunServers": ["stun://stun.example.org"]}, "write it like stun.example.org:3478"),
    Bad(SITE, {"detect.httpServices": ["ip.example.org"]}, "is not a URL: write it like https://ip.example.org"),
    Bad(SITE, {"detect.acceptNetworks": ["100.64.0.0"]}, "write it like 100.64.0.0/10"),
    Bad(SITE, {"detect.methods": ["DNS"]}, 'supported values: "STUN", "HTTP", "Whoami", "Interface"'),
    Bad(SITE, {"detect.quorum": 0}, "should be greater than or equal to 1"),
    # Zones
    Bad(ZONE, {"origin": "example.org."}, "is not a domain name: write it like example.org"),
    Bad(ZONE, {"soa.email": "hostmaster@"}, "write it like hostmaster@example.org"),
    Bad(ZONE, {"nameServers": []}, "should have at least 1 items"),
    Bad(ZONE, {"cluster": {"areasAnnotation": "no key"}}, "write it like example.org/node-areas"),
    Bad(ZONE, {"cluster": {"hostNames": "Sometimes"}}, 'supported values: "Keep", "Drop"'),
    Bad(ZONE, {"records": [_RECORD, _RECORD]}, "Duplicate value"),
    *(
        Bad(ZONE, _record(name=text), "write it in lower case relative to the origin")
        for text in ("WWW", "www.", "a..b", "a.*")
    ),
    Bad(ZONE, _record(type="a"), "write it in capitals, like A, AAAA"),
    Bad(ZONE, _record(type="SOA"), "comes from origin, soa and nameServers"),
    Bad(ZONE, _record(type="RRSIG"), "let a secondary sign it"),
    Bad(ZONE, _record(type="AXFR"), "write a type of data"),
    Bad(ZONE, _record(name="@", type="NS"), "come from nameServers: remove them here"),
    Bad(ZONE, _record(type="CNAME", values=["a", "b"]), "write one value"),
    Bad(ZONE, _record(values=["www.example.org."]), "values of A and AAAA are addresses"),
    Bad(ZONE, _record(values=["2001:db8::1"]), "A holds IPv4 and AAAA holds IPv6"),
    Bad(ZONE, _record(type="AAAA"), "A holds IPv4 and AAAA holds IPv6"),
    Bad(ZONE, _record(values=[]), "should have at least 1 items"),
    Bad(
        ZONE,
        {"tsigKeys": [_KEY], "secondaries": [{"address": "192.0.2.3", "tsigKeyName": "work"}]},
        "secondaries name a TSIG key that tsigKeys does not have",
    ),
    Bad(ZONE, {"transfers": [{"tsigKeyName": "work"}]}, "transfers name a TSIG key that tsigKeys does not have"),
    Bad(ZONE, {"transfers": [{}]}, "write network, like 192.0.2.0/24, or tsigKeyName"),
    Bad(ZONE, {"transfers": [{"network": "home"}]}, "is not a network: write it like 192.0.2.1"),
    *(Bad(ZONE, {"cluster.healthCheck": check}, answer) for check, answer in HEALTH_CHECKS),
    # Strato
    Bad(STRATO, {"fqdn": "-www.example.de"}, "is not a domain: write it like www.example.org"),
    Bad(STRATO, {"ipAddress": "192.0.2.256"}, "is not an IPv4 address: write it like 192.0.2.1"),
    Bad(STRATO, {"interval": 4}, "should be greater than or equal to 5"),
    Bad(STRATO, {"password": REMOVED}, "spec.password: Required value"),
)

FIXED = "cannot change: create another Zone"
"""What is said of a change of a field that cannot change."""
