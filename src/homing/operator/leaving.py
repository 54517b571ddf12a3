"""What becomes of a record when its Domain is deleted or moves away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from homing.effects.backoff import Backoff
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import KubeError, ModelError, ProviderBusy, ProviderError, ProviderLocked
from homing.model.name import Name, parse_name
from homing.model.rrset import FAMILIES, RRset, address_rrsets
from homing.operator.conditions import seconds_of
from homing.operator.entry import Entry, ProviderId, Report, Told, Unready, Which
from homing.operator.providers import Found, Providers
from homing.plan import Action, Change, NameChange
from homing.providers.base import Provider as Publisher
from homing.providers.lockout import active, lockout_for
from homing.turn.memory import Memory

log = get_logger("leaving")

PATIENCE = 300.0
"""Seconds that a deletion waits for a provider; then the record stays, and that is said."""

MAX_PAUSES = 10_000
"""Deletions of which is known how they went on so far."""


class Leaving:
    """Removes what Homing published and the provider still holds so.

    What was published is told by a status, which its namespace's users may be able to write. So each removal is judged
    by what is allowed now, of the very name that goes; ``rival`` gives another Domain that has a right to it.
    """

    def __init__(
        self,
        providers: Providers,
        memory: Memory,
        *,
        rival: Callable[[Entry, Name, Found], Which | None],
        clock: Clock,
        chance: random.Random,
    ) -> None:
        self._providers = providers
        self._memory = memory
        self._rival = rival
        self._clock = clock
        self._chance = chance
        self._pauses: dict[str, Backoff] = {}
        self._since: dict[str, float] = {}

    def name_of(self, entry: Entry) -> Name | None:
        """The name that the status says was published."""
        try:
            return parse_name(entry.known.fqdn) if entry.known.fqdn else None
        except ModelError:
            return None

    def pause(self, entry: Entry) -> float:
        """Seconds until the next try."""
        backoff = self._pauses.get(entry.ref.uid, Backoff(2.0, 60.0)).after_failure()
        if len(self._pauses) > MAX_PAUSES:
            self._pauses.clear()
        self._pauses[entry.ref.uid] = backoff
        return min(backoff.seconds(self._chance), max(self.patience(entry), 1.0))

    def patience(self, entry: Entry) -> float:
        """Seconds that a deletion still waits for its record: by the API server's clock, or by how long we know of it.

        Below 0 when it waits no longer.
        """
        if not entry.deleted:
            return 0.0
        now = self._clock.monotonic()
        if len(self._since) > MAX_PAUSES:
            self._since.clear()
        since = self._since.setdefault(entry.ref.uid, now)
        return min(seconds_of(entry.deleted) + PATIENCE - self._clock.time(), since + PATIENCE - now)

    def forget(self, uid: str) -> None:
        """A Domain is gone."""
        self._pauses.pop(uid, None)
        self._since.pop(uid, None)

    async def leave(self, entry: Entry, name: Name, provider: ProviderId, last: Report) -> Told | None:
        """Remove the record where the policy says so. Gives what to tell, or None while it is to be tried again."""
        place = f"{name.text} at {provider}"
        if not entry.deletes:
            return Told("retained", f"{place} keeps its record: deletionPolicy is Retain")
        found = self._providers.object(provider)
        try:
            if found is None:
                raise Unready("ProviderNotFound", f"{provider} is gone")
            self._judge(entry, name, found)
            # A crowd waits for its turn at the provider; a deletion does not wait for the crowd.
            async with asyncio.timeout(max(self.patience(entry), 1.0) if entry.deleted else None):
                removed = await self._remove(entry, name, found, last)
        except TimeoutError:
            return self._kept(entry, place, ProviderBusy("timeout", f"it was not removed within {PATIENCE:g} s"))
        except (Unready, ProviderError) as problem:
            return self._kept(entry, place, problem)
        except KubeError as problem:
            return self._kept(entry, place, ProviderBusy("kubernetes", str(problem)))
        log.info("record removed", domain=str(entry.which), name=name.text, provider=str(provider))
        return Told("removed", f"{place} is removed" if removed else f"{place} held nothing of Homing's any more")

    def _judge(self, entry: Entry, name: Name, found: Found) -> None:
        """Whether the Domain may have this name removed there, whatever its status says. Raises Unready."""
        self._providers.allowed(found, entry, name)
        rival = self._rival(entry, name, found)
        if rival is not None:
            raise Unready("Conflict", f"{rival} has it too")

    async def _remove(self, entry: Entry, name: Name, found: Found, last: Report) -> bool:
        """Whether there was anything to remove. Raises Unready, ProviderError and KubeError."""
        publisher = await self._providers.use(found)
        self._refuse_when_locked(publisher, name)
        held = [item for key, item in self._memory.published.items() if key[:2] == (publisher.name, name)]
        ours = held or list(address_rrsets(name, last.ttl or entry.ttl, last.addresses))
        fingerprint = publisher.fingerprint(name, self._memory.salt)
        kept: tuple[RRset, ...] = ()
        try:
            if publisher.traits.readable:
                now = await publisher.read(name)
                ours = [item for item in now if any(item.same_data(known) for known in ours)]
                kept = tuple(item for item in now if item not in ours)
            self._judge(entry, name, found)  # once more: it may have taken a while
            if ours:
                gone = tuple(Change(Action.DELETE, item, None) for item in ours)
                await publisher.apply(NameChange(publisher.name, name, gone, kept, (*ours, *kept)))
        except ProviderLocked as error:  # what a deletion earns holds for all others too
            at, account = self._clock.time(), publisher.account(name)
            await self._memory.locked(lockout_for(error, publisher.name, account, name, at, fingerprint))
            raise
        for rtype in FAMILIES:
            self._memory.published.pop((publisher.name, name, rtype), None)
        return bool(ours)

    def _refuse_when_locked(self, publisher: Publisher, name: Name) -> None:
        """An account that is locked is not asked, not even to remove. Raises Unready."""
        fingerprint = publisher.fingerprint(name, self._memory.salt)
        lockout = active(
            self._memory.lockouts, publisher.name, publisher.account(name), name, self._clock.time(), fingerprint
        )
        if lockout is not None:
            raise Unready("Locked", lockout.reason)

    def _kept(self, entry: Entry, place: str, problem: Unready | ProviderError) -> Told | None:
        late = self.patience(entry) <= 0.0
        if isinstance(problem, ProviderBusy) and not late:
            log.warning("record not removed yet", domain=str(entry.which), reason=str(problem))
            return None
        log.warning("record retained", domain=str(entry.which), reason=str(problem))
        return Told("retained", f"{place} keeps its record: {problem}", warning=True)
