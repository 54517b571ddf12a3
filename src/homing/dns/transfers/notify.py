"""Telling secondaries that a zone changed (RFC 1996): over UDP, again until they answer, a bounded number at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from homing.dns.authority import Authority, Change
from homing.dns.message import Rcode
from homing.dns.transfers.frames import notify as notify_message
from homing.dns.transfers.secondary import Secondary, exchange
from homing.effects.backoff import Backoff
from homing.effects.clock import Clock
from homing.model.name import Name
from homing.model.rrset import RRset
from homing.model.zone import Zone

DEBOUNCE = 0.005
"""Seconds after a change within which more changes share one NOTIFY."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds between two NOTIFYs to a secondary that does not answer (RFC 1996, section 3.6, proposes 60)."""

ATTEMPTS = 8
"""NOTIFYs sent for one change; the secondary's refresh timer does the rest (RFC 1996, section 3.6)."""

AT_ONCE = 64
"""NOTIFYs under way at a time, and as many to secondaries that were silent the last time."""

_DONE = (Rcode.NOERROR, Rcode.NOTIMP)
"""NOTIMP: a secondary that knows no NOTIFY, so another would not help (RFC 1996, section 3.12)."""


@dataclass(frozen=True, slots=True)
class Told:
    """How far a secondary is told of a zone: the serial, how often it was sent, and the answer (None: none yet)."""

    serial: int
    attempts: int = 0
    rcode: int | None = None

    @property
    def is_acknowledged(self) -> bool:
        """Whether the secondary answered that it knows."""
        return self.rcode in _DONE


OnTold = Callable[[Secondary, Name, Told], None]
"""Told of the end of telling a secondary: acknowledged, or given up. Does not raise."""


SecondariesOf = Callable[[Name], Iterable[Secondary]]
"""The secondaries of a zone."""


class Notifier:
    """Tells the secondaries of every change of a zone. Start it inside a running loop; end it by ``aclose``.

    ``secondaries`` follow all zones, until ``follow`` says otherwise.
    """

    def __init__(
        self,
        authority: Authority,
        secondaries: Iterable[Secondary],
        clock: Clock,
        chance: random.Random,
        *,
        on_told: OnTold | None = None,
    ) -> None:
        fixed = tuple(secondaries)
        self._authority = authority
        self._secondaries_of: SecondariesOf = lambda _: fixed
        self._clock = clock
        self._chance = chance
        self._on_told = on_told
        self._soas: dict[Name, RRset] = {}
        self._told: dict[tuple[Secondary, Name], Told] = {}
        self._tasks: dict[tuple[Secondary, Name], asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._patient_turns = asyncio.Semaphore(AT_ONCE)
        self._silent: set[tuple[str, int]] = set()
        self._unlisten = authority.listen(self._changed)

    @property
    def told(self) -> dict[tuple[Secondary, Name], Told]:
        """How far each secondary is told of each zone."""
        return dict(self._told)

    def follow(self, secondaries_of: SecondariesOf) -> None:
        """From now on tell these secondaries; those that are new hear of what is served now."""
        self._secondaries_of = secondaries_of
        zones = self._authority.zones.loaded
        wanted = {(secondary, origin) for origin in zones for secondary in secondaries_of(origin)}
        for key in self._told.keys() - wanted:
            self._forget(key)
        for secondary, origin in wanted - self._told.keys():
            self._soas[origin] = zones[origin].soa_rrset
            self._begin(secondary, zones[origin])

    def tell(self, zone: Zone) -> None:
        """Tell all secondaries of a version; what they were being told of that zone before is dropped."""
        self._soas[zone.origin] = zone.soa_rrset
        for secondary in self._secondaries_of(zone.origin):
            self._begin(secondary, zone)

    def _begin(self, secondary: Secondary, zone: Zone) -> None:
        key = (secondary, zone.origin)
        before, known = self._tasks.get(key), self._told.get(key)
        self._told[key] = Told(zone.serial)
        if before is not None and not before.done():
            if known is not None and known.attempts == 0:
                return  # nothing went out yet: it will be about this version
            before.cancel()
        self._tasks[key] = asyncio.get_running_loop().create_task(self._tell(secondary, zone.origin))

    def _forget(self, key: tuple[Secondary, Name]) -> None:
        del self._told[key]
        self._tasks.pop(key).cancel()

    async def aclose(self) -> None:
        """Stop telling."""
        self._unlisten()
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def _changed(self, change: Change) -> None:
        if change.after is not None:
            self.tell(change.after)
            return
        self._soas.pop(change.origin, None)
        for key in [key for key in self._told if key[1] == change.origin]:
            self._forget(key)

    async def _tell(self, secondary: Secondary, origin: Name) -> None:
        """Send until answered, or as often as it makes sense."""
        key = (secondary, origin)
        await self._clock.sleep(DEBOUNCE)
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        for attempt in range(1, ATTEMPTS + 1):
            rcode = await self._send(secondary, origin, attempt)
            self._told[key] = replace(self._told[key], rcode=rcode)
            if self._told[key].is_acknowledged:
                break
            if attempt < ATTEMPTS:
                backoff = backoff.after_failure()
                await self._clock.sleep(backoff.seconds(self._chance))
        if self._on_told is not None:
            self._on_told(secondary, origin, self._told[key])

    async def _send(self, secondary: Secondary, origin: Name, attempt: int) -> int | None:
        """Send once it is its turn; who was silent waits among its like, so that it holds up nobody else."""
        host = (secondary.host, secondary.port)
        while True:
            was_silent = host in self._silent
            async with self._patient_turns if was_silent else self._turns:
                if host in self._silent and not was_silent:
                    continue
                # Counted before it is sent: a change from now on needs a NOTIFY of its own.
                key = (secondary, origin)
                self._told[key] = replace(self._told[key], attempts=attempt)
                rcode = await send_notify(secondary, self._soas[origin], self._clock, self._chance)
                if rcode is None:
                    self._silent.add(host)
                else:
                    self._silent.discard(host)
                return rcode


async def send_notify(secondary: Secondary, soa: RRset, clock: Clock, chance: random.Random) -> int | None:
    """Send one NOTIFY with the new SOA and give the response code of the answer; None when none came that holds."""
    answer = await exchange(secondary, notify_message(chance.randrange(1 << 16), soa), clock)
    return None if answer is None else answer[3] & 0x0F
