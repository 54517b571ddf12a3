"""What zones read in nodes, Services and slices, and what they leave out."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import msgspec

from homing.kube.kinds.zone import ClusterNames
from homing.kube.objects import EndpointSlice, Node, Service
from homing.model.name import parse_name
from homing.operator.cluster_views import MAX_LISTED, MAX_PORTS, MAX_TEXT, Reading, hosts
from homing.records.cluster_views import Member, Offer, Port

AREAS, IPS = "k8s.pootis.network/node-areas", "k8s.pootis.network/node-ips"


def reading(**spec: Any) -> Reading:
    return Reading(parse_name("lb.test"), ClusterNames(**spec))


def node(ready: str | None = "True", **fields: Any) -> Node:
    """A node with a Ready condition; annotations by ``areas`` and ``ips``."""
    keys = {"areas": AREAS, "ips": IPS}
    annotations = {keys[key]: fields.pop(key) for key in tuple(fields) if key in keys}
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    body = {
        "metadata": {"name": "n1", "annotations": annotations, **fields.pop("metadata", {})},
        "status": {"conditions": conditions, "addresses": fields.pop("addresses", [])},
        **fields,
    }
    return msgspec.convert(body, Node)


def member(found: Node, site: str = "s", **spec: Any) -> tuple[Member | None, list[str]]:
    told: list[str] = []
    return reading(**spec).member(found, site, told.append), told


def test_invalid_entries_are_told_and_the_others_count() -> None:
    """Areas are labels in lower case, addresses of either family."""
    found, told = member(node(areas=" Home,a.b,-x, ,9_z", ips="192.0.2.1,300.1.1.1,::ffff:192.0.2.2,"))
    assert found == Member(True, frozenset({"home", "9_z"}), (ip_address("192.0.2.1"), ip_address("192.0.2.2")))
    assert [text.partition(" left out")[0] for text in told] == ["area 'a.b'", "area '-x'", "address"]


def test_annotations_are_read_within_limits() -> None:
    """Long ones in part."""
    many = ",".join(f"a{number}" for number in range(MAX_LISTED + 1))
    found, told = member(node(areas=many))
    assert found is not None
    assert (len(found.areas), len(told)) == (MAX_LISTED, 1)
    found, told = member(node(areas="x," + "y" * MAX_TEXT))
    assert found is not None
    assert (sorted(found.areas), len(told)) == (["x"], 1)


def test_readiness() -> None:
    """By the condition alone; cordoned nodes count unless the zone leaves them out; one being deleted is gone."""
    for status, ready in (("True", True), ("False", False), ("Unknown", False), (None, False)):
        assert member(node(status))[0] == Member(ready)
    cordoned = node(spec={"unschedulable": True})
    assert member(cordoned)[0] == Member(True)
    assert member(cordoned, leave_out_cordoned=True)[0] == Member(False)
    assert member(node(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))[0] is None


def test_addresses_of_the_site_by_annotation_or_default() -> None:
    """auto may stand beside others; an annotation stands before the default, an empty one too."""
    external = [{"type": "ExternalIP", "address": "198.51.100.1"}, {"type": "InternalIP", "address": "10.0.0.1"}]
    out = (ip_address("198.51.100.1"),)
    assert member(node(ips="Auto, 192.0.2.1", addresses=external))[0] == Member(
        True, addresses=(ip_address("192.0.2.1"),), site="s", external=out
    )
    assert member(node(addresses=external))[0] == Member(True)
    assert member(node(addresses=external), default_ips="Auto")[0] == Member(True, site="s", external=out)
    assert member(node(ips="", addresses=external), default_ips="Auto")[0] == Member(True)
    assert reading().wants_sites(node(ips="AUTO"))
    assert not reading().wants_sites(node())
    assert reading(default_ips="Auto").wants_sites(node())


def test_services_that_want_a_name() -> None:
    """By the annotation's very text; named ports where the zone has SRV records, as nodes listen on them."""
    body: dict[str, Any] = {
        "metadata": {"annotations": {"k8s.pootis.network/dns": "true"}},
        "spec": {"ports": [{"name": "web", "port": 80, "nodePort": 30080}, {"port": 81}]},
    }
    service = msgspec.convert(body, Service)
    told: list[str] = []
    assert reading().offer(service, told.append) == Offer()
    assert reading(srv_records=True).offer(service, told.append) == Offer((Port("web", "tcp", 80),))
    body["spec"]["type"] = "NodePort"
    assert reading(srv_records=True).offer(msgspec.convert(body, Service), told.append) == Offer(
        (Port("web", "tcp", 30080),)
    )
    assert reading(service_annotation="other").offer(service, told.append) is None
    body["spec"]["ports"] = [{"name": f"p{number}", "port": number + 1} for number in range(MAX_PORTS + 1)]
    offer = reading(srv_records=True).offer(msgspec.convert(body, Service), told.append)
    assert offer is not None
    assert (len(offer.ports), len(told)) == (MAX_PORTS, 1)


def test_slices_without_a_service_or_node() -> None:
    """They are nobody's."""
    labels = {"kubernetes.io/service-name": "git"}
    endpoints = [{"nodeName": "n1"}, {}, {"nodeName": "", "conditions": {"ready": True}}]
    found = hosts(
        msgspec.convert({"metadata": {"namespace": "a", "labels": labels}, "endpoints": endpoints}, EndpointSlice)
    )
    assert found is not None
    assert (found.service, sorted(found.ready), sorted(found.serving)) == (("a", "git"), ["n1"], [])
    assert hosts(msgspec.convert({"endpoints": None}, EndpointSlice)) is None
