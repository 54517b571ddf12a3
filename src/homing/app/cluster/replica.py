"""A replica that does not lead: it follows the one that does, so that all serve the same zones under the same serials.

Each version is on disk before it counts (law 8), with the step that leads to it, so secondaries may follow any replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable

from homing.app.keeper import ZoneKeeper
from homing.app.places import parse_listen
from homing.dns.authority import Authority, Change
from homing.dns.transfers.inbound import Current, Refused, Steps, Whole, applied, replaced, zone_of
from homing.dns.transfers.journal import Step, condense
from homing.dns.transfers.tsig import Key
from homing.dns.transfers.upstream import Upstream, connected
from homing.effects.backoff import Backoff
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import ConfigError, MessageError, ModelError
from homing.model.name import Name
from homing.model.zone import Zone, serial_gt

log = get_logger("replica")

PULSE = 0.5
"""Seconds between two signs of life."""

LOOK = 0.1
"""Seconds between two looks at who leads, while nobody is followed."""

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
"""Seconds until a leader that cannot be followed is tried again."""

ZONE_WAIT = 5.0
"""Seconds until a zone whose transfer was of no use is asked for again."""

KEPT_STEPS = 64
"""Differences that are taken one by one; of more the oldest are taken as one."""


class Replica:
    """Follows the leader for the zones ``want``ed; ``run`` it while another leads.

    ``leader`` gives its address, empty when none is known, ``key`` the key shared with it. ``turn`` is held from the
    look at a version until the next is served.
    """

    def __init__(
        self,
        authority: Authority,
        keeper: ZoneKeeper,
        *,
        leader: Callable[[], str],
        key: Callable[[], Key | None],
        turn: asyncio.Lock,
        clock: Clock,
        chance: random.Random,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_refused`` is told when the leader does not take the key."""
        self.current_at: float | None = None
        """Monotonic time at which all zones were last known to be as the leader has them."""
        self._authority = authority
        self._keeper = keeper
        self._leader = leader
        self._key = key
        self._turn = turn
        self._clock = clock
        self._chance = chance
        self._on_refused = on_refused
        self._wanted: frozenset[Name] = frozenset()
        self._pending: dict[Name, None] = {}
        self._later: dict[Name, float] = {}
        self._news = asyncio.Event()
        self._told = ""
        self._troubles: dict[Name, str] = {}

    def want(self, origins: Iterable[Name]) -> None:
        """Follow these zones from now on, and no others."""
        wanted = frozenset(origins)
        for origin in wanted - self._wanted:
            self._pending[origin] = None
        self._wanted = wanted
        self._troubles = {origin: told for origin, told in self._troubles.items() if origin in wanted}
        self._news.set()

    async def run(self) -> None:
        """Follow whoever leads, until cancelled."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            where, key = self._leader(), self._key()
            if not where or key is None:
                await self._clock.sleep(LOOK)
                continue
            began = self._clock.monotonic()
            try:
                host, port = parse_listen(where, "the Lease", 0)
                async with connected(host, port, key, self._clock, self._chance, self._changed) as upstream:
                    await self._follow(upstream, where, key)
            except (OSError, EOFError, MessageError, ConfigError) as error:
                self._tell(f"{where}: {str(error) or type(error).__name__}")
                if isinstance(error, MessageError | EOFError):
                    self._on_refused()
            if self.current_at is not None and self.current_at >= began:
                backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
            backoff = backoff.after_failure()
            await self._clock.sleep(backoff.seconds(self._chance))

    async def _follow(self, upstream: Upstream, where: str, key: Key) -> None:
        """Follow one leader for as long as it leads."""
        await upstream.alive()  # from here on it tells of changes
        log.info("following the leader", address=where)
        self._told = ""
        self._later.clear()
        self._pending.update(dict.fromkeys(self._wanted))
        while self._leader() == where and self._key() == key:
            while self._pending:
                await self._next(upstream)
            if not self._later:
                self.current_at = self._clock.monotonic()
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PULSE):
                    await self._news.wait()
            if not self._pending:
                await upstream.alive()
            now = self._clock.monotonic()
            for origin in [origin for origin, due in self._later.items() if due <= now]:
                del self._later[origin]
                self._pending[origin] = None

    async def _next(self, upstream: Upstream) -> None:
        """Fetch what is newer of one zone; a transfer that is of no use leaves the zone as it is."""
        origin = next(iter(self._pending))
        del self._pending[origin]
        if origin not in self._wanted:
            return
        try:
            try:
                await self._fetch(upstream, origin, self._authority.zone(origin))
            except ModelError as error:
                log.debug("differences do not fit, fetching the whole zone", zone=origin.text, reason=str(error))
                await self._fetch(upstream, origin, None)
            self._troubles.pop(origin, None)
        except Refused:
            pass  # it does not serve the zone; when it does, it tells
        except ModelError as error:
            if self._troubles.get(origin) != str(error):
                log.error("zone cannot be followed", zone=origin.text, reason=str(error))  # noqa: TRY400
            self._troubles[origin] = str(error)
            self._later[origin] = self._clock.monotonic() + ZONE_WAIT

    async def _fetch(self, upstream: Upstream, origin: Name, held: Zone | None) -> None:
        found = await upstream.transfer(origin, held)
        if isinstance(found, Current):
            if held is not None and serial_gt(held.serial, found.serial):
                raise ModelError(f"the leader has serial {found.serial} of {origin.text}, here it is {held.serial}")
            return
        async with self._turn:
            if origin not in self._wanted:
                return
            if isinstance(found, Whole):
                await self._whole(origin, found)
                return
            for item in _few(found):
                await self._step(origin, item)

    async def _whole(self, origin: Name, whole: Whole) -> None:
        new = await asyncio.to_thread(zone_of, origin, whole)
        old = self._authority.zone(origin)
        if old is None:
            await self._publish(Change(None, new))
            log.info("zone taken over from the leader", zone=origin.text, serial=new.serial)
        elif new.serial != old.serial:
            await self._publish(Change(old, new, await asyncio.to_thread(replaced, old, new)))

    async def _step(self, origin: Name, item: Step) -> None:
        old = self._authority.zone(origin)
        if old is None:
            raise ModelError(f"zone {origin.text} was withdrawn meanwhile")
        new, found = applied(old, item)
        await self._publish(Change(old, new, found))

    async def _publish(self, change: Change) -> None:
        assert change.after is not None  # noqa: S101 - nothing is withdrawn here
        await self._keeper.save(change)
        if change.before is None:
            self._authority.replace((change.after,))
        else:
            self._authority.publish(change.after, change.diff, renumbered=True)

    def _changed(self, origin: Name) -> None:
        if origin in self._wanted:
            self._pending[origin] = None
            self._news.set()

    def _tell(self, problem: str) -> None:
        """Say once what keeps it from following."""
        if problem != self._told:
            log.warning("the leader cannot be followed, what is known is served", reason=problem)
        self._told = problem


def _few(found: Steps) -> tuple[Step, ...]:
    steps = found.steps
    if len(steps) <= KEPT_STEPS:
        return steps
    return (condense(steps[: 1 - KEPT_STEPS]), *steps[1 - KEPT_STEPS :])
