"""What a zone holds of a cluster, event by event, is what one look at the whole cluster says it should."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from homing.dns.message import Answer, Query, Question, Rcode, RRClass
from homing.dns.render import render
from homing.model.address import Address
from homing.model.health import Health
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType
from homing.records.cluster import MARK, SRV, Changes, ClusterRecords
from homing.records.cluster_views import Hosts, Member, Naming, Offer, Port
from homing.records.pool import MAX_ADDRESSES

ZONE = parse_name("lb.test")
Shown = dict[tuple[str, str], set[str]]


def v4(last: int) -> IPv4Address:
    return IPv4Address(f"192.0.2.{last}")


def v6(last: int) -> IPv6Address:
    return IPv6Address(f"2001:db8::{last:x}")


class Zone:
    """A zone that takes over what each event changes."""

    def __init__(self, naming: Naming) -> None:
        self.told: list[str] = []
        self.records = ClusterRecords(naming, self.told.append)
        self.held: dict[tuple[Name, int], RRset] = {}

    def take(self, changes: Changes) -> Changes:
        for key, item in changes.items():
            if item is None:
                del self.held[key]
            else:
                self.held[key] = item
        return changes

    @property
    def shown(self) -> Shown:
        """Name and type with the data of each record."""
        types = {1: "A", 28: "AAAA", 16: "TXT", SRV: "SRV"}
        found: Shown = {}
        for item in self.held.values():
            values = {str(address) for address in item.addresses} or {data.hex() for data in item.rdatas}
            found[item.name.text.removesuffix(".lb.test"), types[item.type]] = values
        return found

    def at(self, name: str) -> dict[str, set[str]]:
        return {kind: values for (owner, kind), values in self.shown.items() if owner == name}


TXT = {"TXT": {MARK.hex()}}


def zone(**naming: object) -> Zone:
    return Zone(Naming(ZONE, **naming))  # type: ignore[arg-type]


def ready(*areas: str, at: tuple[Address, ...] = (), **more: object) -> Member:
    return Member(True, frozenset(areas), at, **more)  # type: ignore[arg-type]


def test_an_area_has_the_addresses_of_its_ready_nodes() -> None:
    """Each once, and the families apart under v4 and v6; nobody else's names change."""
    held = zone()
    held.take(held.records.node("n1", ready("home", "cloud", at=(v4(1), v6(1)))))
    changes = held.take(held.records.node("n2", ready("home", at=(v4(1), v4(2)))))
    assert {name.text for name, _ in changes} == {"home.lb.test", "v4.home.lb.test"}
    assert held.at("home") == {"A": {"192.0.2.1", "192.0.2.2"}, "AAAA": {"2001:db8::1"}}
    assert held.at("v4.home") == {"A": {"192.0.2.1", "192.0.2.2"}}
    assert held.at("v6.home") == {"AAAA": {"2001:db8::1"}}
    assert held.at("cloud") == {"A": {"192.0.2.1"}, "AAAA": {"2001:db8::1"}}


def test_a_known_name_without_addresses_has_a_text() -> None:
    """So it exists while no node is ready; when nobody lists the area any more it does not."""
    held = zone()
    held.take(held.records.node("n1", Member(False, frozenset({"home"}), (v4(1),))))
    assert [held.at(name) for name in ("home", "v4.home", "v6.home")] == [TXT, TXT, TXT]
    held.take(held.records.node("n1", ready("home", at=(v4(1),))))
    assert [held.at(name) for name in ("home", "v6.home")] == [{"A": {"192.0.2.1"}}, TXT]
    held.take(held.records.node("n1", ready("other")))
    assert {name for name, _ in held.shown} == {"other", "v4.other", "v6.other"}
    held.take(held.records.node("n1", None))
    assert held.shown == {}


