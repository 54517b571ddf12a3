"""What secondaries need of a running server, put together: transfers, NOTIFY, their standing, keys, the catalog."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Collection, Coroutine, Iterable
from types import TracebackType
from typing import Self

from homing.app.keeper import ZoneKeeper
from homing.app.secondaries import ReadPolicy
from homing.dns.authority import Authority
from homing.dns.transfers.catalog import catalog_rrsets, catalog_soa, listed
from homing.dns.transfers.follow import Following
from homing.dns.transfers.notify import Notifier, Told
from homing.dns.transfers.policy import TransferPolicy, ZonePolicy
from homing.dns.transfers.primary import Primary
from homing.dns.transfers.secondary import FIRST_PATIENCE, Secondary, greatest_serial, heard_serials
from homing.dns.transfers.tsig import Keyring
from homing.effects.clock import Clock
from homing.effects.log import get_logger, tell_fault
from homing.errors import ConfigError
from homing.model.name import Name
from homing.model.zone import serial_add
from homing.providers.zone import ZoneProvider
from homing.providers.zone_template import ZoneTemplate
from homing.store import Store
from homing.turn.memory import Memory

log = get_logger("transfers")

SECRETS_LOOK = 2.0
"""Seconds between two looks at whether a key's secret changed."""

START_PATIENCE = 2 * FIRST_PATIENCE + 0.2
"""Seconds that a start waits at most for what secondaries say."""

FAULT_PAUSE = 30.0
"""Seconds before a part that failed through a bug is started again."""


