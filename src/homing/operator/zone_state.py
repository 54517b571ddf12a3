"""What the turns of Zones share: the server that serves them, and what is known of each between two turns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from homing.dns.transfers.follow import Standing
from homing.dns.transfers.policy import ZonePolicy
from homing.dns.transfers.tsig import Key
from homing.kube.kinds.zone import ZoneSpec
from homing.model.name import Name
from homing.operator.zones import Follow, KeyPlace
from homing.providers.zone_template import ZoneTemplate


@dataclass(frozen=True, slots=True)
class Start:
    """How a zone begins: whether what is served of it is what was served last, and the least serial.

    ``is_followed``: it is what another leader served, but for its last moments.
    """

    is_last: bool
    least: int | None
    is_followed: bool = False


class House(Protocol):
    """The server that the zones are served by."""

    def is_taken(self, origin: Name) -> bool:
        """Whether the server has this zone from elsewhere."""
        ...

    @property
    def goes_on(self) -> bool:
        """Whether nobody else led since this server did."""
        ...

    async def start(self, origin: Name) -> Start:
        """How a zone begins that the cluster says nothing more of."""
        ...

    async def follow(self, zones: Mapping[Name, ZonePolicy], keys: Collection[Key]) -> None:
        """From now on these follow."""
        ...

    def standings(self) -> list[Standing]:
        """How far the secondaries are."""
        ...

    @property
    def has_catalog(self) -> bool:
        """Whether a catalog zone is served."""
        ...

    async def happened(self, origin: Name, detail: str) -> None:
        """Something for the history."""
        ...

    async def remember(self, zones: Mapping[Name, ZoneSpec]) -> None:
        """These zones are served now, and at the next start too."""
        ...

    def published(self, origin: Name) -> Collection[Name] | None:
        """The names of Domains in a zone with names of the cluster that was served last, if that is known."""
        ...


@dataclass(slots=True)
class Known:
    """What is known of a Zone between two turns."""

    origin: Name
    uid: str
    spec: ZoneSpec | None = None
    """By which it is served."""
    template: ZoneTemplate | None = None
    follow: Follow = field(default_factory=Follow)
    places: dict[Name, KeyPlace] = field(default_factory=dict[Name, KeyPlace])
    """Where its keys come from."""
    told: tuple[str, str] = ("", "")
    hidden: dict[Name, str] = field(default_factory=dict[Name, str])
    """Names of the cluster's that somebody else has, as they were told."""
    unhealthy: set[str] | None = None
    """Addresses that fail their check, as they were told; None where nothing was."""
    status: dict[str, Any] = field(default_factory=dict[str, Any])
    written_at: float = float("-inf")
    """Monotonic time at which its status was written."""
