"""A term without an API server: objects are handed to its mirrors as a watch would, and what it writes is kept."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from homing.effects.clock import ManualClock
from homing.effects.metrics import Metrics
from homing.errors import NotFound, ProviderLocked
from homing.kube.client import KubeClient
from homing.kube.kinds import CLUSTER_PROVIDERS, DOMAINS, PROVIDERS, SITES, STRATO_DOMAINS
from homing.kube.objects import Secret
from homing.kube.resource import Resource
from homing.kube.watch import Mirror
from homing.model.address import parse_address
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, address_rrsets
from homing.operator.entry import Entry, ProviderId, Which
from homing.operator.providers import Providers
from homing.operator.runtime import Options, Term
from homing.plan import NameChange
from homing.providers.base import Traits
from homing.turn.memory import Memory

Object = dict[str, Any]

SECRET = "kept-to-itself-0815"


class Answering(KubeClient):
    """A client that takes every write and knows some Secrets."""

    def __init__(self) -> None:
        self.namespace = "homing"
        self.patches: list[tuple[str, str, Object]] = []
        self.secrets: dict[tuple[str, str], dict[str, bytes]] = {}
        self.reads: list[str] = []
        self.refuse: Exception | None = None

    async def patch(
        self, res: Resource[Any], name: str, body: Mapping[str, Any], namespace: str = "", *, sub: str = ""
    ) -> None:
        """Keep it, or refuse."""
        if self.refuse is not None:
            raise self.refuse
        self.patches.append((f"{res.kind}{'/' if sub else ''}{sub}", f"{namespace}/{name}", dict(body)))

    async def get(self, res: Resource[Any], name: str, namespace: str = "") -> Any:
        """A Secret."""
        self.reads.append(f"{namespace}/{name}")
        data = self.secrets.get((namespace, name))
        if data is None:
            raise NotFound(404, "NotFound", "no such Secret")
        meta = msgspec.convert({"name": name, "namespace": namespace, "uid": "s", "resourceVersion": "1"}, type=Meta)
        return Secret(metadata=meta, data=data)


Meta = type(Secret().metadata)


@dataclass
class Records:
    """A provider's records, and what it was asked."""

    name: str
    traits: Traits = field(default_factory=lambda: Traits(readable=True, public=False))
    held: dict[Name, tuple[RRset, ...]] = field(default_factory=dict[Name, tuple[RRset, ...]])
    applied: list[NameChange] = field(default_factory=list[NameChange])
    reads: int = 0
    locked: bool = False
    during: Any = None

    def account(self, name: Name) -> str:
        """One."""
        return "account"

    def fingerprint(self, name: Name, salt: bytes) -> str:
        """The same credentials always."""
        return "credentials"

    async def read(self, name: Name) -> tuple[RRset, ...]:
        """What is held."""
        self.reads += 1
        if self.locked:
            raise ProviderLocked("badauth", "badauth", account=True)
        if self.during is not None:
            await self.during()
        return self.held.get(name, ())

    async def apply(self, change: NameChange) -> None:
        """Hold what is wanted, and not what is deleted."""
        if self.locked:
            raise ProviderLocked("badauth", "badauth", account=True)
        self.applied.append(change)
        gone = {item.type for item in change.changes}
        coming = tuple(item.after for item in change.changes if item.after is not None)
        kept = tuple(item for item in self.held.get(change.name, ()) if item.type not in gone)
        self.held[change.name] = (*kept, *coming)
        if not self.held[change.name]:
            del self.held[change.name]

    async def aclose(self) -> None:
        """Nothing."""

    def write(self, name: str, *addresses: str) -> None:
        """Hold addresses at a name."""
        at = parse_name(name)
        self.held[at] = address_rrsets(at, 300, [parse_address(text) for text in addresses])

    def values(self, name: str) -> list[str]:
        """The addresses at a name."""
        return [text for item in self.held.get(parse_name(name), ()) for text in item.values]


