"""What becomes of a record when its Domain is deleted or moves away."""

from __future__ import annotations

import random

from homing.effects.backoff import Backoff
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import KubeError, ModelError, ProviderBusy, ProviderError
from homing.kube.client import KubeClient
from homing.model.name import Name, parse_name
from homing.model.rrset import FAMILIES
from homing.operator.conditions import seconds_of
from homing.operator.entry import Entry, ProviderId, Report, Told, Unready
from homing.operator.providers import Providers
from homing.plan import Action, Change, NameChange
from homing.providers.base import Provider as Publisher
from homing.providers.lockout import active
from homing.turn.memory import Memory

log = get_logger("leaving")

PATIENCE = 300.0
"""Seconds that a deletion waits for a provider; then the record stays, and that is said."""


class Leaving:
    """Removes what Homing published and the provider still holds so."""

    def __init__(
        self, providers: Providers, memory: Memory, *, client: KubeClient, clock: Clock, chance: random.Random
    ) -> None:
        self._providers = providers
        self._memory = memory
        self._client = client
        self._clock = clock
        self._chance = chance
        self._pauses: dict[str, Backoff] = {}

    def name_of(self, entry: Entry) -> Name | None:
        """The name that the status says was published."""
        try:
            return parse_name(entry.known.fqdn) if entry.known.fqdn else None
        except ModelError:
            return None

    def pause(self, entry: Entry) -> float:
        """Seconds until the next try."""
        backoff = self._pauses.get(entry.ref.uid, Backoff(2.0, 60.0)).after_failure()
        if len(self._pauses) > 10_000:
            self._pauses.clear()
        self._pauses[entry.ref.uid] = backoff
        return backoff.seconds(self._chance)

    async def leave(self, entry: Entry, name: Name, provider: ProviderId, last: Report) -> Told | None:
        """Remove the record where the policy says so. Gives what to tell, or None while it is to be tried again."""
        place = f"{name.text} at {provider}"
        if not entry.deletes:
            return Told("retained", f"{place} keeps its record: deletionPolicy is Retain")
        found = self._providers.object(provider)
        try:
            if found is None:
                raise Unready("ProviderNotFound", f"{provider} is gone")
            self._providers.allowed(found, entry)
            publisher = await self._providers.use(found)
            self._refuse_when_locked(publisher, name)
            held = [item for key, item in self._memory.published.items() if key[:2] == (publisher.name, name)]
            ours = held or list(entry.known.rrsets(name, last.ttl))
            if publisher.traits.readable:
                now = await publisher.read(name)
                ours = [item for item in now if any(item.same_data(known) for known in ours)]
                kept = tuple(item for item in now if item not in ours)
            else:
                kept = ()
            if ours:
                gone = tuple(Change(Action.DELETE, item, None) for item in ours)
                await publisher.apply(NameChange(publisher.name, name, gone, kept, (*ours, *kept)))
        except (Unready, ProviderError) as problem:
            return self._kept(entry, place, problem)
        except KubeError as problem:
            return self._kept(entry, place, ProviderBusy("kubernetes", str(problem)))
        for rtype in FAMILIES:
            self._memory.published.pop((publisher.name, name, rtype), None)
        log.info("record removed", domain=str(entry.which), name=name.text, provider=str(provider))
        return Told("removed", f"{place} is removed" if ours else f"{place} held nothing of Homing's any more")

    def _refuse_when_locked(self, publisher: Publisher, name: Name) -> None:
        """An account that is locked is not asked, not even to remove. Raises Unready."""
        fingerprint = publisher.fingerprint(name, self._memory.salt)
        lockout = active(
            self._memory.lockouts, publisher.name, publisher.account(name), name, self._clock.time(), fingerprint
        )
        if lockout is not None:
            raise Unready("Locked", lockout.reason)

    def _kept(self, entry: Entry, place: str, problem: Unready | ProviderError) -> Told | None:
        late = not entry.deleted or self._clock.time() >= seconds_of(entry.deleted) + PATIENCE
        if isinstance(problem, ProviderBusy) and not late:
            log.warning("record not removed yet", domain=str(entry.which), reason=str(problem))
            return None
        log.warning("record retained", domain=str(entry.which), reason=str(problem))
        return Told("retained", f"{place} keeps its record: {problem}", warning=True)
