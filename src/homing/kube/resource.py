"""Where objects are found: group, version and plural of a kind, and the type its objects are decoded to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic
from urllib.parse import quote

from homing.kube.objects import (
    ConfigMap,
    EndpointSlice,
    Event,
    Lease,
    Node,
    PartialObject,
    Secret,
    Service,
    T,
)


@dataclass(frozen=True)
class Resource(Generic[T]):
    """One kind. With ``metadata_only`` the server is asked to leave out everything else (Secrets without secrets)."""

    group: str
    version: str
    plural: str
    kind: str
    type: type[T]
    namespaced: bool
    metadata_only: bool = False

    @property
    def api_version(self) -> str:
        """``v1``, or ``GROUP/VERSION``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, name: str = "", namespace: str = "", sub: str = "") -> str:
        """The URL's path of a collection, of an object or of its subresource; without namespace of all namespaces.

        Raises ValueError for a namespaced object without a namespace: it would name something else.
        """
        if name and self.namespaced and not namespace:
            raise ValueError(f"{self.plural} {name} needs a namespace")
        parts = ["apis" if self.group else "api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts += [self.plural, quote(name, safe=""), sub]
        return "/" + "/".join(part for part in parts if part)


SECRETS = Resource("", "v1", "secrets", "Secret", Secret, namespaced=True)
SECRETS_METADATA = Resource("", "v1", "secrets", "Secret", PartialObject, namespaced=True, metadata_only=True)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", ConfigMap, namespaced=True)
NODES = Resource("", "v1", "nodes", "Node", Node, namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", PartialObject, namespaced=False)
SERVICES = Resource("", "v1", "services", "Service", Service, namespaced=True)
EVENTS = Resource("", "v1", "events", "Event", Event, namespaced=True)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", EndpointSlice, namespaced=True)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", Lease, namespaced=True)
