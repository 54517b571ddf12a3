"""Domains that are deleted, or move to another name or provider: the finalizer, and whose the record is."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from homing.effects.clock import Clock
from homing.kube.client import KubeClient
from homing.model.name import Name
from homing.operator.entry import Entry, ProviderId, Told, Unready, Which
from homing.operator.keeping import Keeping
from homing.operator.leaving import Leaving
from homing.operator.providers import Found, Providers
from homing.operator.telling import Adapter, Telling
from homing.turn.memory import Memory

FINALIZER = "homing.dev/record"
"""Keeps a Domain with ``deletionPolicy: Delete`` until its record is gone."""

SLACK = 60.0
"""Seconds that the operator waits longer for `homing dns` than that waits itself."""


class Departing:
    """What a turn does of departures.

    ``entries`` are all Domains, ``named`` those of a name; ``place`` gives the name that one was published under,
    ``forget`` is told that it has left it. ``ours`` tells where this process publishes.
    """

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        providers: Providers,
        entries: Mapping[Which, Entry],
        *,
        client: KubeClient,
        memory: Memory,
        named: Callable[[Name], Iterable[Which]],
        telling: Telling,
        keeping: Keeping,
        place: Callable[[Which], Name | None],
        forget: Callable[[Which], None],
        ours: Callable[[Found | None], bool],
        clock: Clock,
        chance: random.Random,
    ) -> None:
        self._adapters = adapters
        self._providers = providers
        self._entries = entries
        self._client = client
        self._named = named
        self._telling = telling
        self._keeping = keeping
        self._published_as = place
        self._forget = forget
        self._ours = ours
        self._leaving = Leaving(providers, memory, rival=self._rival, clock=clock, chance=chance)

    def published_name(self, entry: Entry) -> Name | None:
        """The name that a Domain's status says was published."""
        return self._leaving.name_of(entry)

    def gone(self, uid: str) -> None:
        """A Domain is gone."""
        self._leaving.forget(uid)

    async def finalize(self, entry: Entry) -> None:
        """Only ``deletionPolicy: Delete`` sets a finalizer."""
        wanted = [item for item in entry.finalizers if item != FINALIZER]
        if entry.deletes:
            wanted.append(FINALIZER)
        if set(wanted) != set(entry.finalizers):
            await self._set_finalizers(entry, wanted)

    async def _set_finalizers(self, entry: Entry, finalizers: list[str]) -> None:
        metadata = {"finalizers": finalizers, "resourceVersion": entry.resource_version, "uid": entry.ref.uid}
        resource = self._adapters[entry.which.kind].resource
        await self._client.patch(resource, entry.which.name, {"metadata": metadata}, entry.which.namespace)

    async def move(self, entry: Entry) -> None:
        """A name that moved, to another fqdn or provider, leaves its old place as its policy says."""
        last = self._telling.last(entry)
        name = self._place(entry)
        if last.published_at is None or not last.addresses or name is None:
            return
        if (name, last.published_at) != (entry.name, entry.provider):
            elsewhere = name != entry.name or self._realm(last.published_at) != self._realm(entry.provider)
            if elsewhere and self._ours(self._providers.object(last.published_at)):
                self._telling.tell(entry, await self._removed(entry, name, last.published_at))
            # else it is one record, that goes on under another account; or who published it lets it go
            self._telling.reports[entry.which] = replace(last, addresses=(), published_at=None)
            self._forget(entry.which)

    async def leave(self, entry: Entry) -> float | None:
        """A Domain is being deleted: with the policy Delete what Homing published and still holds goes first."""
        if FINALIZER not in entry.finalizers:
            return None
        last = self._telling.last(entry)
        if last.published_at is not None and last.addresses:
            told = await self._removed(entry, self._place(entry) or entry.name, last.published_at)
            if told is None:
                return self._leaving.pause(entry)
            self._telling.tell(entry, told)
        await self._set_finalizers(entry, [item for item in entry.finalizers if item != FINALIZER])
        return None

    async def hand_over(self, entry: Entry) -> float | None:
        """A Domain that another process publishes now leaves where this one published it, as its policy says."""
        last, name = self._telling.last(entry), self._place(entry)
        if entry.deleted or last.published_at is None or not last.addresses or name is None:
            return None
        if self._ours(self._providers.object(last.published_at)):
            told = await self._removed(entry, name, last.published_at)
            if told is None:
                return self._leaving.pause(entry)
            self._telling.tell(entry, told)
        self._telling.forget(entry.which)
        self._forget(entry.which)
        return None

    async def let_go(self, entry: Entry) -> float | None:
        """Whoever publishes a name in an own zone may not be running: a Domain that is deleted does not wait for it."""
        if not entry.deleted or FINALIZER not in entry.finalizers:
            return None
        left = self._leaving.patience(entry) + SLACK
        if left > 0:
            return left
        told = f"{entry.name.text} at {entry.provider} is left to `homing dns`, which did not remove it in time"
        self._telling.tell(entry, Told("retained", told, warning=True))
        await self._set_finalizers(entry, [item for item in entry.finalizers if item != FINALIZER])
        return None

    async def _removed(self, entry: Entry, name: Name, provider: ProviderId) -> Told | None:
        locks = self._keeping.locks(provider)
        told = await self._leaving.leave(entry, name, provider, self._telling.last(entry))
        await self._keeping.keep(entry, provider, locks)
        return told

    def _realm(self, provider: ProviderId) -> str | None:
        found = self._providers.object(provider)
        return found.realm if found is not None else None

    def _rival(self, entry: Entry, name: Name, found: Found) -> Which | None:
        """Another Domain that may publish a name where this one wants it removed, paused ones too."""
        for which in self._named(name):
            other = self._entries[which]
            if which != entry.which and not other.problem and not other.deleted:
                place = self._providers.find(other)
                if place is not None and place.realm == found.realm:
                    with contextlib.suppress(Unready):
                        self._providers.allowed(place, other)
                        return which
        return None

    def _place(self, entry: Entry) -> Name | None:
        return self._published_as(entry.which) or self._leaving.name_of(entry)
