"""What a zone sees of a cluster: nodes, Services and EndpointSlices, each as far as names depend on it."""

from __future__ import annotations

from dataclasses import dataclass

from homing.model.address import Address
from homing.model.name import Name

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Which names a zone has. ``ttl`` in seconds; ``node_names`` is the label that host names of nodes are under.

    With ``keep_not_ready`` the host name of a node that is not ready keeps its addresses.
    """

    origin: Name
    ttl: int = 30
    node_names: str = ""
    keep_not_ready: bool = True
    srv: bool = False
    wildcards: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A node as the zone sees it: whether it counts, the areas it lists, its addresses.

    ``site`` is the Site whose addresses it has beside those, None when it has none; a family that the Site has no
    address of is taken from ``external``.
    """

    ready: bool
    areas: frozenset[str] = frozenset()
    addresses: tuple[Address, ...] = ()
    site: str | None = None
    external: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Port:
    """A named port; ``protocol`` like ``tcp``."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A Service that wants a name, with its named ports."""

    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Hosts:
    """An EndpointSlice: whose it is, the nodes with a ready endpoint, those whose endpoints serve while they end."""

    service: Key
    ready: frozenset[str] = frozenset()
    serving: frozenset[str] = frozenset()