class Transfers:
    """The primary side of a server. Enter it, ``follow`` a policy, publish the zones, ``begin`` once it listens.

    Give ``primary`` to the server and ``keeper.save`` to what makes versions. ``overtake`` is called when a secondary
    is ahead of a zone.
    """

    def __init__(
        self, authority: Authority, memory: Memory, store: Store | None, *, clock: Clock, chance: random.Random
    ) -> None:
        self.following = Following(authority, clock, chance, on_ahead=self._ahead)
        self.primary = Primary(authority, clock, on_transfer=self.following.transferred)
        self.keeper = ZoneKeeper(memory, store, self.primary)
        self.overtake: Callable[[Name, int], Coroutine[None, None, None]] | None = None
        self.makes_catalog = True
        """Whether the catalog is made here; else it is served as it was last, or as another server makes it."""
        self._authority = authority
        self._clock = clock
        self._chance = chance
        self._policy = TransferPolicy()
        self._read: ReadPolicy = TransferPolicy
        self._zones: dict[Name, ZonePolicy] = {}
        self._notifier: Notifier | None = None
        self._catalog: ZoneProvider | None = None
        self._catalog_name: Name | None = None
        self._members: dict[str, tuple[frozenset[Name], bool]] = {}
        self._listing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = tuple(self._tasks), set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._notifier is not None:
            await self._notifier.aclose()
        self.following.close()
        self.primary.close()
        await self.keeper.settle()

    def begin(self) -> None:
        """Tell the secondaries of all zones, and of every change from now on."""
        self._notifier = Notifier(self._authority, (), self._clock, self._chance)
        self._notifier.follow(self._secondaries_of)
        self._start("secondaries", self.following.run)
        self._start("keys", self._watch_secrets)

    def follow(self, read: ReadPolicy) -> Callable[[], None]:
        """From now on this policy holds. Raises ConfigError, and then nothing changed; what is returned undoes it."""
        before, policy = self._read, self._policy
        self._take(read())
        self._read = read

        def undo() -> None:
            self._read = before
            self._take(policy)

        return undo

    def refresh(self) -> None:
        """Read the policy again now. Raises ConfigError, and then nothing changed."""
        self._take(self._read())

    @property
    def told(self) -> dict[tuple[Secondary, Name], Told]:
        """How far each secondary is told of each zone."""
        return {} if self._notifier is None else self._notifier.told

    @property
    def catalogs(self) -> tuple[Name, ...]:
        """The catalog zone, if one is served."""
        return () if self._catalog_name is None else (self._catalog_name,)

    async def list_members(self, origins: Iterable[Name], *, all_known: bool = True, source: str = "") -> None:
        """Serve the catalog of these zones, those with secondaries; each that is left out is deleted there.

        Unless ``all_known``: then there may be more zones, so those listed before stay. Each ``source`` of zones tells
        its own; what the others told last stays.
        """
        async with self._listing:
            self._members[source] = (frozenset(origins), all_known)
            await self._list()

    async def _list(self) -> None:
        name = self._policy.catalog
        if self._catalog_name is not None and self._catalog_name != name:
            self._authority.withdraw(self._catalog_name)
        self._catalog_name = name
        if name is None:
            return
        if not self.makes_catalog:
            self._catalog = None
            if self._authority.zone(name) is None:
                self._authority.replace(zone for zone in self.keeper.last_good if zone.origin == name)
            return
        origins = frozenset[Name]().union(*(told for told, _ in self._members.values()))
        members = {origin for origin in origins if self._secondaries_of(origin)}
        if not all(known for _, known in self._members.values()):
            last = [zone for zone in self.keeper.last_good if zone.origin == name]
            members.update(*map(listed, last))
        template = ZoneTemplate(name, catalog_soa(), catalog_rrsets(name, members))
        self._catalog = ZoneProvider("catalog", self._authority, [template], self.keeper.save, self._clock)
        await self.keeper.hold([name])
        await self._catalog.start(self.keeper.last_good, (), greatest=self.keeper.greatest, first=self.first_serials)

    async def renumber_catalog(self, ahead: int) -> None:
        """Give the catalog a serial so far ahead, where it is made here."""
        served = self._authority.zone(self._catalog_name) if self._catalog_name is not None else None
        if self._catalog is not None and served is not None:
            await self._catalog.overtake(served.origin, serial_add(served.serial, ahead - 1))

    async def first_serials(self, origins: Collection[Name]) -> dict[Name, int]:
        """A serial for each zone of which nothing is known: above those its secondaries say in 2 s, else the time."""
        said = await self.secondary_serials(origins)
        now = int(self._clock.time()) % 2**32
        return {origin: serial_add(said[origin], 1) if origin in said else now for origin in origins}

    async def secondary_serials(self, origins: Collection[Name]) -> dict[Name, int]:
        """The greatest serial of each zone that its secondaries say to have, of those that say one in 2 s."""
        secondaries = {origin: self._secondaries_of(origin) for origin in origins}
        heard = await heard_serials(secondaries, self._clock, self._chance, START_PATIENCE)
        greatest = {origin: greatest_serial(serials) for origin, serials in heard.items()}
        return {origin: serial for origin, serial in greatest.items() if serial is not None}

    def _take(self, policy: TransferPolicy) -> None:
        self._policy = policy
        named = (*policy.zones, *(() if policy.catalog is None else (policy.catalog,)))
        self._zones = {origin: policy.of(origin) for origin in named}
        access = {origin: found.access for origin, found in self._zones.items()}
        default = policy.default.access
        self.primary.allow(lambda origin: access.get(origin, default), Keyring(policy.keys))
        self.following.follow(self._secondaries_of)
        if self._notifier is not None:
            self._notifier.follow(self._secondaries_of)

    def _secondaries_of(self, origin: Name) -> tuple[Secondary, ...]:
        return self._zones.get(origin, self._policy.default).secondaries

    def _start(self, part: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run a part, and again some time after a fault of our own, which must not go unheard."""
        task = asyncio.ensure_future(work())
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            fault = None if task.cancelled() else task.exception()
            if task in self._tasks and fault is not None:
                tell_fault(log, part, fault)
                self._start(part, lambda: self._later(work))
            self._tasks.discard(task)

        task.add_done_callback(ended)

    async def _later(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        await self._clock.sleep(FAULT_PAUSE)
        await work()

    async def _watch_secrets(self) -> None:
        """A changed secret counts at once (law 3); while it cannot be read the one before does."""
        told = ""
        while True:
            await self._clock.sleep(SECRETS_LOOK)
            try:
                policy = self._read()
            except ConfigError as error:
                if str(error) != told:
                    log.error("a key cannot be read, the one before stays", reason=str(error))  # noqa: TRY400
                told = str(error)
                continue
            told = ""
            if policy != self._policy:
                self._take(policy)
                log.info("keys of transfers changed", keys=[key.name.text for key in policy.keys])

    def _ahead(self, secondary: Secondary, origin: Name, serial: int) -> None:
        log.warning(
            "a secondary has a newer serial than this server, which continues above it",
            zone=origin.text,
            secondary=str(secondary),
            serial=serial,
        )
        overtake = self._catalog.overtake if self._catalog and origin == self._catalog_name else self.overtake
        if overtake is not None:
            self._start("serials", functools.partial(overtake, origin, serial))
