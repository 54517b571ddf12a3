"""From nodes, Services and EndpointSlices of the API to what a zone makes of them; what is invalid is told. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from homing.errors import ModelError
from homing.kube.kinds.zone import ClusterNames
from homing.kube.objects import EndpointSlice, Key, Node, Service
from homing.model.address import Address, parse_address
from homing.model.name import Name
from homing.records.cluster_views import Hosts, Member, Naming, Offer, Port

AUTO = "auto"
"""In the annotation of addresses: those of the node's Site."""

HOST_NAMES = "nodes"
"""The label that host names of nodes are under."""

SERVICE_LABEL = "kubernetes.io/service-name"

MAX_TEXT = 8192
"""Characters of an annotation that are read."""

MAX_LISTED = 64
"""Areas or addresses in one annotation."""

MAX_PORTS = 64
"""Named ports of a Service."""

_AREA = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a zone reads the cluster."""

    origin: Name
    spec: ClusterNames = field(default_factory=ClusterNames)

    @property
    def naming(self) -> Naming:
        """Which names it has."""
        spec = self.spec
        return Naming(
            self.origin,
            spec.ttl_seconds,
            HOST_NAMES if spec.host_names is not None else "",
            spec.host_names != "Drop",
            spec.srv_records,
            spec.wildcards,
        )

    @property
    def auto_by_default(self) -> bool:
        """Whether nodes without the annotation have the addresses of their Site."""
        return self.spec.default_ips == "Auto"

    def wants_sites(self, node: Node) -> bool:
        """Whether a node's addresses depend on its Site."""
        text = node.metadata.annotations.get(self.spec.ips_annotation)
        return self.auto_by_default if text is None else AUTO in text[:MAX_TEXT].lower()

    def member(self, node: Node, site: str, tell: Tell) -> Member | None:
        """A node with the name of its Site (empty: it has none); None when it is being deleted."""
        meta, spec = node.metadata, self.spec
        if meta.deletion_timestamp:
            return None
        ready = any(item.type == "Ready" and item.status == "True" for item in node.status.conditions)
        if spec.leave_out_cordoned and node.spec.unschedulable:
            ready = False
        areas: set[str] = set()
        for text in _entries(meta.annotations.get(spec.areas_annotation, ""), tell):
            if _AREA.fullmatch(text.lower()):
                areas.add(text.lower())
            else:
                tell(
                    f"area {text[:80]!r} left out: write letters, digits, and inside hyphens or underscores, 63 at most"
                )
        given = meta.annotations.get(spec.ips_annotation)
        addresses: dict[Address, None] = {}
        auto = self.auto_by_default if given is None else False
        for text in _entries(given or "", tell):
            if text.lower() == AUTO:
                auto = True
                continue
            try:
                addresses[parse_address(text)] = None
            except ModelError as error:
                tell(f"address left out: {error}")
        if not auto:
            return Member(ready, frozenset(areas), tuple(addresses))
        return Member(ready, frozenset(areas), tuple(addresses), site, _external(node))

    def offer(self, service: Service, tell: Tell) -> Offer | None:
        """A Service that wants a name; None when it does not, or is being deleted."""
        meta = service.metadata
        if meta.deletion_timestamp or meta.annotations.get(self.spec.service_annotation) != "true":
            return None
        if not self.spec.srv_records:
            return Offer()
        ports: dict[tuple[str, str], Port] = {}
        for item in service.spec.ports or ():
            # Of type NodePort the nodes, whose addresses the name has, listen on that; else on the port itself: the
            # load balancer that runs on the nodes, or the pod on the host's network.
            number = item.node_port if service.spec.type == "NodePort" and item.node_port else item.port
            key = (item.name.lower(), (item.protocol or "TCP").lower())
            if item.name:
                ports[key] = Port(*key, number)
        if len(ports) > MAX_PORTS:
            tell(f"{len(ports)} named ports, {MAX_PORTS} of them have SRV records")
        return Offer(tuple(ports.values())[:MAX_PORTS])


def hosts(found: EndpointSlice) -> Hosts | None:
    """An EndpointSlice; None when it is of no Service. An endpoint without a node is left out (SPEC C5)."""
    meta = found.metadata
    service: Key = (meta.namespace, meta.labels.get(SERVICE_LABEL, ""))
    if not service[1]:
        return None
    ready: set[str] = set()
    serving: set[str] = set()
    for item in found.endpoints or ():
        if not item.node_name:
            continue
        if item.conditions.ready is not False:
            ready.add(item.node_name)
        elif item.conditions.serving and item.conditions.terminating:
            serving.add(item.node_name)
    return Hosts(service, frozenset(ready), frozenset(serving))


def _external(node: Node) -> tuple[Address, ...]:
    found: dict[Address, None] = {}
    for item in node.status.addresses[:MAX_LISTED]:
        if item.type == "ExternalIP":
            try:
                found[parse_address(item.address)] = None
            except ModelError:
                continue
    return tuple(found)


def _entries(text: str, tell: Tell) -> list[str]:
    if len(text) > MAX_TEXT:
        tell(f"annotation of {len(text)} characters, {MAX_TEXT} are read")
        text = text[:MAX_TEXT].rpartition(",")[0]
    found = [part.strip() for part in text.split(",") if part.strip()]
    if len(found) > MAX_LISTED:
        tell(f"annotation with {len(found)} entries, {MAX_LISTED} are read")
    return found[:MAX_LISTED]
