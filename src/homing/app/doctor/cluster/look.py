"""Asks the API server, and has the answers judged."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import field

from homing.app.cluster.common import credentials_of
from homing.app.cluster.settings import ClusterSettings
from homing.app.doctor.cluster import corefile, judging, tsig
from homing.app.doctor.cluster.judging import Seen
from homing.app.doctor.cluster.rights import AGENT, DNS, NODE_DNS, OF_NAMESPACES, OPERATOR, PARTS, Part, Right
from homing.app.doctor.finding import Finding, Level, told
from homing.app.doctor.run import Check, examine
from homing.effects.clock import Clock, SystemClock
from homing.errors import Forbidden, KubeUnavailable, ModelError, NotFound, Unauthorized
from homing.kube.client import KubeClient
from homing.kube.crd import DEFINITIONS
from homing.kube.kinds import CLUSTER_PROVIDERS, DOMAINS, PROVIDERS, SITES, STRATO_DOMAINS, ZONES
from homing.kube.kinds.zone import ClusterNames
from homing.kube.objects import ApiStruct, EndpointSlice, Lease, ObjectMeta, PartialObject, Service, key_of
from homing.kube.resource import CONFIG_MAPS, ENDPOINT_SLICES, LEASES, SECRETS, SERVICES, Resource
from homing.model.name import Name, parse_name
from homing.operator.zones import key_places

HOME = "homing"
"""Homing's namespace where nothing else is said (``deploy/rbac/namespace.yaml``)."""

SERVICE_ANNOTATION = ClusterNames().service_annotation

MOST_SERVICES = 50
"""Services whose endpoints are looked at."""

MOST_KEYS = 100
"""TSIG keys of Zones that are looked at."""

READ = ("list", "watch")
"""What the DNS server does with the Secret of a key."""

AT_ONCE = 12
"""Requests under way at a time."""

PATIENCE = 4.0
"""Seconds for one request."""


class CrdObject(ApiStruct, frozen=True):
    """A CustomResourceDefinition, its spec as it is."""

    metadata: ObjectMeta = ObjectMeta()
    spec: dict[str, Any] = field(default_factory=dict[str, Any])


class ReviewStatus(ApiStruct, frozen=True):
    """What the API server decided."""

    allowed: bool = False


class Review(ApiStruct, frozen=True):
    """A SubjectAccessReview: whether somebody may do something."""

    metadata: ObjectMeta = ObjectMeta()
    status: ReviewStatus = ReviewStatus()


CRDS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", CrdObject, namespaced=False
)
REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", Review, namespaced=False
)
ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", PartialObject, namespaced=True)

_RUNS = {OPERATOR.lease: "homing operator", AGENT.lease: "homing agent", DNS.lease: "homing dns --kubernetes"}


