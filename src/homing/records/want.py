"""From addresses to what is wanted of one name at one provider."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from homing.model.address import Address, Family, Network
from homing.model.name import Name
from homing.model.rrset import ADDRESS_TYPES, RRset, address_rrsets


@dataclass(frozen=True, slots=True)
class Want:
    """What one name should hold at one provider.

    ``rrsets`` shall be there. ``absent`` are types that are positively known to be none: they shall go. A type in
    neither is not spoken of and stays as it is: not seeing is not knowing (law 1). ``accepted`` are the networks
    whose addresses may be published although they are not globally reachable (law 7).
    """

    provider: str
    name: Name
    rrsets: tuple[RRset, ...]
    absent: frozenset[int] = frozenset()
    accepted: tuple[Network, ...] = ()

    @property
    def types(self) -> frozenset[int]:
        """The types this want speaks of."""
        return frozenset(rrset.type for rrset in self.rrsets) | self.absent


def want_addresses(
    provider: str,
    name: Name,
    ttl: int,
    addresses: Iterable[Address],
    *,
    none_of: Iterable[Family] = (),
    accepted: tuple[Network, ...] = (),
) -> Want:
    """Wants these addresses at the name, and none of the families that are positively known to have none.

    ``ttl`` is in seconds.
    """
    rrsets = address_rrsets(name, ttl, addresses)
    held = {rrset.type for rrset in rrsets}
    absent = frozenset(ADDRESS_TYPES[family] for family in none_of) - held
    return Want(provider, name, rrsets, absent, accepted)