def test_a_service_has_the_addresses_of_the_nodes_behind_it() -> None:
    """Over all slices; nodes that serve while ending only while none is ready; nothing unless it wants a name."""
    held, key = zone(), ("forge", "git")
    for last in (1, 2, 3):
        held.take(held.records.node(f"n{last}", ready(at=(v4(last),))))
    held.take(held.records.endpoint_slice(("forge", "a"), Hosts(key, frozenset({"n1"}), frozenset({"n3"}))))
    held.take(held.records.endpoint_slice(("forge", "b"), Hosts(key, frozenset({"n2", "unknown"}))))
    assert held.shown == {}
    held.take(held.records.service(key, Offer()))
    assert held.at("git.forge") == {"A": {"192.0.2.1", "192.0.2.2"}}
    held.take(held.records.node("n2", Member(False, frozenset(), (v4(2),))))
    assert held.at("git.forge") == {"A": {"192.0.2.1"}}
    held.take(held.records.endpoint_slice(("forge", "b"), None))
    held.take(held.records.endpoint_slice(("forge", "a"), Hosts(key, frozenset(), frozenset({"n3"}))))
    assert held.at("v4.git.forge") == {"A": {"192.0.2.3"}}
    held.take(held.records.endpoint_slice(("forge", "a"), Hosts(key)))
    assert [held.at(name) for name in ("git.forge", "v4.git.forge", "v6.git.forge")] == [TXT, TXT, TXT]
    held.take(held.records.service(key, None))
    assert held.shown == {}


def test_a_node_follows_its_site() -> None:
    """Its own addresses, the Site's, and ExternalIP for a family that the Site has none of."""
    held = zone()
    held.take(held.records.node("n1", ready("home", at=(v4(9),), site="s", external=(v4(8), v6(8)))))
    assert held.at("home") == {"A": {"192.0.2.9", "192.0.2.8"}, "AAAA": {"2001:db8::8"}}
    held.take(held.records.site("s", (v4(1),)))
    assert held.at("home") == {"A": {"192.0.2.9", "192.0.2.1"}, "AAAA": {"2001:db8::8"}}
    held.take(held.records.site("s", (v4(2), v6(2))))
    assert held.at("home") == {"A": {"192.0.2.9", "192.0.2.2"}, "AAAA": {"2001:db8::2"}}


def test_an_address_that_fails_its_check_is_left_out() -> None:
    """Unless all of its family fail: then the checker is the likelier fault."""
    held = zone()
    held.take(held.records.node("n1", ready("home", at=(v4(1), v6(1)))))
    held.take(held.records.node("n2", ready("home", at=(v4(2), v6(2)))))
    held.take(held.records.checked(v4(1), Health.FAILING))
    assert held.at("home") == {"A": {"192.0.2.2"}, "AAAA": {"2001:db8::1", "2001:db8::2"}}
    held.take(held.records.checked(v4(2), Health.FAILING))
    assert held.at("home")["A"] == {"192.0.2.1", "192.0.2.2"}
    held.take(held.records.checked(v4(2), Health.DAMPED))
    assert held.at("home")["A"] == {"192.0.2.2"}
    held.take(held.records.checked(v4(1), Health.HEALTHY))
    assert held.at("v4.home") == {"A": {"192.0.2.1"}}


def test_addresses_that_no_name_can_have_are_not_worth_a_check() -> None:
    """A node that is not ready may become so: then its health is known."""
    held = zone()
    held.take(held.records.node("n1", ready("home", at=(v4(1),))))
    held.take(held.records.node("n2", Member(ready=False, areas=frozenset(("home",)), addresses=(v4(2),))))
    held.take(held.records.node("n3", ready(at=(v4(3),))))
    assert set(held.records.answerable()) == {v4(1), v4(2)}
    assert set(held.records.addresses()) == {v4(1), v4(2), v4(3)}
    before = held.records.revision
    held.take(held.records.service(("web", "git"), Offer()))
    held.take(held.records.endpoint_slice(("web", "git-1"), Hosts(("web", "git"), frozenset(("n3",)))))
    assert set(held.records.answerable()) == {v4(1), v4(2), v4(3)}
    assert held.records.revision != before


def test_host_names_keep_or_drop_a_node_that_is_not_ready() -> None:
    """As the zone says; a deleted node has no name."""
    for keep, expected in ((True, {"A": {"192.0.2.1"}}), (False, TXT)):
        held = zone(node_names="nodes", keep_not_ready=keep)
        held.take(held.records.node("n1.example", ready(at=(v4(1),))))
        assert held.shown == {("n1.example.nodes", "A"): {"192.0.2.1"}}
        held.take(held.records.node("n1.example", Member(False, addresses=(v4(1),))))
        assert held.at("n1.example.nodes") == expected
        held.take(held.records.node("n1.example", None))
        assert held.shown == {}


