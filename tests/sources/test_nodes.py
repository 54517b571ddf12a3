"""Names that follow nodes and services: only what is known of them changes a name."""

from __future__ import annotations

import pytest

from homing.model.address import Family, parse_address
from homing.sources import NodesSource, NodeView, ServiceSource, ServiceView, View

V4, V6 = parse_address("192.0.2.1"), parse_address("2001:db8::1")
NODES = (
    NodeView("a", True, frozenset({"home"}), (V4, V6)),
    NodeView("b", False, frozenset({"home", "dead"}), (parse_address("192.0.2.2"),)),
    NodeView("c", True, frozenset({"home", "v4"}), (V4, parse_address("192.0.2.3"))),
)


def test_an_area_holds_the_addresses_of_its_ready_nodes() -> None:
    """Each once, in the order of the nodes."""
    found = NodesSource("home").addresses(View(nodes=NODES))
    assert [str(address) for address in found.addresses] == ["192.0.2.1", "2001:db8::1", "192.0.2.3"]
    assert found.none_of == frozenset()


def test_a_family_that_no_ready_node_has_is_positively_none() -> None:
    """So an AAAA goes when the last node with IPv6 is known not to be ready."""
    assert NodesSource("v4").addresses(View(nodes=NODES)).none_of == {Family.V6}


@pytest.mark.parametrize(
    ("view", "area", "told"),
    [
        (View(), "home", "not been read yet"),
        (View(nodes=()), "home", "no node lists area home"),
        (View(nodes=NODES), "dead", "no ready node of area dead"),
    ],
)
def test_nothing_known_of_an_area_changes_no_name(view: View, area: str, told: str) -> None:
    """Unread, empty and wholly dead areas are missing, which keeps what the name holds (law 1)."""
    found = NodesSource(area).addresses(view)
    assert told in found.missing
    assert (found.addresses, found.none_of) == ((), frozenset())


def test_a_service_holds_its_load_balancers_addresses_else_those_of_its_nodes() -> None:
    """A node that is not ready does not count."""
    source, key = ServiceSource("web", "git"), ("web", "git")
    balanced = View(nodes=NODES, services={key: ServiceView((V6,), frozenset({"a"}))})
    assert source.addresses(balanced).addresses == (V6,)
    hosted = View(nodes=NODES, services={key: ServiceView((), frozenset({"a", "b"}))})
    assert source.addresses(hosted).addresses == (V4, V6)


@pytest.mark.parametrize(
    ("services", "told"),
    [
        (None, "have not been read yet"),
        ({}, "there is no Service web/git"),
        ({("web", "git"): ServiceView()}, "no ready endpoint"),
        ({("web", "git"): ServiceView((), frozenset({"b"}))}, "no ready node"),
    ],
)
def test_nothing_known_of_a_service_changes_no_name(
    services: dict[tuple[str, str], ServiceView] | None, told: str
) -> None:
    """What is missing is said (law 1)."""
    assert told in ServiceSource("web", "git").addresses(View(nodes=NODES, services=services)).missing
