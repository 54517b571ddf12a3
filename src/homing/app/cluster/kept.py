"""What a replica of ``homing dns`` keeps on disk about the Zones of the cluster, beside the zones themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

import msgspec

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import StoreError
from homing.kube.kinds.zone import ZoneSpec
from homing.model.name import Name, parse_name
from homing.operator.entry import Unready
from homing.operator.zones import template_of
from homing.providers.zone_template import ZoneTemplate
from homing.store import Store

log = get_logger("cluster")

DOCUMENT = "cluster-zones"
"""The store's key of the Zones that are served."""

PUBLISHED = "cluster-published"
"""The store's key of the names of Domains in zones that hold names of the cluster too."""

TERM = "cluster-term"
"""The store's key of the number of the leadership in which this replica led last."""


class Kept:
    """What was kept is there at once; what is noted is on disk before the call ends.

    ``term`` is the number of the leadership in which this replica led last, None for none.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.term = _term(store)
        self._published = _published(store)

    def zones(self) -> dict[Name, ZoneSpec]:
        """The Zones that were served."""
        found = self._store.document(DOCUMENT)
        if found is None:
            return {}
        try:
            specs = msgspec.json.decode(found[1], type=dict[str, ZoneSpec])
            return {parse_name(origin): spec for origin, spec in specs.items()}
        except (msgspec.DecodeError, ValueError) as error:
            log.error("the list of zones cannot be read", reason=str(error))  # noqa: TRY400
            return {}

    async def note_zones(self, zones: Mapping[Name, ZoneSpec]) -> None:
        """These are served. What cannot be saved is told: they are served all the same."""
        document = msgspec.json.encode({origin.text: spec for origin, spec in zones.items()})
        try:
            await self._save(DOCUMENT, document)
        except StoreError as error:
            log.error("the list of zones cannot be saved", reason=str(error))  # noqa: TRY400

    async def note_term(self, number: int) -> None:
        """This replica leads; without the note serials go on further ahead than they need to."""
        self.term = number
        try:
            await self._save(TERM, msgspec.json.encode(number))
        except StoreError as error:
            log.error("the leadership cannot be noted", reason=str(error))  # noqa: TRY400

    def published(self, origin: Name) -> Collection[Name] | None:
        """The names of Domains in a zone that was served last, if that is known."""
        return self._published.get(origin)

    async def note_published(self, origin: Name, names: Collection[Name] | None) -> None:
        """These names of a zone are Domains': nothing else tells them from names of the cluster. Raises StoreError."""
        if names == self._published.get(origin):
            return
        if names is None:
            del self._published[origin]
        else:
            self._published[origin] = names
        texts = {origin.text: sorted(name.text for name in names) for origin, names in self._published.items()}
        await self._save(PUBLISHED, msgspec.json.encode(texts))

    async def _save(self, key: str, document: bytes) -> None:
        await asyncio.to_thread(self._store.save_document, key, document, self._clock.time())


def templates(zones: Mapping[Name, ZoneSpec]) -> Iterable[ZoneTemplate]:
    """By which zones were served last: they tell what in them follows addresses."""
    for origin, spec in zones.items():
        try:
            yield template_of(spec)
        except Unready as error:
            log.error("remembered zone cannot be read", zone=origin.text, reason=str(error))  # noqa: TRY400


def _term(store: Store) -> int | None:
    found = store.document(TERM)
    try:
        return None if found is None else msgspec.json.decode(found[1], type=int)
    except msgspec.DecodeError:
        return None


def _published(store: Store) -> dict[Name, Collection[Name]]:
    found = store.document(PUBLISHED)
    try:
        texts = msgspec.json.decode(found[1], type=dict[str, list[str]]) if found is not None else {}
        return {parse_name(origin): frozenset(map(parse_name, names)) for origin, names in texts.items()}
    except (msgspec.DecodeError, ValueError) as error:
        log.error("the names of Domains cannot be read", reason=str(error))  # noqa: TRY400
        return {}
