"""Who follows which zone, and who may transfer it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from homing.dns.transfers.secondary import Secondary
from homing.dns.transfers.transfer import Access, Rule
from homing.dns.transfers.tsig import Key
from homing.model.name import Name


@dataclass(frozen=True, slots=True)
class ZonePolicy:
    """The secondaries of a zone, which may transfer it, and the rules for others that may."""

    secondaries: tuple[Secondary, ...] = ()
    others: tuple[Rule, ...] = ()

    @property
    def access(self) -> Access:
        """Who may transfer the zone."""
        return Access((*(item.rule for item in self.secondaries), *self.others))


@dataclass(frozen=True, slots=True)
class TransferPolicy:
    """What holds for each zone, and for all that are not named; the keys shared; the catalog zone, if there is one."""

    keys: tuple[Key, ...] = ()
    default: ZonePolicy = ZonePolicy()
    zones: Mapping[Name, ZonePolicy] = field(default_factory=dict[Name, ZonePolicy])
    catalog: Name | None = None

    def of(self, origin: Name) -> ZonePolicy:
        """What holds for a zone; the catalog is for the secondaries of all zones."""
        return self._of_all if origin == self.catalog else self.zones.get(origin, self.default)

    @property
    def _of_all(self) -> ZonePolicy:
        everyone = (self.default, *self.zones.values())
        secondaries = dict.fromkeys(item for policy in everyone for item in policy.secondaries)
        return ZonePolicy(
            tuple(secondaries), tuple(dict.fromkeys(rule for policy in everyone for rule in policy.others))
        )
