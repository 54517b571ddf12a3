"""The pure parts of the operator: claims, conditions, views of nodes and services, what a Site's rounds add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.kube.kinds.site import Detect, Site, SiteAddress, SiteSpec, SiteStatus
from homing.kube.objects import (
    Condition,
    Endpoint,
    EndpointConditions,
    EndpointSlice,
    Ingress,
    LoadBalancer,
    Node,
    NodeAddress,
    NodeStatus,
    ObjectMeta,
    Service,
    ServiceStatus,
)
from homing.model.address import Family, parse_address
from homing.model.name import parse_name
from homing.model.observation import Outcome, Verdict
from homing.operator.claims import Claim, Claims
from homing.operator.conditions import condition, moment, seconds_of
from homing.operator.entry import Which
from homing.operator.site_views import site_addresses, site_of
from homing.operator.sites import SiteView
from homing.operator.world import AREAS, IPS, balanced, hosts, node_view

NAME = parse_name("www.example.org")


def which(name: str) -> Which:
    """A Domain of that name."""
    return Which("Domain", "default", name)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["gone", "gandi", "knot"])), max_size=30))
def test_the_oldest_claim_of_a_realm_holds(steps: list[tuple[str, str]]) -> None:
    """Whatever comes and goes: one holder a realm, the oldest there, and all others are told of a change of holder."""
    claims, wanted = Claims(), dict[str, str]()
    for name, realm in steps:
        before = {one: claims.holder(which(one)) for one in wanted}
        told = claims.put(which(name), None if realm == "gone" else Claim(realm, NAME, (name, name)))
        wanted.pop(name, None)
        if realm != "gone":
            wanted[name] = realm
        for one, place in wanted.items():
            holder = min(other for other, at in wanted.items() if at == place)
            assert claims.holder(which(one)) == which(holder)
            if one != name and one in before and before[one] != which(holder):
                assert which(one) in told


def test_a_transition_keeps_its_time_while_the_status_stays() -> None:
    """lastTransitionTime changes with the status, not with the message (API conventions)."""
    first = condition((), "Ready", False, "A", "one", at=100.0, generation=1)
    second = condition((first,), "Ready", False, "B", "two", at=200.0, generation=2)
    third = condition((second,), "Ready", True, "C", "", at=300.0, generation=2)
    assert (first.last_transition_time, second.last_transition_time) == (moment(100.0), moment(100.0))
    assert (second.reason, second.observed_generation) == ("B", 2)
    assert third.last_transition_time == moment(300.0)


@given(st.integers(min_value=1, max_value=4_000_000_000))
def test_times_survive_the_way_through_a_status(seconds: int) -> None:
    """Whole seconds come back as they were."""
    assert seconds_of(moment(float(seconds))) == seconds


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-13-01T00:00:00Z"])
def test_a_time_that_cannot_be_read_is_never(text: str | None) -> None:
    """A status that somebody wrote by hand breaks nothing."""
    assert seconds_of(text) == 0.0


def node(ready: str = "True", *, deleted: str | None = None, external: str = "", **annotations: str) -> Node:
    """A node."""
    meta = ObjectMeta(name="n", annotations=annotations, deletion_timestamp=deleted)
    addresses = [NodeAddress("InternalIP", "10.0.0.1")]
    addresses += [NodeAddress("ExternalIP", external)] if external else []
    return Node(meta, NodeStatus([Condition("Ready", ready)], addresses))


def test_a_node_has_the_addresses_of_its_annotation_else_its_external_ones() -> None:
    """Entries that cannot be read are left out, the others count (SPEC C1); an internal address is none."""
    annotated = node(external="198.51.100.9", **{IPS: " 192.0.2.1, nonsense,::ffff:192.0.2.7 ,2001:db8::1"})
    seen = [str(address) for address in node_view(annotated, AREAS, IPS).addresses]
    assert seen == ["192.0.2.1", "192.0.2.7", "2001:db8::1"]
    assert [str(one) for one in node_view(node(external="198.51.100.9"), AREAS, IPS).addresses] == ["198.51.100.9"]
    assert node_view(node(), AREAS, IPS).addresses == ()
    assert node_view(node(**{AREAS: "Home, external"}), AREAS, IPS).areas == {"home", "external"}


@pytest.mark.parametrize(
    ("made", "ready"),
    [(node(), True), (node("False"), False), (node("Unknown"), False), (node(deleted="2026-01-01T00:00:00Z"), False)],
)
def test_a_node_is_ready_by_its_condition_alone(made: Node, ready: bool) -> None:
    """One that is being deleted is not."""
    assert node_view(made, AREAS, IPS).ready is ready


def test_endpoints_count_when_ready_else_when_still_serving() -> None:
    """Not told means ready; those that serve while ending count only when nothing is ready (SPEC C5)."""
    ending = EndpointConditions(ready=False, serving=True, terminating=True)
    slices = [
        EndpointSlice(endpoints=[Endpoint(node_name="a"), Endpoint(node_name="b", conditions=ending), Endpoint()]),
        EndpointSlice(endpoints=[Endpoint(node_name="c", conditions=EndpointConditions(ready=False))]),
        EndpointSlice(endpoints=None),
    ]
    assert hosts(slices) == {"a"}
    assert hosts([EndpointSlice(endpoints=[Endpoint(node_name="b", conditions=ending)])]) == {"b"}


def test_a_load_balancer_without_an_address_is_none() -> None:
    """A host name there is not an address."""
    ingress = [Ingress(hostname="lb.example.org"), Ingress(ip="192.0.2.1")]
    service = Service(status=ServiceStatus(LoadBalancer(ingress)))
    assert balanced(service) == (parse_address("192.0.2.1"),)
    assert balanced(Service(status=ServiceStatus(LoadBalancer(None)))) == ()


def site(name: str, **selector: str) -> Site:
    """A Site."""
    return Site(metadata=ObjectMeta(name=name), spec=SiteSpec(node_selector=selector or None))


def test_a_node_belongs_to_one_site() -> None:
    """The first by name that selects it, else default; default with a selector takes no others."""
    sites = [site("default"), site("zurich", place="zurich"), site("berlin", place="berlin", rack="1")]
    names = [
        found.metadata.name if (found := site_of(labels, sites)) else None
        for labels in ({"place": "zurich"}, {"place": "berlin"}, {"place": "berlin", "rack": "1"}, dict[str, str]())
    ]
    assert names == ["zurich", "default", "berlin", "default"]
    assert site_of({}, [site("default", place="x")]) is None


def verdict(outcome: Outcome, address: str = "", at: float = 1000.0, family: Family = Family.V4) -> Verdict:
    """How a round ended."""
    return Verdict(family, outcome, parse_address(address) if address else None, "because", at, 0.1)


def test_a_round_without_agreement_takes_no_address_away() -> None:
    """Disputed and unknown keep the last good one and say so (laws 1 and 4)."""
    view = SiteView()
    assert view.take(verdict(Outcome.AGREED, "192.0.2.1"))
    assert not view.take(verdict(Outcome.AGREED, "192.0.2.1", at=1100.0))
    for outcome in (Outcome.DISPUTED, Outcome.UNKNOWN):
        assert not view.take(verdict(outcome, at=1200.0))
        status = view.status((), "node-a", 3)
        assert status["ipv4"] == "192.0.2.1"
        (address,) = status["addresses"]
        assert (address["since"], address["confirmedAt"]) == (moment(1000.0), moment(1100.0))
        by_type = {item["type"]: item for item in status["conditions"]}
        assert by_type["Detected"]["status"] == "True"
        assert by_type["Detected"]["reason"] == "LastGood"
        assert by_type["Disputed"]["status"] == str(outcome is Outcome.DISPUTED)
        assert status["detectedAt"] == moment(1200.0)


def test_a_restart_forgets_no_address() -> None:
    """The status of the Site is where the next observer begins; what cannot be read there is left out (law 8)."""
    addresses = (
        SiteAddress(family="IPv4", address="192.0.2.1", since=moment(5.0), confirmed_at=moment(9.0)),
        SiteAddress(family="IPv6", address="nonsense"),
    )
    known = Site(metadata=ObjectMeta(name="s"), spec=SiteSpec(detect=Detect()), status=SiteStatus(addresses=addresses))
    assert site_addresses(known) == {Family.V4: parse_address("192.0.2.1")}
    view = SiteView.of(known)
    view.take(verdict(Outcome.UNKNOWN, at=100.0))
    assert view.status((), "n", 1)["addresses"] == [
        {"family": "IPv4", "address": "192.0.2.1", "since": moment(5.0), "confirmedAt": moment(9.0)}
    ]
