"""What the store gives back: frozen rows. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass

from homing.model.address import Address, Family


@dataclass(frozen=True, slots=True)
class GoodAddress:
    """The last agreed address of a family: since when, and when it was last confirmed."""

    family: Family
    address: Address
    since: float
    confirmed: float


@dataclass(frozen=True, slots=True)
class AddressChange:
    """One change of the WAN address; ``before`` is empty for the first."""

    at: float
    family: Family
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class Update:
    """One request to a provider and how it ended. ``code`` is the provider's word, ``ok`` for success."""

    at: float
    provider: str
    fqdn: str
    change: str
    ok: bool
    code: str
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling that is neither a change of address nor an update."""

    at: float
    kind: str
    subject: str
    detail: str
