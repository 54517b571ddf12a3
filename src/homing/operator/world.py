"""What is known of the world in a cluster: Sites, nodes and Services, from mirrors to the view that sources take."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_network

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import ModelError
from homing.kube.client import KubeClient
from homing.kube.kinds import SITES
from homing.kube.kinds.site import Site
from homing.kube.objects import EndpointSlice, Key, Node, Service
from homing.kube.resource import ENDPOINT_SLICES, NODES, SERVICES
from homing.kube.watch import Mirror
from homing.model.address import Address, Family, Network, parse_address
from homing.operator.entry import Entry
from homing.operator.site_views import site_addresses
from homing.sources import NodesSource, NodeView, ServiceSource, ServiceView, View

log = get_logger("world")

AREAS = "k8s.pootis.network/node-areas"
IPS = "k8s.pootis.network/node-ips"
"""Annotations of nodes, as users of the Go node DNS have written them."""

MAX_LISTED = 64
"""Areas or addresses in one annotation."""


class World:
    """Mirrors of what Domains follow. ``changed`` is told the Site whose addresses changed, or ``nodes``."""

    def __init__(
        self,
        client: KubeClient,
        *,
        clock: Clock,
        chance: random.Random,
        changed: Callable[[str], None],
        areas: str = AREAS,
        ips: str = IPS,
        namespaces: Sequence[str] = (),
    ) -> None:
        """``namespaces`` are those of the Services that Domains follow; none means all."""
        self._changed = changed
        self._areas = areas
        self._ips = ips
        self.sites = Mirror(client, SITES, clock=clock, chance=chance, on_change=self._site)
        self._nodes = Mirror(client, NODES, clock=clock, chance=chance, on_change=self._node)
        self._services = Mirror(
            client, SERVICES, clock=clock, chance=chance, namespaces=namespaces, on_change=self._service
        )
        self._slices = Mirror(
            client, ENDPOINT_SLICES, clock=clock, chance=chance, namespaces=namespaces, on_change=self._slice
        )
        self._views: dict[str, NodeView] = {}
        self._of_service: dict[Key, dict[str, EndpointSlice]] = {}
        self._needed = asyncio.Event()

    async def run(self) -> None:
        """Mirror until cancelled; nodes and Services only once a Domain follows any."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.sites.run())
            await self._needed.wait()
            mirrors = (self._nodes, self._services, self._slices)
            for mirror in mirrors:
                group.create_task(mirror.run())
            for mirror in mirrors:
                await mirror.synced.wait()
            self._changed(NODES.plural)

    def view(self, entry: Entry) -> View:
        """What the sources of a Domain are to see."""
        if isinstance(entry.source, NodesSource | ServiceSource):
            self._needed.set()
            if not (self._nodes.synced.is_set() and self._services.synced.is_set() and self._slices.synced.is_set()):
                return View()
            return View(nodes=tuple(self._views.values()), services=self._viewed(entry.source))
        return View(wan=self.addresses(entry.site)) if entry.site else View()

    def addresses(self, site: str) -> Mapping[Family, Address]:
        """The addresses of a Site that were last agreed on."""
        found = self.sites.get(("", site))
        return site_addresses(found) if found is not None else {}

    def has_site(self, entry: Entry) -> bool:
        """Whether the Site that a Domain follows exists; ``default`` is made by the operator itself."""
        return entry.site in ("", "default") or self.sites.get(("", entry.site)) is not None

    def looked(self, entry: Entry) -> bool:
        """Whether what a Domain follows was looked at yet: before, that it is unknown is no news."""
        site = self.sites.get(("", entry.site)) if entry.site else None
        return not entry.site or (site is not None and bool(site.status.detected_at))

    def accepted(self, entry: Entry) -> tuple[Network, ...]:
        """The networks that a Domain's Site takes for globally reachable; no others count (law 7).

        What is no network accepts nothing; the Site itself says so.
        """
        site = self.sites.get(("", entry.site)) if entry.site else None
        found: list[Network] = []
        for text in site.spec.detect.accept_networks if site is not None else ():
            with contextlib.suppress(ValueError):
                found.append(ip_network(text))
        return tuple(found)

    def _viewed(self, source: NodesSource | ServiceSource) -> Mapping[Key, ServiceView]:
        if isinstance(source, NodesSource):
            return {}
        key = (source.namespace, source.service)
        service = self._services.get(key)
        if service is None:
            return {}
        return {key: ServiceView(balanced(service), hosts(self._of_service.get(key, {}).values()))}

    def _site(self, key: Key, old: Site | None, new: Site | None) -> None:
        if new is None or old is None or _said(old) != _said(new):
            self._changed(key[1])

    def _node(self, key: Key, _: Node | None, new: Node | None) -> None:
        before = self._views.pop(key[1], None)
        if new is not None:
            self._views[key[1]] = node_view(new, self._areas, self._ips)
        if self._views.get(key[1]) != before:
            self._changed(NODES.plural)

    def _service(self, key: Key, old: Service | None, new: Service | None) -> None:
        if (old and balanced(old), old is None) != (new and balanced(new), new is None):
            self._changed(NODES.plural)

    def _slice(self, key: Key, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for name in {_service_of(one) for one in (old, new) if one is not None}:
            slices = self._of_service.setdefault((key[0], name), {})
            before = hosts(slices.values())
            slices.pop(key[1], None)
            if new is not None and _service_of(new) == name:
                slices[key[1]] = new
            if hosts(slices.values()) != before:
                self._changed(NODES.plural)
            if not slices:
                del self._of_service[key[0], name]


def _service_of(item: EndpointSlice) -> str:
    return item.metadata.labels.get("kubernetes.io/service-name", "")


def _said(site: Site) -> tuple[int, dict[Family, Address]]:
    return site.metadata.generation, site_addresses(site)


def node_view(node: Node, areas: str, ips: str) -> NodeView:
    """A node: ready by its condition and not being deleted; its addresses by annotation, else ExternalIP.

    An entry of an annotation that cannot be read is left out and told; the others count.
    """
    meta = node.metadata
    ready = any(item.type == "Ready" and item.status == "True" for item in node.status.conditions)
    given = _entries(meta.annotations.get(ips, "")) or [
        item.address for item in node.status.addresses if item.type == "ExternalIP"
    ]
    addresses: dict[Address, None] = {}
    for text in given:
        try:
            addresses[parse_address(text)] = None
        except ModelError as error:
            log.warning("address of a node left out", node=meta.name, reason=str(error))
    listed = frozenset(text.lower() for text in _entries(meta.annotations.get(areas, "")))
    return NodeView(meta.name, ready and not meta.deletion_timestamp, listed, tuple(addresses))


def balanced(service: Service) -> tuple[Address, ...]:
    """The addresses of a Service's load balancer."""
    found: list[Address] = []
    for item in service.status.load_balancer.ingress or ():
        try:
            found.append(parse_address(item.ip))
        except ModelError:
            continue
    return tuple(found)


def hosts(slices: Iterable[EndpointSlice]) -> frozenset[str]:
    """The nodes with a ready endpoint (not told means ready); else those that still serve while ending (SPEC C5)."""
    ready: set[str] = set()
    serving: set[str] = set()
    for item in (endpoint for one in slices for endpoint in one.endpoints or ()):
        if not item.node_name:
            continue
        if item.conditions.ready is not False:
            ready.add(item.node_name)
        elif item.conditions.serving and item.conditions.terminating:
            serving.add(item.node_name)
    return frozenset(ready or serving)


def _entries(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()][:MAX_LISTED]