def test_named_ports_have_srv_records() -> None:
    """One each, at the Service's name; a port that goes takes its record along."""
    held, key = zone(srv=True), ("forge", "git")
    target = parse_name("git.forge.lb.test").wire.hex()
    held.take(held.records.service(key, Offer((Port("ssh", "tcp", 22), Port("web", "tcp", 443)))))
    assert held.at("_ssh._tcp.git.forge") == {"SRV": {"000000000016" + target}}
    held.take(held.records.service(key, Offer((Port("web", "tcp", 8443), Port("x" * 63, "tcp", 1)))))
    assert held.at("_ssh._tcp.git.forge") == {}
    assert held.at("_web._tcp.git.forge") == {"SRV": {"0000000020fb" + target}}
    assert "can have no name" in held.told[0]
    held.take(held.records.service(key, None))
    assert held.shown == {}


def test_the_area_has_a_name_before_a_service() -> None:
    """v4.forge is the IPv4 side of area forge while somebody lists it, else Service v4 of namespace forge."""
    held, key = zone(), ("forge", "v4")
    held.take(held.records.node("n1", ready(at=(v6(1),))))
    held.take(held.records.endpoint_slice(("forge", "a"), Hosts(key, frozenset({"n1"}))))
    held.take(held.records.service(key, Offer()))
    assert held.at("v4.forge") == {"AAAA": {"2001:db8::1"}}
    held.take(held.records.node("n2", ready("forge", at=(v4(2),))))
    assert held.at("v4.forge") == {"A": {"192.0.2.2"}}
    held.take(held.records.node("n2", None))
    assert held.at("v4.forge") == {"AAAA": {"2001:db8::1"}}


def test_names_that_are_too_long_are_told_and_left_out() -> None:
    """The others are there."""
    long = Name((b"a" * 63, b"b" * 63, b"c" * 63))
    held = Zone(Naming(long))
    held.take(held.records.node("n1", ready("d" * 63, "home", at=(v4(1),))))
    assert {name.labels[-4] for name, _ in held.held} == {b"home"}
    assert held.told[0].startswith("area ddd")


@pytest.mark.parametrize(("rtype", "first"), [("A", v4(0)), ("AAAA", v6(0))])
def test_an_answer_is_as_many_addresses_as_a_message_over_tcp_holds(rtype: str, first: Address) -> None:
    """Of more some are answered, and it is told once; the longest name leaves room for as many."""
    long = Name((b"b" * 63, b"c" * 63, b"d" * 55))
    held, most = Zone(Naming(long)), MAX_ADDRESSES[RRType[rtype].value]
    for number in range(most + 5):
        held.take(held.records.node(f"n{number}", ready("a" * 63, at=(first + number,))))
    name = long.prefixed("a" * 63)
    answered = held.held[name, RRType[rtype].value]
    assert len(answered.rdatas) == most
    assert [told for told in held.told if "more addresses than an answer can hold" in told] == held.told[-1:]
    question = Question(name, RRType[rtype], RRClass.IN)
    message = render(Query(1, False, question), Answer(Rcode.NOERROR, True, (answered,)), udp=False)
    assert int.from_bytes(message[6:8]) == most


# The oracle: one look at everything, written from the table of SPEC C2-C5 and not from the state machine.

NODES, AREAS, SITES = ("n1", "n2", "n3.x"), ("home", "cloud", "forge"), ("s1", "s2")
SERVICES = (("forge", "git"), ("forge", "v4"), ("web", "git"))
ADDRESSES: tuple[Address, ...] = (v4(1), v4(2), v4(3), v6(1), v6(2))


@dataclass
class World:
    """All that was told."""

    nodes: dict[str, Member] = field(default_factory=dict[str, Member])
    sites: dict[str, tuple[Address, ...]] = field(default_factory=dict[str, tuple[Address, ...]])
    services: dict[tuple[str, str], Offer] = field(default_factory=dict[tuple[str, str], Offer])
    slices: dict[tuple[str, str], Hosts] = field(default_factory=dict[tuple[str, str], Hosts])
    health: dict[Address, Health] = field(default_factory=dict[Address, Health])

    def addresses(self, node: str) -> set[Address]:
        view = self.nodes[node]
        found = set(view.addresses)
        if view.site is not None:
            site = self.sites.get(view.site, ())
            for version in (4, 6):
                of_site = {one for one in site if one.version == version}
                found |= of_site or {one for one in view.external if one.version == version}
        return found

    def answered(self, nodes: set[str]) -> set[Address]:
        every = {address for node in nodes for address in self.addresses(node)}
        found: set[Address] = set()
        for version in (4, 6):
            family = {one for one in every if one.version == version}
            by_health = [
                {one for one in family if self.health.get(one, Health.HEALTHY) is health}
                for health in (Health.HEALTHY, Health.DAMPED)
            ]
            found |= by_health[0] or by_health[1] or family
        return found

    def expected(self, naming: Naming) -> Shown:
        up = {name for name, view in self.nodes.items() if view.ready}
        found: Shown = {}
        for node in self.nodes if naming.node_names else ():
            answered = {node} if naming.keep_not_ready else {node} & up
            show(found, f"{node}.{naming.node_names}", self.answered(answered), (4, 6))
        for key, offer in self.services.items():
            slices = [one for one in self.slices.values() if one.service == key]
            hosts = {node for one in slices for node in one.ready}
            if not hosts:
                hosts = {node for one in slices for node in one.serving}
            both(found, f"{key[1]}.{key[0]}", self.answered(hosts & up), naming)
            for port in offer.ports if naming.srv else ():
                target = parse_name(f"{key[1]}.{key[0]}.lb.test").wire.hex()
                found[f"_{port.name}._{port.protocol}.{key[1]}.{key[0]}", "SRV"] = {
                    f"00000000{port.number:04x}{target}"
                }
        for area in {area for view in self.nodes.values() for area in view.areas}:
            members = {name for name in up if area in self.nodes[name].areas}
            both(found, area, self.answered(members), naming)
        return found


