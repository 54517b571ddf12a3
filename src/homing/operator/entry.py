"""A Domain of either kind as the operator sees it: what it wants, and what it is known to hold. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import NamedTuple

from homing.errors import HomingError
from homing.kube.objects import Condition, ObjectReference
from homing.model.address import Address, Network
from homing.model.name import Name
from homing.model.rrset import RRset, address_rrsets
from homing.sources import Source

EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
"""Accepted when private addresses may be published."""

ROOT = Name(())
"""Stands for a name that cannot be read."""


class Which(NamedTuple):
    """Which Domain: its kind (``Domain`` or ``StratoDomain``), namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class ProviderId(NamedTuple):
    """Where a Domain is published: a Provider, a ClusterProvider (no namespace), or a Strato Domain's own account."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def key(self) -> str:
        """Its key in the memory, in messages and in metrics."""
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return place if self.kind == "Provider" else f"{_SHORT.get(self.kind, self.kind)}:{place}"


_SHORT = {"ClusterProvider": "cluster"}


class Unready(HomingError):  # noqa: N818 - a state, as in the tree of errors
    """Why nothing can be done for a Domain now: a condition's reason, and a message that says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Known:
    """What the status says was published, and how it went. Times are Unix seconds, 0 for never."""

    fqdn: str = ""
    provider: ProviderId | None = None
    addresses: tuple[Address, ...] = ()
    ttl: int = 0
    synced: bool = False
    last_sync: float = 0.0
    last_attempt: float = 0.0
    retries: int = 0
    conditions: tuple[Condition, ...] = ()

    def rrsets(self, name: Name, ttl: int) -> tuple[RRset, ...]:
        """What the name held then; ``ttl`` where the status has none."""
        return address_rrsets(name, self.ttl or ttl, self.addresses)


@dataclass(frozen=True, slots=True)
class Entry:
    """A Domain. ``ttl`` and ``interval`` are seconds; an ``interval`` of 0 means no turn without a change.

    ``problem`` is what is wrong with the spec beyond what the API server checks. ``asked`` is what the annotation
    ``homing.dev/reconcile`` holds, ``accept`` the plan that a person approved, ``lockouts`` are the pauses of a Strato
    Domain's own account as its annotation keeps them.
    """

    which: Which
    ref: ObjectReference
    generation: int
    created: str
    deleted: str
    name: Name
    source: Source
    mode: str
    site: str
    provider: ProviderId
    ttl: int
    interval: float
    enabled: bool
    deletes: bool
    accepted: tuple[Network, ...] = ()
    finalizers: tuple[str, ...] = ()
    resource_version: str = ""
    asked: str = ""
    accept: str = ""
    lockouts: str = ""
    problem: str = ""
    known: Known = field(default_factory=Known)

    @property
    def age(self) -> tuple[str, str]:
        """Sorts older Domains first; the uid decides between those of one second."""
        return (self.created, self.ref.uid)


@dataclass(frozen=True, slots=True)
class Told:
    """An event to be told of a Domain: ``word`` is what happened, which each kind has its own reason for."""

    word: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """How a Domain is after a turn. ``ok`` is None when nothing was tried."""

    at: float
    ready: bool
    reason: str
    message: str
    addresses: tuple[Address, ...]
    ttl: int
    published_at: ProviderId | None
    synced: bool
    ok: bool | None
    locked: str = ""
    conflict: str = ""
    last_sync: float = 0.0
    last_attempt: float = 0.0
    next_at: float = 0.0
    retries: int = 0
    told: tuple[Told, ...] = ()
