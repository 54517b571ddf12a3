"""The state as it is shown: on the page, by ``homing status`` and as JSON. Times are Unix seconds."""

from __future__ import annotations

from msgspec import Struct


class VoteView(Struct, frozen=True):
    """One observer's answer, or why there is none."""

    observer: str
    operator: str
    method: str
    address: str
    failure: str
    seconds: float
    at: float


class FamilyView(Struct, frozen=True):
    """The WAN address of one family: the last good one, and what the last round made of it."""

    family: int
    address: str
    since: float
    confirmed: float
    outcome: str
    reason: str
    at: float
    seconds: float
    votes: tuple[VoteView, ...]


class NameView(Struct, frozen=True):
    """One name at one provider. ``state`` is one of in-sync, pending, held, failed, locked, disabled.

    ``published`` is what the provider last confirmed; ``observed`` what it answered when it was last read, at
    ``observed_at``, which is 0 where it cannot be read. ``detail`` says why the state is not in-sync, and after a
    semicolon what to do. ``record`` and ``href`` are the provider's own words for the record, where it has some;
    ``owner`` is the object in the cluster that asks for the name.
    """

    fqdn: str
    provider: str
    source: str
    ttl: int
    wanted: tuple[str, ...]
    published: tuple[str, ...]
    state: str
    detail: str
    last_sync: float
    next_turn: float
    record: str = ""
    href: str = ""
    observed: tuple[str, ...] = ()
    observed_at: float = 0.0
    owner: str = ""


class LockoutView(Struct, frozen=True):
    """A pause that a provider asked for; ``until`` is 0 when a person must change something."""

    host: str
    code: str
    reason: str
    since: float
    until: float


class ProviderView(Struct, frozen=True):
    """One provider and whether it may be asked."""

    name: str
    type: str
    readable: bool
    lockouts: tuple[LockoutView, ...]


class SecondaryView(Struct, frozen=True):
    """A secondary of a zone: ``serial`` is what it last said to have, ``behind`` how many serials it lacks, both None
    while not known; ``lag`` the seconds it has been behind, ``told`` how the last NOTIFY went.
    """

    server: str
    serial: int | None = None
    behind: int | None = None
    lag: float = 0.0
    told: str = ""


class ZoneView(Struct, frozen=True):
    """One zone of the built-in server."""

    origin: str
    serial: int
    records: int
    secondaries: tuple[SecondaryView, ...] = ()


class SiteView(Struct, frozen=True):
    """A place with one way out to the internet, in a cluster; ``by`` is who observes there."""

    name: str
    addresses: tuple[FamilyView, ...] = ()
    by: str = ""
    detail: str = ""


class ChangeView(Struct, frozen=True):
    """One line of the history: a change of address, an update or an event."""

    at: float
    kind: str
    subject: str
    detail: str
    ok: bool


class StateView(Struct, frozen=True):
    """Everything, at one moment."""

    version: str
    host: str
    origin: str
    started: float
    at: float
    addresses: tuple[FamilyView, ...] = ()
    own_addresses: tuple[str, ...] = ()
    names: tuple[NameView, ...] = ()
    providers: tuple[ProviderView, ...] = ()
    zones: tuple[ZoneView, ...] = ()
    changes: tuple[ChangeView, ...] = ()
    dns_listen: tuple[str, ...] = ()
    web_listen: tuple[str, ...] = ()
    demo: bool = False
    sites: tuple[SiteView, ...] = ()
    leader: str = ""
    """Who leads, in a cluster."""
    trouble: tuple[str, ...] = ()
    """Sentences about what is wrong with Homing itself: a full disk, an unreadable secret."""
