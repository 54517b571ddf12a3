"""Domain: a name, the addresses it should hold, and where it is published."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Struct

from homing.kube.kinds.common import (
    API_VERSION,
    FAMILIES,
    Conditions,
    Families,
    HostName,
    IpAddress,
    ObjectName,
    Time,
)
from homing.kube.objects import ObjectMeta
from homing.kube.schema import UNIQUE, WHOLE, Doc, Limits, Rule, one_of


class Wan(Struct, frozen=True, kw_only=True, rename="camel"):
    """The address of a site as the internet sees it."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.ipv6HostId) || !has(self.families) || 'IPv6' in self.families",
            "ipv6HostId needs IPv6: add IPv6 to families, or remove ipv6HostId",
        ),
    )

    site: Annotated[ObjectName, Doc("Name of the Site whose address is published.")] = "default"
    families: Annotated[Families, Doc("Address families that are published. Left out: both.")] = FAMILIES
    ipv6_host_id: Annotated[
        str | None,
        Limits(maxLength=45),
        Rule(
            "isIP(self) && cidr('::/64').containsIP(self) && !ip(self).isUnspecified()",
            "is not a host id: write the low 64 bits of an IPv6 address, like ::10",
        ),
        Doc(
            "Low 64 bits of another machine in the same network, like ::10: published is the site's IPv6 prefix with "
            "this host id. Left out: the address of the site itself."
        ),
    ] = None


class Nodes(Struct, frozen=True, kw_only=True, rename="camel"):
    """The addresses of the ready nodes of an area."""

    area: Annotated[
        str,
        Limits(minLength=1, maxLength=63),
        Rule(
            "self.matches('^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$')",
            "is not an area: write one label in lower case, like berlin, as in the node's annotation node-areas",
        ),
        Doc("Area, as the nodes list it in the annotation k8s.pootis.network/node-areas."),
    ]


class ServiceRef(Struct, frozen=True, kw_only=True, rename="camel"):
    """The addresses of a Service."""

    name: Annotated[ObjectName, Doc("Name of a Service in the namespace of this Domain.")]


class Addresses(Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the addresses come from."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.wan), has(self.static), has(self.nodes), has(self.service)].exists_one(given, given)",
            "write exactly one of wan, static, nodes and service, for example wan: {}",
        ),
    )

    wan: Annotated[
        Wan | None, Doc("The address of a site as the internet sees it; wan: {} is that of Site default.")
    ] = None
    static: Annotated[
        tuple[IpAddress, ...] | None,
        UNIQUE,
        Limits(minItems=1, maxItems=64),
        Doc("These addresses, IPv4, IPv6 or both."),
    ] = None
    nodes: Annotated[Nodes | None, Doc("The addresses of the ready nodes of an area.")] = None
    service: Annotated[
        ServiceRef | None,
        Doc("The addresses of a Service in this namespace: its load balancer's, else those of the nodes behind it."),
    ] = None


class ProviderRef(Struct, frozen=True, kw_only=True, rename="camel"):
    """The provider that a name is published at."""

    kind: Annotated[
        str,
        one_of("Provider", "ClusterProvider"),
        Doc("Provider, in the namespace of this Domain, or ClusterProvider, which serves the namespaces it allows."),
    ] = "Provider"
    name: Annotated[ObjectName, Doc("Name of the Provider or ClusterProvider.")]


class DomainSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    """What should be."""

    fqdn: Annotated[
        HostName,
        Doc("The name that is published, like www.example.org or *.example.org. Case does not matter."),
    ]
    addresses: Annotated[Addresses, Doc("Where the addresses come from: exactly one of wan, static, nodes, service.")]
    provider_ref: Annotated[ProviderRef, WHOLE, Doc("Where the name is published.")]
    ttl_seconds: Annotated[
        int,
        Limits(minimum=30, maximum=86400, format="int32"),
        Doc("How long resolvers may keep the answer. Services that set it themselves ignore it; Gandi takes 300 up."),
    ] = 300
    interval_seconds: Annotated[
        int,
        Limits(minimum=60, maximum=86400, format="int32"),
        Doc("How often what is published is compared with what should be. Changes are published at once."),
    ] = 300
    enabled: Annotated[bool, Doc("false pauses this Domain; what is published stays.")] = True
    deletion_policy: Annotated[
        str,
        one_of("Retain", "Delete"),
        Doc("Whether the published records stay (Retain) or are removed (Delete) when this Domain is deleted."),
    ] = "Retain"
    allow_private: Annotated[
        bool,
        Doc("true publishes also addresses that are not globally reachable, such as 192.168.0.10."),
    ] = False


class DomainStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is."""

    addresses: Annotated[
        tuple[Annotated[str, Limits(maxLength=45)], ...], Limits(maxItems=64), Doc("The addresses that are published.")
    ] = ()
    mode: Annotated[
        str | None,
        one_of("WAN", "Static", "Nodes", "Service"),
        Doc("Where the addresses come from: WAN, Static, Nodes or Service."),
    ] = None
    fqdn: Annotated[str | None, Limits(maxLength=253), Doc("The name under which they are published.")] = None
    provider_ref: Annotated[ProviderRef | None, WHOLE, Doc("Where they are published.")] = None
    ttl_seconds: Annotated[int | None, Limits(format="int32"), Doc("The TTL with which they are published.")] = None
    last_sync: Annotated[Time | None, Doc("When the provider last held or took what should be.")] = None
    last_attempt: Annotated[Time | None, Doc("When the last turn ended, whatever came of it.")] = None
    next_sync: Annotated[Time | None, Doc("When the next turn is due, if nothing changes before.")] = None
    retries: Annotated[int, Limits(minimum=0, format="int32"), Doc("Turns that failed since the last success.")] = 0
    observed_generation: Annotated[
        int, Limits(minimum=0, format="int64"), Doc("The generation of the spec that this status is about.")
    ] = 0
    conditions: Annotated[
        Conditions,
        Doc(
            "Ready: the name holds what it should. Synced: the last turn succeeded. Locked: the provider paused the "
            "account or the host. Conflict: another, older Domain holds this name."
        ),
    ] = ()


class Domain(Struct, frozen=True, kw_only=True, rename="camel"):
    """A DNS name that follows the machines it stands for: the addresses it should hold, and where it is published."""

    api_version: str = API_VERSION
    kind: str = "Domain"
    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[DomainSpec, Doc("What should be.")]
    status: Annotated[DomainStatus, Doc("What is, as Homing last saw it.")] = DomainStatus()