def both(found: Shown, name: str, addresses: set[Address], naming: Naming) -> None:
    show(found, name, addresses, (4, 6))
    show(found, f"v4.{name}", addresses, (4,))
    show(found, f"v6.{name}", addresses, (6,))
    if naming.wildcards:
        show(found, f"*.{name}", addresses, (4, 6))


def show(found: Shown, name: str, addresses: set[Address], versions: tuple[int, ...]) -> None:
    for key in [key for key in found if key[0] == name]:
        del found[key]
    types = {4: "A", 6: "AAAA"}
    for version in versions:
        values = {str(address) for address in addresses if address.version == version}
        if values:
            found[name, types[version]] = values
    if not any(key[0] == name for key in found):
        found[name, "TXT"] = {MARK.hex()}


def subsets(values: tuple[str, ...]) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(values), max_size=3)


some_addresses = st.lists(st.sampled_from(ADDRESSES), max_size=3).map(tuple)
members = st.builds(
    Member, st.booleans(), subsets(AREAS), some_addresses, st.none() | st.sampled_from(SITES), some_addresses
)
offers = st.builds(
    Offer, st.lists(st.sampled_from((Port("web", "tcp", 80), Port("dns", "udp", 53))), unique=True).map(tuple)
)
hosts = st.builds(Hosts, st.sampled_from(SERVICES), subsets(NODES), subsets(NODES))
events = st.lists(
    st.tuples(st.just("node"), st.sampled_from(NODES), st.none() | members)
    | st.tuples(st.just("site"), st.sampled_from(SITES), some_addresses)
    | st.tuples(st.just("service"), st.sampled_from(SERVICES), st.none() | offers)
    | st.tuples(st.just("slice"), st.sampled_from((("forge", "a"), ("web", "b"), ("web", "c"))), st.none() | hosts)
    | st.tuples(st.just("check"), st.sampled_from(ADDRESSES), st.sampled_from(Health)),
    max_size=25,
)
namings = st.builds(Naming, st.just(ZONE), st.just(30), st.sampled_from(("", "nodes")), *[st.booleans()] * 3)


@settings(max_examples=300, deadline=None)
@given(namings, events)
def test_whatever_happens_the_zone_holds_what_the_cluster_says(
    naming: Naming, events: list[tuple[str, Any, Any]]
) -> None:
    """After each event; and no event changes a name to what it held already."""
    world, held = World(), Zone(naming)
    for kind, key, view in events:
        before = dict(held.held)
        changes = held.take(happen(world, held.records, kind, key, view))
        assert held.shown == world.expected(naming)
        assert {item.key: item for item in held.records.rrsets()} == held.held
        assert all(before.get(key) != item for key, item in changes.items())


def happen(world: World, records: ClusterRecords, kind: str, key: Any, view: Any) -> Changes:
    match kind:
        case "node":
            put(world.nodes, key, view)
            return records.node(key, view)
        case "site":
            world.sites[key] = view
            return records.site(key, view)
        case "service":
            put(world.services, key, view)
            return records.service(key, view)
        case "slice":
            put(world.slices, key, view)
            return records.endpoint_slice(key, view)
    world.health[key] = view
    return records.checked(key, view)


def put(held: dict[Any, Any], key: Any, view: Any) -> None:
    if view is None:
        held.pop(key, None)
    else:
        held[key] = view
