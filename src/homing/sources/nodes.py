"""Sources in a cluster: the nodes of an area, and the nodes that a service runs on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from homing.model.address import Address, Family, family_of
from homing.sources.sources import NodeView, Sourced, View

_ALL = frozenset(Family)


@dataclass(frozen=True, slots=True)
class NodesSource:
    """The addresses of all ready nodes that list an area."""

    area: str
    kind: str = "nodes"

    @property
    def families(self) -> frozenset[Family]:
        """Both: a node may have either."""
        return _ALL

    def addresses(self, view: View) -> Sourced:
        """Those of the ready nodes; while none is ready, names keep what they hold (law 1)."""
        if view.nodes is None:
            return Sourced(missing="the nodes of the cluster have not been read yet")
        members = [node for node in view.nodes if self.area in node.areas]
        if not members:
            return Sourced(missing=f"no node lists area {self.area}")
        return _of_nodes([node for node in members if node.ready], f"of area {self.area}")


@dataclass(frozen=True, slots=True)
class ServiceSource:
    """The addresses of a Service: its load balancer's, else those of the ready nodes that host a ready endpoint."""

    namespace: str
    service: str
    kind: str = "service"

    @property
    def families(self) -> frozenset[Family]:
        """Both: a node may have either."""
        return _ALL

    def addresses(self, view: View) -> Sourced:
        """Those of the nodes; while there is none, names keep what they hold (law 1)."""
        told = f"Service {self.namespace}/{self.service}"
        if view.nodes is None or view.services is None:
            return Sourced(missing="the nodes and services of the cluster have not been read yet")
        service = view.services.get((self.namespace, self.service))
        if service is None:
            return Sourced(missing=f"there is no {told}")
        if service.balanced:
            return _sourced(service.balanced)
        if not service.hosts:
            return Sourced(missing=f"{told} has no ready endpoint on a node")
        hosts = [node for node in view.nodes if node.ready and node.name in service.hosts]
        return _of_nodes(hosts, f"that hosts {told}")


def _of_nodes(nodes: Iterable[NodeView], told: str) -> Sourced:
    found = dict.fromkeys(address for node in nodes for address in node.addresses)
    return _sourced(found) if found else Sourced(missing=f"no ready node {told} has an address")


def _sourced(addresses: Iterable[Address]) -> Sourced:
    found = tuple(addresses)
    return Sourced(found, _ALL - {family_of(address) for address in found})
