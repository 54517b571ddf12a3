"""Changes of single names that wait for the next version of their zone, and which of them it can take."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from homing.errors import ModelError, ProviderRefused
from homing.model.name import Name
from homing.model.rrset import RRset
from homing.model.zone import Zone, ZoneDiff, amend
from homing.providers.layer import obstacle


@dataclass(frozen=True, slots=True)
class Waiting:
    """Changes of one name that wait for their version."""

    name: Name
    changes: Mapping[tuple[Name, int], RRset | None]
    done: asyncio.Future[None]

    def succeed(self) -> None:
        """It is served."""
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: BaseException) -> None:
        """It is not."""
        if not self.done.done():
            self.done.set_exception(error)


def placed(
    provider: str, old: Zone, static: Collection[tuple[Name, int]], gathered: Iterable[Waiting]
) -> list[Waiting]:
    """The changes for which the static records leave a place; the others fail."""
    found: list[Waiting] = []
    for item in gathered:
        where = f"provider {provider}: {item.name.text}"
        problem = obstacle(old, item.name) if any(item.changes.values()) else ""
        if any(key in static for key in item.changes):
            remedy = "choose another name, or take it out of the zone's settings"
            item.fail(ProviderRefused("static", f"{where} is a fixed record of zone {old.origin.text}; {remedy}"))
        elif problem:
            item.fail(ProviderRefused("conflict", f"{where} stays as it is: {problem}; change one of the two"))
        else:
            found.append(item)
    return found


def possible(provider: str, old: Zone, gathered: list[Waiting]) -> tuple[list[Waiting], Zone, ZoneDiff]:
    """The changes that the zone can take, the zone with them, and what differs; the others fail."""
    if not gathered:
        return gathered, old, ZoneDiff((), ())
    try:
        return gathered, *amend(old, {key: rrset for item in gathered for key, rrset in item.changes.items()})
    except ModelError:
        pass  # one of them is to blame, the others are not
    found: list[Waiting] = []
    taken: dict[tuple[Name, int], RRset | None] = {}
    for item in gathered:
        try:
            amend(old, {**taken, **item.changes})
        except ModelError as error:
            item.fail(
                ProviderRefused(
                    "conflict",
                    f"provider {provider}: {item.name.text} stays as it is: {error}; change one of the two",
                )
            )
        else:
            found.append(item)
            taken.update(item.changes)
    return found, *amend(old, taken)
