"""Homing's own kinds, each a module of msgspec Structs, and where they live in the API.

Only types belong here: what the API server checks is annotated at the fields, ``kube.crd`` makes the definitions.
"""

from __future__ import annotations

from homing.kube.kinds.common import GROUP, VERSION
from homing.kube.kinds.domain import Domain
from homing.kube.kinds.provider import ClusterProvider, Provider
from homing.kube.kinds.site import Site
from homing.kube.kinds.strato import STRATO_GROUP, StratoDomain
from homing.kube.kinds.zone import Zone
from homing.kube.resource import Resource

DOMAINS = Resource(GROUP, VERSION, "domains", "Domain", Domain, namespaced=True)
PROVIDERS = Resource(GROUP, VERSION, "providers", "Provider", Provider, namespaced=True)
CLUSTER_PROVIDERS = Resource(GROUP, VERSION, "clusterproviders", "ClusterProvider", ClusterProvider, namespaced=False)
SITES = Resource(GROUP, VERSION, "sites", "Site", Site, namespaced=False)
ZONES = Resource(GROUP, VERSION, "zones", "Zone", Zone, namespaced=False)
STRATO_DOMAINS = Resource(STRATO_GROUP, VERSION, "domains", "Domain", StratoDomain, namespaced=True)

__all__ = [
    "CLUSTER_PROVIDERS",
    "DOMAINS",
    "PROVIDERS",
    "SITES",
    "STRATO_DOMAINS",
    "ZONES",
    "ClusterProvider",
    "Domain",
    "Provider",
    "Site",
    "StratoDomain",
    "Zone",
]
