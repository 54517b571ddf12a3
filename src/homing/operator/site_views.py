"""From a Site of the API to which nodes are its, and which addresses it has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from homing.errors import ModelError
from homing.kube.kinds.site import Site
from homing.model.address import Address, Family, family_of, parse_address

DEFAULT = "default"
"""The Site of all nodes that no other Site selects."""


def site_of(labels: Mapping[str, str], sites: Iterable[Site]) -> Site | None:
    """The Site of a node with these labels: the first by name that selects it, else a ``default`` that selects none."""
    by_name = sorted(sites, key=lambda site: site.metadata.name)
    for site in by_name:
        selector = site.spec.node_selector
        if selector and all(labels.get(key) == value for key, value in selector.items()):
            return site
    return next((one for one in by_name if one.metadata.name == DEFAULT and not one.spec.node_selector), None)


def site_addresses(site: Site) -> dict[Family, Address]:
    """The addresses in a Site's status; what cannot be read is left out."""
    found: dict[Family, Address] = {}
    for item in site.status.addresses:
        try:
            address = parse_address(item.address)
        except ModelError:
            continue
        found[family_of(address)] = address
    return found
