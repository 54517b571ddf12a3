"""Thousands of nodes in areas, and Services whose endpoints they host: as state to judge by, and as objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

from tests.cluster.api import Api
from tests.cluster.nodes import node as node_object
from tests.scale.oracle import Endpoint, Node, Slice, State, areas_of

AREAS, IPS, SERVICE = "k8s.pootis.network/node-areas", "k8s.pootis.network/node-ips", "k8s.pootis.network/dns"
"""The annotations, with the keys they have by default."""

EVERYWHERE = "everywhere"
"""An area that every tenth node lists."""

HOLD = "test.homing.dev/hold"
"""The finalizer of every node: one that is deleted stays, as a node that is being deleted."""

FULL_SIZE = 16_000
"""Octets of a node as JSON, which is what a node of a real cluster has: images are most of it."""

_AT_ONCE = 8

_FIRST_V4, _FIRST_V6 = int(IPv4Address("10.0.0.1")), int(IPv6Address("2001:db8::1"))


@dataclass
class Crowd:
    """How many of what. Names are ``node-N``, areas ``area-N``, Services ``service-N.space-M``."""

    nodes: int = 5000
    services: int = 500
    namespaces: int = 50
    labels: Mapping[str, str] = field(default_factory=dict)
    size: int = FULL_SIZE

    def __post_init__(self) -> None:
        self._images = _images(self.size - 2_000) if self.size > 2_000 else "[]"
        self._addresses = 0

    @property
    def areas(self) -> int:
        """How many areas; a node is in two of them, so one has twenty nodes."""
        return max(10, self.nodes // 10)

    def state(self, random: Random) -> State:
        """A first state: most nodes ready, most endpoints too."""
        nodes = {f"node-{number}": self._node(number, random) for number in range(self.nodes)}
        services = [f"service-{number}.space-{number % self.namespaces}" for number in range(self.services)]
        slices = {}
        for number, service in enumerate(services):
            for part in range(1 + number % 3):
                slices[f"slice-{number}-{part}"] = Slice(service, self.endpoints(random))
        return State(nodes, slices, frozenset(one for one in services if random.random() < 0.95))

    def _node(self, number: int, random: Random) -> Node:
        return Node(self.some_areas(number, random), self.some_addresses(random), random.random() < 0.95)

    def some_areas(self, number: int, random: Random) -> str:
        """An annotation: two areas, now and then one that only this node has, or something that is no area."""
        words = [f"area-{random.randrange(self.areas)}", f"Area-{random.randrange(self.areas)}"]
        words += [EVERYWHERE] if number % 10 == 0 else []
        words += [f"only-{number}"] if number % 20 == 7 and random.random() < 0.7 else []
        words += ["no.area", "x" * 64, ""] if random.random() < 0.1 else []
        return ", ".join(words)

    def some_addresses(self, random: Random) -> str:
        """An annotation: an IPv4 address, often an IPv6 one too, sometimes only that, or what is no address."""
        self._addresses += 1
        v4 = str(IPv4Address(_FIRST_V4 + self._addresses))
        v6 = str(IPv6Address(_FIRST_V6 + self._addresses))
        what = random.random()
        if what < 0.45:
            return f"{v4},{v6}"
        if what < 0.8:
            return v4
        if what < 0.9:
            return v6
        if what < 0.95:
            return f"{v4}, ::ffff:{v4}, 192.0.2.1"
        return random.choice(("", "not an address", f"{v4}/24, {v6}"))

    def endpoints(self, random: Random) -> tuple[Endpoint, ...]:
        """Of a slice: ready, not ready, unsaid, serving while they end; one without a node."""
        return (
            *(_endpoint(f"node-{random.randrange(self.nodes)}", random) for _ in range(random.randrange(6))),
            *((Endpoint("", False),) if random.random() < 0.1 else ()),
        )

    def names(self, state: State) -> list[str]:
        """All names that answers are worth asking for, those of one family too; and some that nobody lists."""
        areas = {area for node in state.nodes.values() for area in areas_of(node.areas)}
        areas |= {f"only-{number}" for number in range(7, self.nodes, 20)}
        known = [*sorted(areas), *sorted({one.service for one in state.slices.values()})]
        nobody = [f"nobody-{number}" for number in range(len(known) // 10)]
        return [name for each in (*known, *nobody) for name in (each, f"v4.{each}", f"v6.{each}")]

    def node_object(self, name: str, node: Node) -> bytes:
        """A Node to be created, as JSON."""
        made = node_object(name, internal=["10.255.0.1"], labels=self.labels, annotations=annotated(node))
        made["metadata"]["finalizers"] = [HOLD]
        made["status"]["conditions"] = [*_PRESSURES, ready(node.ready)]
        made["status"]["images"] = []
        return json.dumps(made).replace('"images": []', f'"images": {self._images}').encode()

    def create(self, api: Api, state: State) -> None:
        """Make it all."""
        at_once(
            lambda name: api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}),
            [f"space-{number}" for number in range(self.namespaces)],
        )
        at_once(lambda item: api.exchange("POST", "/api/v1/nodes", self.node_object(*item)), state.nodes.items())
        services = sorted({one.service for one in state.slices.values()})
        at_once(lambda name: _create_service(api, name, name in state.services), services)
        at_once(lambda item: _create_slice(api, *item), state.slices.items())


def annotated(node: Node) -> dict[str, str]:
    """The annotations of a node."""
    return {AREAS: node.areas, IPS: node.ips}


def ready(is_ready: bool) -> dict[str, str]:
    """The Ready condition."""
    return {"type": "Ready", "status": str(is_ready), "reason": "Test", "message": ""}


def endpoint_objects(endpoints: Iterable[Endpoint]) -> list[dict[str, Any]]:
    """Endpoints as a slice lists them; a condition that is not given is left out."""
    found = []
    for number, endpoint in enumerate(endpoints):
        said = {"ready": endpoint.ready, "serving": endpoint.serving, "terminating": endpoint.terminating}
        one: dict[str, Any] = {
            "addresses": [f"10.244.0.{number + 1}"],
            "conditions": {key: value for key, value in said.items() if value is not None},
        }
        found.append({**one, "nodeName": endpoint.node} if endpoint.node else one)
    return found


def at_once(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Do it for all, several at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(work, items):
            pass


def _create_service(api: Api, service: str, is_wanted: bool) -> None:
    name, _, namespace = service.partition(".")
    metadata = {"name": name, "annotations": {SERVICE: "true" if is_wanted else "false"}}
    spec = {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}
    api.request("POST", f"/api/v1/namespaces/{namespace}/services", {"metadata": metadata, "spec": spec})


def _create_slice(api: Api, name: str, one: Slice) -> None:
    service, _, namespace = one.service.partition(".")
    body = {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": endpoint_objects(one.endpoints),
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }
    api.request("POST", f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", body)


def _endpoint(node: str, random: Random) -> Endpoint:
    what = random.random()
    if what < 0.5:
        return Endpoint(node, True, True, False)
    if what < 0.6:
        return Endpoint(node)
    if what < 0.8:
        return Endpoint(node, False, True, True)
    return Endpoint(node, False, False, random.random() < 0.5)


_PRESSURES = [
    {"type": kind, "status": "False", "reason": f"KubeletHasNo{kind}", "message": f"kubelet has no {kind}"}
    for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
]


def _images(size: int) -> str:
    """Images on a node's disk as JSON that takes about so many octets."""
    found: list[dict[str, Any]] = []
    while len(json.dumps(found)) < size:
        number = len(found)
        name = f"registry.example.org/team-{number}/application-{number}"
        found.append({"names": [f"{name}@sha256:{number:064x}", f"{name}:v1.{number}.0"], "sizeBytes": 10**8 + number})
    return json.dumps(found)