class Cluster:
    """One cluster, and Homing's namespace in it."""

    def __init__(self, client: KubeClient, home: str, clock: Clock) -> None:
        self._client = client
        self._home = home
        self._clock = clock
        self._permits = asyncio.Semaphore(AT_ONCE)

    def checks(self) -> list[Check]:
        """All topics, in the order in which they are told."""
        topics: tuple[tuple[str, Callable[[], Awaitable[Sequence[Finding]]]], ...] = (
            ("API server", self.version),
            ("kinds", self.kinds),
            *((f"rights of {part.account}", functools.partial(self.rights, part)) for part in PARTS),
            ("Leases", self.leases),
            ("objects", self.objects),
            (tsig.TSIG, self.tsig),
            ("Services", self.services),
            ("CoreDNS", self.coredns),
        )
        return [Check(name, functools.partial(self._allowed, name, look)) for name, look in topics]

    async def _allowed(self, name: str, look: Callable[[], Awaitable[Sequence[Finding]]]) -> Sequence[Finding]:
        """What the API server refuses or does not answer is not known, and no fault of what was looked for."""
        try:
            return await look()
        except Forbidden as error:
            text = f"not known: this account may not look ({error})"
            return [Finding(name, Level.SKIPPED, text, "run it with an administrator's kubeconfig")]
        except (KubeUnavailable, Unauthorized) as error:
            if name == "API server":
                raise
            return [Finding(name, Level.SKIPPED, f"not known: {told(error)[0]}")]

    async def version(self) -> Sequence[Finding]:
        """Whether the server answers, and which it is."""
        try:
            return [judging.version(await self._client.version())]
        except Unauthorized as error:
            remedy = "check the kubeconfig, or log in anew: kubectl get namespaces must work too"
            return [Finding("API server", Level.ERROR, f"does not know these credentials: {error}", remedy)]
        except KubeUnavailable as error:
            remedy = "check the address in the kubeconfig, the network, and --context: kubectl cluster-info"
            return [Finding("API server", Level.ERROR, f"does not answer: {error}", remedy)]

    async def kinds(self) -> Sequence[Finding]:
        """Our CustomResourceDefinitions."""
        found: dict[str, Mapping[str, Any]] = {}
        for each in await asyncio.gather(*(self._get(CRDS, item.name) for item in DEFINITIONS)):
            if each is not None:
                found[each.metadata.name] = each.spec
        return [judging.definitions(DEFINITIONS, found)]

    async def rights(self, part: Part) -> Sequence[Finding]:
        """What the service account of a part may do."""
        home = await self._home_of(part)
        if not home:
            if part is NODE_DNS:
                return []
            text = f"no service account {part.account} in namespace {self._home}: not installed there"
            return [
                Finding(f"rights of {part.account}", Level.SKIPPED, text, "name another namespace with --namespace")
            ]
        answers = await asyncio.gather(
            *(self._may(part, home, right, self._home if right.home else "") for right in part.rights)
        )
        denied = [right for right, allowed in zip(part.rights, answers, strict=True) if not allowed]
        narrower = [right for right in denied if not right.home and right.plural in OF_NAMESPACES and part is OPERATOR]
        again = await asyncio.gather(*(self._may(part, home, right, self._home) for right in narrower))
        at_home = [right for right, allowed in zip(narrower, again, strict=True) if allowed]
        return [judging.rights(part, denied, at_home)]

    async def _home_of(self, part: Part) -> str:
        """The namespace of a part's account; empty when there is none. The chart gives agents one of their own."""
        for namespace in (self._home, *([f"{self._home}-agent"] if part is AGENT else [])):
            if await self._get(ACCOUNTS, part.account, namespace) is not None:
                return namespace
        return ""

    async def _may(self, part: Part, home: str, right: Right, namespace: str) -> bool:
        attributes = {
            "namespace": namespace,
            "verb": right.verb,
            "group": right.group,
            "resource": right.plural,
            "subresource": right.sub,
            "name": right.name,
        }
        user = f"system:serviceaccount:{home}:{part.account}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{home}", "system:authenticated"]
        body = {"spec": {"user": user, "groups": groups, "resourceAttributes": attributes}}
        async with self._permits:
            return (await self._client.create(REVIEWS, body)).status.allowed

    async def leases(self) -> Sequence[Finding]:
        """The Leases that elect leaders; one is missed where the part that holds it has its account."""
        found = {item.metadata.name: item for item in await self._client.list(LEASES, self._home)}
        ours: dict[str, Lease | None] = {
            name: item for name, item in sorted(found.items()) if name in _RUNS or name.startswith("homing-site-")
        }
        for part in (OPERATOR, DNS):
            if part.lease not in ours and await self._get(ACCOUNTS, part.account, self._home) is not None:
                ours[part.lease] = None
        now = self._clock.time()
        return [judging.lease(name, item, now, _RUNS.get(name, "homing agent")) for name, item in ours.items()]

    async def objects(self) -> Sequence[Finding]:
        """The conditions of our kinds."""
        now = self._clock.time()

        async def of(kind: str, resource: Resource[Any], main: str = "Ready") -> Finding | None:
            async with self._permits:
                try:
                    items: list[Any] = await self._client.list(resource)
                except NotFound:  # the kind is not installed, which another check tells
                    return None
            seen = [
                Seen("/".join(filter(None, key_of(item))), item.status.conditions, judging.is_new(item.metadata, now))
                for item in items
                if getattr(item.spec, "enabled", True)
            ]
            return judging.ready(kind, seen, main)

        found = await asyncio.gather(
            of("Domain", DOMAINS),
            of("Provider", PROVIDERS),
            of("ClusterProvider", CLUSTER_PROVIDERS),
            of("Site", SITES, "Detected"),
            of("Zone", ZONES),
            of("StratoDomain", STRATO_DOMAINS),
        )
        return [finding for finding in found if finding is not None]

    async def tsig(self) -> Sequence[Finding]:
        """The Secrets with TSIG keys of Zones: what is in them, and whether the DNS server may read them."""
        try:
            zones = await self._client.list(ZONES)
        except NotFound:
            return []
        named = [
            (zone.spec.origin, key, place)
            for zone in zones
            for key, place in zip(zone.spec.tsig_keys, key_places(zone.spec), strict=True)
        ][:MOST_KEYS]
        places = sorted({place[:2] for _, _, place in named})
        found = await asyncio.gather(*(self._get(SECRETS, name, namespace) for namespace, name in places))
        secrets = dict(zip(places, found, strict=True))
        denied: list[tuple[str, str]] = []
        if await self._get(ACCOUNTS, DNS.account, self._home) is not None:
            may = await asyncio.gather(*(self._reads(*place) for place in places))
            denied = [place for place, allowed in zip(places, may, strict=True) if not allowed]
        wanted = [tsig.Wanted(origin, key, *place, secrets[place[:2]]) for origin, key, place in named]
        return list(tsig.judge(wanted, denied))

    async def _reads(self, namespace: str, name: str) -> bool:
        """Whether the DNS server may read a Secret."""
        rights = (Right("secrets", verb, name) for verb in READ)
        return all(await asyncio.gather(*(self._may(DNS, self._home, right, namespace) for right in rights)))

    async def services(self) -> Sequence[Finding]:
        """Endpoints of Services that have a name, or that a Domain follows."""
        services = {key_of(item): item for item in await self._client.list(SERVICES)}
        wanted = {key for key, item in services.items() if item.metadata.annotations.get(SERVICE_ANNOTATION) == "true"}
        try:
            for domain in await self._client.list(DOMAINS):
                followed = domain.spec.addresses.service
                if followed is not None and domain.spec.enabled:
                    wanted.add((domain.metadata.namespace, followed.name))
        except NotFound:
            pass
        chosen = sorted(wanted)[:MOST_SERVICES]
        found = await asyncio.gather(*(self._slices(key) for key in chosen))
        told = {"/".join(key): slices if key in services else None for key, slices in zip(chosen, found, strict=True)}
        return list(judging.endpoints(told))

    async def _slices(self, key: tuple[str, str]) -> list[EndpointSlice]:
        async with self._permits:
            return await self._client.list(
                ENDPOINT_SLICES, key[0], label_selector=f"kubernetes.io/service-name={key[1]}"
            )

    async def coredns(self) -> Sequence[Finding]:
        """Whether the cluster's own DNS sends the own Zones' questions to Homing."""
        try:
            zones = await self._client.list(ZONES)
        except NotFound:
            return []
        if not zones:
            return []
        held = await self._get(CONFIG_MAPS, "coredns", "kube-system")
        if held is None or "Corefile" not in held.data:
            text = "not known: no ConfigMap kube-system/coredns with a Corefile; this cluster has another DNS server"
            return [Finding(corefile.COREDNS, Level.SKIPPED, text)]
        read = corefile.parse(held.data["Corefile"])
        ours = addresses_of(await self._client.list(SERVICES, self._home))
        return [corefile.judge(origin, read, ours) for zone in zones for origin in _origins(zone.spec.origin)]

    async def _get(self, resource: Resource[Any], name: str, namespace: str = "") -> Any:
        async with self._permits:
            try:
                return await self._client.get(resource, name, namespace)
            except NotFound:
                return None


def addresses_of(services: Sequence[Service]) -> frozenset[str]:
    """The addresses of the Services of Homing's namespace that answer DNS."""
    found: set[str] = set()
    for item in services:
        if any(port.port == 53 for port in item.spec.ports or ()):
            given = [item.spec.cluster_ip, *(item.spec.external_ips or ())]
            given += [way.ip for way in item.status.load_balancer.ingress or ()]
            found.update(address for address in given if address not in ("", "None"))
    return frozenset(found)


def _origins(text: str) -> list[Name]:
    try:
        return [parse_name(text)]
    except ModelError:
        return []


async def look_at_cluster(settings: ClusterSettings, tell: Callable[[Finding], None]) -> list[Finding]:
    """All checks of a cluster. Raises ConfigError when there are no credentials."""
    credentials = await credentials_of(settings)
    home = settings.namespace or (HOME if credentials.config.fname else credentials.namespace)
    clock = SystemClock()
    async with KubeClient(credentials, clock=clock, timeout=PATIENCE) as client:
        return await examine(Cluster(client, home, clock).checks(), tell)
