"""Who holds a name (law 2): of all Domains that claim it in one realm, the oldest."""

from __future__ import annotations

from dataclasses import dataclass

from homing.model.name import Name
from homing.operator.entry import Which


@dataclass(frozen=True, slots=True)
class Claim:
    """A Domain's claim on a name in a realm: the service, not the account, where both would write the same records.

    ``age`` sorts the oldest first.
    """

    realm: str
    name: Name
    age: tuple[str, str]


class Claims:
    """All claims. Pure: whoever changes one is told who else is concerned."""

    def __init__(self) -> None:
        self._of: dict[Which, Claim] = {}
        self._on: dict[tuple[str, Name], dict[Which, Claim]] = {}
        self._names: dict[Which, Name] = {}
        self._named: dict[Name, set[Which]] = {}

    def name(self, which: Which, name: Name | None) -> None:
        """Note the name that a Domain has, whether it claims it or not; None when it is gone."""
        before = self._names.pop(which, None)
        if before is not None:
            self._named[before].discard(which)
            if not self._named[before]:
                del self._named[before]
        if name is not None:
            self._names[which] = name
            self._named.setdefault(name, set()).add(which)

    def named(self, name: Name) -> list[Which]:
        """All Domains of a name."""
        return sorted(self._named.get(name, ()))

    def put(self, which: Which, claim: Claim | None) -> set[Which]:
        """Note what a Domain claims now; gives the others that are concerned by the change."""
        before = self._of.get(which)
        if before == claim:
            return set()
        concerned: set[Which] = set()
        if before is not None:
            rivals = self._on[before.realm, before.name]
            del rivals[which]
            concerned |= set(rivals)
            if not rivals:
                del self._on[before.realm, before.name]
        if claim is None:
            self._of.pop(which, None)
        else:
            self._of[which] = claim
            rivals = self._on.setdefault((claim.realm, claim.name), {})
            concerned |= set(rivals)
            rivals[which] = claim
        return concerned - {which}

    def holder(self, which: Which) -> Which | None:
        """Who holds the name that this Domain claims; None when it claims none."""
        claim = self._of.get(which)
        if claim is None:
            return None
        rivals = self._on[claim.realm, claim.name]
        return min(rivals, key=lambda rival: rivals[rival].age)