class House:
    """A term, its objects and its providers, by the providers' names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, real: bool = False) -> None:
        """``real`` makes the providers of their specs instead of records."""
        self.clock = ManualClock()
        self.client = Answering()
        self.records: dict[str, Records] = {}
        self.metrics = Metrics("test")
        self.versions = 0
        if not real:
            monkeypatch.setattr(Providers, "_make", lambda _, found: self.at(found.id))
        self.term = self.lead()

    def at(self, which: ProviderId) -> Records:
        """The records at a provider; one realm has the same, whatever its account."""
        return self.records.setdefault(which.name, Records(which.key))

    def lead(self) -> Term:
        """A new term, which knows nothing but the objects."""
        self.term = Term(
            self.client,
            None,
            Options("me"),
            fence=lambda: None,
            memory=lambda tell: Memory(None, tell=tell),
            clock=self.clock,
            chance=random.Random(1),
            metrics=self.metrics,
        )
        return self.term

    def put(self, resource: Resource[Any], name: str, namespace: str = "", **fields: Any) -> Any:
        """Tell the mirror of an object. ``uid``, ``generation`` and the like are those of its metadata."""
        self.versions += 1
        meta = {"uid": f"uid-{name}", "generation": 1, "creationTimestamp": "2023-01-01T00:00:00Z"}
        meta |= {"name": name, "namespace": namespace, "resourceVersion": str(self.versions)}
        meta |= fields.pop("metadata", {})
        made = msgspec.convert({"metadata": meta, **fields}, type=resource.type)
        self.mirror(resource)._hold((namespace, name), made)
        return made

    def drop(self, resource: Resource[Any], name: str, namespace: str = "") -> None:
        """Tell the mirror that an object is gone."""
        self.mirror(resource)._drop((namespace, name))

    def mirror(self, resource: Resource[Any]) -> Mirror[Any]:
        """Where objects of a kind are followed."""
        term = self.term
        found: dict[Any, Mirror[Any]] = {
            DOMAINS: term._domains_seen,
            STRATO_DOMAINS: term._strato_seen,
            PROVIDERS: term._providers_seen,
            CLUSTER_PROVIDERS: term._cluster_seen,
            SITES: term.world.sites,
        }
        return found[resource]

    def provider(self, name: str, namespace: str = "ns", **spec: Any) -> None:
        """A Provider at Gandi."""
        self.client.secrets.setdefault((namespace, "token"), {"api-key": SECRET.encode()})
        self.put(PROVIDERS, name, namespace, spec={"gandi": {}, "secretRef": {"name": "token"}, **spec})

    def cluster_provider(self, name: str, **spec: Any) -> None:
        """A ClusterProvider at Gandi for all namespaces and example.org."""
        self.client.secrets.setdefault(("homing", "token"), {"api-key": SECRET.encode()})
        secret = {"namespace": "homing", "name": "token"}
        allowed = {"allowedDomains": ["example.org"], "allowedNamespaces": ["*"]}
        self.put(CLUSTER_PROVIDERS, name, spec={"gandi": {}, "secretRef": secret, **allowed, **spec})

    def domain(
        self,
        name: str,
        fqdn: str,
        address: str = "203.0.113.1",
        provider: Object | None = None,
        *,
        namespace: str = "ns",
        metadata: Object | None = None,
        status: Object | None = None,
        **spec: Any,
    ) -> Which:
        """A Domain at Provider ``gandi`` of its namespace, or elsewhere; its finalizer is there already."""
        whole = {
            "fqdn": fqdn,
            "addresses": {"static": [address]},
            "providerRef": provider or {"name": "gandi"},
            "allowPrivate": True,
            **spec,
        }
        finalizers = ["homing.dev/record"] if spec.get("deletionPolicy") == "Delete" else []
        meta = {"finalizers": finalizers, **(metadata or {})}
        self.put(DOMAINS, name, namespace, spec=whole, status=status or {}, metadata=meta)
        return Which("Domain", namespace, name)

    def entry(self, which: Which) -> Entry:
        """As the operator sees it."""
        return self.term.domains.entries[which]

    async def turn(self, which: Which) -> float | None:
        """A turn of a Domain."""
        return await self.term.domains.turn(which)

    def said(self) -> list[tuple[str, str]]:
        """Reasons and messages of the events that wait to be posted."""
        return [(key[2], key[3]) for key in self.term.recorder._queue]

    def status(self, name: str, kind: str = "Domain") -> Object:
        """The status that was last written."""
        found = [
            body["status"] for what, where, body in self.client.patches if (what, where) == (f"{kind}/status", name)
        ]
        return dict(found[-1]) if found else {}

    def lifted(self, name: str) -> bool:
        """Whether the finalizer of a Domain was taken away."""
        bodies = [body for what, where, body in self.client.patches if (what, where) == ("Domain", name)]
        return any(body.get("metadata", {}).get("finalizers") == [] for body in bodies)


def published(provider: str, fqdn: str, *addresses: str, kind: str = "Provider", **more: Any) -> Object:
    """A status that says so, written by Homing or by somebody else."""
    reference = {"kind": kind, "name": provider}
    return {"fqdn": fqdn, "providerRef": reference, "addresses": list(addresses), "ttlSeconds": 300, **more}
