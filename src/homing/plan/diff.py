"""What has to change so that what is published becomes what is wanted."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from homing.model.address import Network
from homing.model.name import Name
from homing.model.rrset import RRset, type_name
from homing.records import Want

Published = Mapping[tuple[str, Name, int], RRset]
"""What is published, by provider, name and type."""


class Action(enum.Enum):
    """What happens to one RRset."""

    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One RRset's change. ``before`` is None for a CREATE, ``after`` for a DELETE."""

    action: Action
    before: RRset | None
    after: RRset | None

    @property
    def rrset(self) -> RRset:
        """The RRset as it will be, or as it was when it goes."""
        rrset = self.after or self.before
        assert rrset is not None  # noqa: S101 - a change has one side at least, by construction in diff()
        return rrset

    @property
    def type(self) -> int:
        """The record type."""
        return self.rrset.type

    def __str__(self) -> str:
        """For people: ``A 192.0.2.1 -> 192.0.2.2``."""
        before = ", ".join(self.before.values) if self.before else "none"
        after = ", ".join(self.after.values) if self.after else "none"
        if self.before and self.after and self.before.same_data(self.after):
            before, after = f"{before} (TTL {self.before.ttl})", f"TTL {self.after.ttl}"
        return f"{type_name(self.type)} {before} -> {after}"


@dataclass(frozen=True, slots=True)
class NameChange:
    """All changes of one name at one provider, published together.

    ``wanted`` is all that the name shall hold afterwards, the unchanged families too: some providers drop a family
    that is not sent along. ``before`` is all that it held, for providers that check a prerequisite. ``held`` says why
    the guard holds the change back; an empty text lets it pass. ``inferred`` marks a removal that follows from
    something missing in a list instead of a positive statement.
    """

    provider: str
    name: Name
    changes: tuple[Change, ...]
    wanted: tuple[RRset, ...]
    before: tuple[RRset, ...] = ()
    accepted: tuple[Network, ...] = ()
    inferred: bool = False
    held: str = ""

    @property
    def removes_name(self) -> bool:
        """Whether nothing of what the name held remains."""
        kept = {rrset.type for rrset in self.before} - {change.type for change in self.changes}
        return not kept and all(change.action is Action.DELETE for change in self.changes)


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes, in the order of providers and names."""

    changes: tuple[NameChange, ...] = ()

    @property
    def passing(self) -> tuple[NameChange, ...]:
        """The changes that the guard lets pass."""
        return tuple(change for change in self.changes if not change.held)

    @property
    def held(self) -> tuple[NameChange, ...]:
        """The changes that the guard holds back."""
        return tuple(change for change in self.changes if change.held)

    @property
    def hash(self) -> str:
        """Stands for exactly these changes, whatever is held; what ``--accept`` takes. 12 hexadecimal digits."""
        lines = sorted(
            f"{item.provider} {item.name.text} {change.action.value} {type_name(change.type)} "
            f"{change.before and (change.before.ttl, change.before.values)} "
            f"{change.after and (change.after.ttl, change.after.values)}"
            for item in self.changes
            for change in item.changes
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def diff(published: Published, wants: Iterable[Want], *, listed: frozenset[str] = frozenset()) -> Plan:
    """The changes that lead from what is published to what is wanted.

    ``listed`` names the providers whose wants are a full list: what is published there and wanted by nobody goes,
    as an inferred removal that the guard judges. Elsewhere names that nobody wants stay as they are.
    """
    found: list[NameChange] = []
    spoken: set[tuple[str, Name]] = set()
    held = _by_name(published)
    for want in wants:
        key = (want.provider, want.name)
        spoken.add(key)
        before = {rrset.type: rrset for rrset in held.get(key, ())}
        changes = _changes(before, want)
        if changes:
            untouched = tuple(rrset for rtype, rrset in before.items() if rtype not in want.types)
            found.append(
                NameChange(
                    want.provider, want.name, changes, want.rrsets + untouched, tuple(before.values()), want.accepted
                )
            )
    for (provider, name), rrsets in held.items():
        if provider in listed and (provider, name) not in spoken:
            gone = tuple(Change(Action.DELETE, rrset, None) for rrset in rrsets)
            found.append(NameChange(provider, name, gone, (), rrsets, inferred=True))
    return Plan(tuple(sorted(found, key=lambda item: (item.provider, item.name.key[::-1]))))


def _changes(before: Mapping[int, RRset], want: Want) -> tuple[Change, ...]:
    changes = [
        Change(Action.REPLACE if after.type in before else Action.CREATE, before.get(after.type), after)
        for after in want.rrsets
        if before.get(after.type) != after
    ]
    changes += [Change(Action.DELETE, before[rtype], None) for rtype in sorted(want.absent) if rtype in before]
    return tuple(changes)


def _by_name(published: Published) -> dict[tuple[str, Name], tuple[RRset, ...]]:
    names: dict[tuple[str, Name], tuple[RRset, ...]] = {}
    for (provider, name, _), rrset in published.items():
        names[provider, name] = (*names.get((provider, name), ()), rrset)
    return names


def apply(published: Published, plan: Plan) -> dict[tuple[str, Name, int], RRset]:
    """What will be published once every passing change is done."""
    after = dict(published)
    for item in plan.passing:
        for change in item.changes:
            key = (item.provider, item.name, change.type)
            if change.after is None:
                del after[key]
            else:
                after[key] = change.after
    return after
