"""What the checks look at: the settings, the state as it is on disk, and the ways to ask."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from homing.app.observe import build_observing
from homing.app.settings import Loaded
from homing.app.zones import build_zones
from homing.detect.round import run_rounds
from homing.effects.clock import Clock
from homing.effects.http import HttpClient
from homing.errors import ConfigError, StoreError
from homing.model.address import Address, Family
from homing.model.lockout import Lockout
from homing.model.name import Name
from homing.model.observation import Verdict
from homing.model.zone import Zone
from homing.store import Store, Update, holder
from homing.store.store import FILE

DETECTION = 6.0
"""Seconds that a round of observers may take here."""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What the state directory told. ``daemon`` is the process that holds it.

    ``problem`` says why it told nothing; ``fresh``: because there is no state yet.
    """

    lockouts: tuple[Lockout, ...] = ()
    updates: tuple[Update, ...] = ()
    zones: Mapping[Name, Zone] = field(default_factory=dict[Name, Zone])
    salt: bytes = b""
    daemon: int | None = None
    problem: str = ""
    fresh: bool = False


@dataclass
class Case:
    """One run of the doctor. ``resolver`` is (address, port) of a recursive resolver, None for the system's."""

    loaded: Loaded
    state: Path
    http: HttpClient
    clock: Clock
    chance: random.Random
    disk: OnDisk = OnDisk()
    resolver: tuple[str, int] | None = None
    _wan: asyncio.Task[dict[Family, Verdict]] | None = None

    async def wan(self) -> dict[Family, Verdict]:
        """What a round of the configured observers makes of the WAN address; asked once. Raises ConfigError."""
        if self._wan is None:
            self._wan = asyncio.create_task(self._round())
        return await asyncio.shield(self._wan)

    async def aclose(self) -> None:
        """End what nobody waits for any more."""
        if self._wan is not None:
            self._wan.cancel()
            await asyncio.gather(self._wan, return_exceptions=True)

    async def _round(self) -> dict[Family, Verdict]:
        observing = build_observing(self.loaded, self.http, clock=self.clock, chance=self.chance)
        if observing.lists is not None:
            await observing.lists.refresh()
        deadline = min(observing.settings.round.deadline, DETECTION)
        return await run_rounds(
            observing.observers(),
            observing.ask,
            clock=self.clock,
            families=observing.settings.families,
            settings=replace(observing.settings.round, deadline=deadline),
        )

    def addresses(self, verdicts: Mapping[Family, Verdict]) -> dict[Family, Address]:
        """The addresses agreed on."""
        return {family: found.address for family, found in verdicts.items() if found.address is not None}

    def origins(self) -> tuple[Name, ...]:
        """The own zones; none where the settings of zones are wrong, which another check tells."""
        try:
            return tuple(zone.origin for zone in build_zones(self.loaded))
        except ConfigError:
            return ()


def read_state(directory: Path) -> OnDisk:
    """What the state directory holds, beside a running daemon too; blocks for some milliseconds."""
    try:
        with Store(directory, readonly=True) as store:
            zones = {origin: stored.zone for origin, stored in store.load_zones().items() if stored.zone is not None}
            return OnDisk(
                tuple(store.lockouts()), tuple(store.updates(limit=1000)), zones, store.salt, holder(directory)
            )
    except StoreError as error:
        return OnDisk(problem=str(error), fresh=not _is_there(directory))
    except OSError as error:  # a folder above it may not be looked into
        return OnDisk(problem=f"cannot read {directory}: {error.strerror}")


def _is_there(directory: Path) -> bool:
    try:
        return directory.joinpath(FILE).exists()
    except OSError:
        return True
