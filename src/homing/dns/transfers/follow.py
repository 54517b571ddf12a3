"""How far each secondary is with each zone: from the transfers it fetched and, now and then, from what it answers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from homing.dns.authority import Authority, Change
from homing.dns.transfers.notify import SecondariesOf
from homing.dns.transfers.secondary import Secondary, ask_serial
from homing.dns.transfers.turns import Ending, Transferred
from homing.effects.clock import Clock
from homing.model.name import Name
from homing.model.zone import serial_gt

LOOK = 5.0
"""Seconds between two looks for secondaries that are to be asked."""

SOON, LATER = 5.0, 300.0
"""Seconds until one that is behind is asked, then twice as long each time; and one that is not behind."""

AT_ONCE, IN_A_ROUND = 16, 200
"""Secondaries asked at a time, and in one look."""

VERSIONS = 1024
"""Versions of a zone whose time is remembered."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One kind of transfer; ``zone`` is empty for zones that are not served."""

    zone: str
    kind: str
    ending: Ending


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a secondary is with a zone: its serial, None while not known, and the seconds it has been behind."""

    secondary: Secondary
    origin: Name
    serial: int | None
    lag: float


@dataclass(slots=True)
class _Known:
    """What is known of one secondary and zone; times of the monotonic clock."""

    serial: int | None = None
    due: float = 0.0
    wait: float = SOON
    ahead: int | None = None


OnAhead = Callable[[Secondary, Name, int], None]
"""Told of a secondary that serves a newer serial than this server does, twice in a row. Does not raise."""


class Following:
    """Keeps what is known of the secondaries; ``run`` asks them."""

    def __init__(
        self, authority: Authority, clock: Clock, chance: random.Random, *, on_ahead: OnAhead | None = None
    ) -> None:
        self.transfers: Counter[Counted] = Counter()
        self._authority = authority
        self._clock = clock
        self._chance = chance
        self._on_ahead = on_ahead
        self._secondaries_of: SecondariesOf = lambda _: ()
        self._versions: dict[Name, deque[tuple[int, float]]] = {}
        self._known: dict[tuple[Secondary, Name], _Known] = {}
        self._unlisten = authority.listen(self._changed)
        for zone in authority.zones.loaded.values():
            self._changed(Change(None, zone))

    def close(self) -> None:
        """Follow the authority no longer."""
        self._unlisten()

    def follow(self, secondaries_of: SecondariesOf) -> None:
        """Take these secondaries for the ones there are."""
        self._secondaries_of = secondaries_of
        wanted = set(self._pairs())
        for gone in self._known.keys() - wanted:
            del self._known[gone]

    def standings(self) -> list[Standing]:
        """How far each secondary is with each of its zones now."""
        found: list[Standing] = []
        for secondary, origin in self._pairs():
            known = self._known.get((secondary, origin))
            serial = None if known is None else known.serial
            found.append(Standing(secondary, origin, serial, self._lag(origin, serial)))
        return found

    def transferred(self, told: Transferred) -> None:
        """Take note of a transfer that ended."""
        served = self._authority.zone(told.origin) is not None
        self.transfers[Counted(told.origin.text if served else "", told.kind, told.ending)] += 1
        if told.ending is not Ending.DONE:
            return
        fits = [
            secondary
            for secondary in self._secondaries_of(told.origin)
            if (secondary.host, secondary.key.name if secondary.key else None) == (told.client, told.key)
        ]
        if len(fits) == 1:  # of two behind one address there is no telling which it was
            self._note(fits[0], told.origin, told.serial)

    async def run(self) -> None:
        """Ask those that are behind, and the others now and then, until cancelled."""
        gate = asyncio.Semaphore(AT_ONCE)
        while True:
            await self._clock.sleep(LOOK)
            now = self._clock.monotonic()
            due: list[tuple[Secondary, Name]] = []
            for pair in self._pairs():
                known = self._known.setdefault(pair, _Known(due=now + SOON))
                if now >= known.due:
                    due.append(pair)
            due.sort(key=lambda pair: self._known[pair].due)
            await asyncio.gather(*(self._ask(*pair, gate) for pair in due[:IN_A_ROUND]))

    async def _ask(self, secondary: Secondary, origin: Name, gate: asyncio.Semaphore) -> None:
        async with gate:
            serial = await ask_serial(secondary, origin, self._clock, self._chance)
        known = self._known.get((secondary, origin))
        zone = self._authority.zone(origin)
        if known is None or zone is None:
            return
        before = known.ahead
        known.ahead = serial if serial is not None and serial_gt(serial, zone.serial) else None
        if serial is not None:
            self._note(secondary, origin, serial)
        if serial is None or self._lag(origin, known.serial) > 0 or known.ahead is not None:
            known.due = self._clock.monotonic() + known.wait
            known.wait = min(2 * known.wait, LATER)
        if known.ahead is not None and known.ahead == before and self._on_ahead is not None:
            self._on_ahead(secondary, origin, known.ahead)

    def _note(self, secondary: Secondary, origin: Name, serial: int) -> None:
        known = self._known.setdefault((secondary, origin), _Known())
        known.serial = serial
        if not self._lag(origin, serial):
            known.due = self._clock.monotonic() + LATER * self._chance.uniform(0.8, 1.2)
            known.wait = SOON

    def _lag(self, origin: Name, serial: int | None) -> float:
        """Seconds since the first version that a secondary with this serial does not have; 0 when it has all."""
        for version, at in self._versions.get(origin, ()):
            if serial is None or serial_gt(version, serial):
                return max(0.0, self._clock.monotonic() - at)
        return 0.0

    def _changed(self, change: Change) -> None:
        origin = change.origin
        if change.after is None:
            self._versions.pop(origin, None)
            for pair in [pair for pair in self._known if pair[1] == origin]:
                del self._known[pair]
            return
        now = self._clock.monotonic()
        self._versions.setdefault(origin, deque(maxlen=VERSIONS)).append((change.after.serial, now))
        for secondary in self._secondaries_of(origin):
            known = self._known.setdefault((secondary, origin), _Known())
            known.due, known.wait = min(known.due or now + SOON, now + SOON), SOON

    def _pairs(self) -> list[tuple[Secondary, Name]]:
        return [
            (secondary, origin) for origin in self._authority.zones.loaded for secondary in self._secondaries_of(origin)
        ]
