"""The view of the world, and the sources of one machine: each makes addresses of the view, or says what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Protocol

from homing.model.address import Address, Family, Network, family_of, publishable, with_host_id


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node of the cluster: whether it is ready, the areas it lists, the addresses it is reached at."""

    name: str
    ready: bool
    areas: frozenset[str]
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A Service of the cluster: the addresses of its load balancer, and the nodes that host a ready endpoint."""

    balanced: tuple[Address, ...] = ()
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """What is known of the world: the last agreed WAN addresses, and this machine's own stable ones.

    ``own`` is None when the machine's addresses could not be read. In a cluster ``nodes`` are its nodes, and
    ``services`` its Services by namespace and name; both are None until they were read.
    """

    wan: Mapping[Family, Address] = field(default_factory=dict[Family, Address])
    own: tuple[Address, ...] | None = None
    nodes: Sequence[NodeView] | None = None
    services: Mapping[tuple[str, str], ServiceView] | None = None


@dataclass(frozen=True, slots=True)
class Sourced:
    """What a name should hold. ``none_of`` are families that are positively known to have no address; ``missing``
    says, for people, why there is nothing yet.
    """

    addresses: tuple[Address, ...] = ()
    none_of: frozenset[Family] = frozenset()
    missing: str = ""


class Source(Protocol):
    """Where a name's addresses come from."""

    @property
    def kind(self) -> str:
        """The word for it in the settings."""
        ...

    @property
    def families(self) -> frozenset[Family]:
        """The families it may speak of."""
        ...

    def addresses(self, view: View) -> Sourced:
        """What the name should hold by this view."""
        ...


@dataclass(frozen=True, slots=True)
class WanSource:
    """The WAN address; with ``host_id``, IPv6 is that host in the WAN address's /64."""

    families: frozenset[Family]
    host_id: int | None = None
    kind: str = "wan"

    def addresses(self, view: View) -> Sourced:
        """The agreed addresses of the families asked for; a family never agreed on is not spoken of."""
        found: list[Address] = []
        for family in sorted(self.families):
            address = view.wan.get(family)
            if isinstance(address, IPv6Address) and self.host_id is not None:
                address = with_host_id(address, self.host_id)
            if address is not None:
                found.append(address)
        return Sourced(tuple(found), missing="" if found else "no WAN address has been agreed on yet")


@dataclass(frozen=True, slots=True)
class StaticSource:
    """Addresses written in the settings."""

    fixed: tuple[Address, ...]
    kind: str = "static"

    @property
    def families(self) -> frozenset[Family]:
        """Those of the addresses."""
        return frozenset(family_of(address) for address in self.fixed)

    def addresses(self, view: View) -> Sourced:
        """The addresses as written; a family without any is none."""
        return Sourced(self.fixed, frozenset(Family) - self.families)


@dataclass(frozen=True, slots=True)
class InterfaceSource:
    """This machine's own stable addresses; only globally reachable or accepted ones when ``public``."""

    families: frozenset[Family]
    public: bool = True
    accepted: tuple[Network, ...] = ()
    kind: str = "interface"

    def addresses(self, view: View) -> Sourced:
        """The machine's addresses. While it has none at all, names keep what they hold (law 1)."""
        if view.own is None:
            return Sourced(missing="the addresses of this machine could not be read")
        found = tuple(
            address
            for address in view.own
            if family_of(address) in self.families and (not self.public or publishable(address, self.accepted))
        )
        if not found:
            kind = "globally reachable address" if self.public else "address"
            return Sourced(missing=f"no interface of this machine has a stable {kind}")
        return Sourced(found, self.families - {family_of(address) for address in found})
