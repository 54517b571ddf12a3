"""The rights that each part of Homing needs, as ``deploy/rbac`` gives them; a test holds the two together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource (``sites.homing.dev/status``); ``name`` empty: on all of them.

    ``home``: in Homing's own namespace; else in the whole cluster.
    """

    resource: str
    verb: str
    name: str = ""
    home: bool = False

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.verb} {self.resource}{' ' + self.name if self.name else ''}"

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.resource.partition("/")[0].partition(".")[2]

    @property
    def plural(self) -> str:
        """The resource without group and subresource."""
        return self.resource.partition("/")[0].partition(".")[0]

    @property
    def sub(self) -> str:
        """The subresource; empty for the object itself."""
        return self.resource.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of Homing with a service account of its own.

    ``file`` gives it its rights; ``lease`` elects its leader, if it has one.
    """

    account: str
    file: str
    lease: str
    rights: tuple[Right, ...]


_LOOK = ("list", "watch")


def _all(verbs: tuple[str, ...], *resources: str, name: str = "", home: bool = False) -> Iterator[Right]:
    for resource in resources:
        for verb in verbs:
            yield Right(resource, verb, name, home)


OPERATOR = Part(
    "homing-operator",
    "deploy/rbac/operator.yaml",
    "homing-operator",
    (
        *_all(_LOOK, "sites.homing.dev", "clusterproviders.homing.dev", "zones.homing.dev", "nodes"),
        *_all(("create", "patch"), "sites.homing.dev", name="default"),
        *_all(("patch",), "sites.homing.dev/status", name="default"),
        *_all(("patch",), "clusterproviders.homing.dev/status", "providers.homing.dev/status"),
        *_all((*_LOOK, "patch"), "domains.homing.dev", "domains.dyndns.contrib.strato.com"),
        *_all(("patch",), "domains.homing.dev/status", "domains.dyndns.contrib.strato.com/status"),
        *_all(_LOOK, "providers.homing.dev", "services", "endpointslices.discovery.k8s.io"),
        *_all(("get", *_LOOK), "secrets"),
        *_all(("create", "patch"), "events"),
        *_all(("get", "create", "update"), "leases.coordination.k8s.io", name="homing-operator", home=True),
        *_all(_LOOK, "leases.coordination.k8s.io", name="homing-site-default", home=True),
        *_all(("create", "patch"), "configmaps", name="esddns-wan-ip", home=True),
        *_all(("create", "patch"), "endpointslices.discovery.k8s.io", name="homing-page", home=True),
        *_all(_LOOK, "configmaps", name="esddns-config", home=True),
        *_all(("create",), "domains.homing.dev", name="esddns", home=True),
        *_all(("create", "patch"), "providers.homing.dev", name="esddns", home=True),
    ),
)

AGENT = Part(
    "homing-agent",
    "deploy/rbac/agent.yaml",
    "homing-site-default",
    (
        *_all(("get",), "nodes"),
        *_all(_LOOK, "sites.homing.dev"),
        *_all(("patch",), "sites.homing.dev/status"),
        *_all(("get", "create", "update"), "leases.coordination.k8s.io", name="homing-site-default", home=True),
    ),
)

DNS = Part(
    "homing-dns",
    "deploy/rbac/dns.yaml",
    "homing-dns",
    (
        *_all(_LOOK, "zones.homing.dev", "clusterproviders.homing.dev", "sites.homing.dev"),
        *_all((*_LOOK, "patch"), "domains.homing.dev"),
        *_all(("patch",), "zones.homing.dev/status", "domains.homing.dev/status"),
        *_all(_LOOK, "nodes", "services", "endpointslices.discovery.k8s.io"),
        *_all(("create", "patch"), "events"),
        *_all(("get", "create", "update"), "leases.coordination.k8s.io", name="homing-dns", home=True),
        *_all(("get", "create", "patch"), "secrets", name="homing-dns-transfer", home=True),
    ),
)

NODE_DNS = Part(
    "homing-node-dns",
    "deploy/rbac/node-dns.yaml",
    "",
    tuple(_all(_LOOK, "nodes", "services", "endpointslices.discovery.k8s.io")),
)
"""``homing dns --zone``, a zone of nodes and Services by flags alone; few have it, and nobody misses it."""

PARTS = (OPERATOR, AGENT, DNS, NODE_DNS)

OF_NAMESPACES = frozenset(("domains", "providers", "secrets", "services", "endpointslices", "events"))
"""What the operator may be limited to some namespaces for (``deploy/rbac/operator-scoped.yaml``)."""
