"""Typed list-watch: a dict that follows the API server, and keeps what it holds while the server cannot be seen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Generic

import msgspec

from homing.effects.backoff import Backoff
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import Forbidden, Gone, KubeError, KubeUnavailable, Unauthorized
from homing.kube.answers import decoder, refusal
from homing.kube.client import KubeClient
from homing.kube.objects import Key, PartialObject, T, key_of
from homing.kube.resource import Resource

PATIENCE = 300.0
"""Seconds after which the server is asked to end a watch, spread by a fifth either way."""

SLACK = 15.0
"""Seconds of silence beyond that which make a connection count as dead."""

BOOKMARKS = 150.0
"""Seconds of silence that make it dead sooner, once the server has sent a bookmark: it sends one a minute."""

SHORTEST = 1.0
"""Seconds that a stream must last, or tell something, for the next to be tried without a growing wait."""

MAX_LINE = 4 * 1024 * 1024
"""Bytes of one line, which is one object; etcd holds at most 1.5 MB."""

_FRESH = Backoff(0.25, 8.0)

_LONGEST_WAIT = 60.0
"""Seconds of a Retry-After that are honoured."""

SECOND_LOOK = 10.0
"""Seconds after which a list that suddenly holds far less is looked at again, before it is believed."""

SHARE, FROM = 0.3, 10
"""The share of the objects that may be missing from a list at once, and the number from which up it is asked for."""

_log = get_logger("kube")


class _Told(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


@dataclass
class _Place:
    """How far one namespace has been followed; an empty version means that it must be listed."""

    namespace: str
    version: str = ""
    backoff: Backoff = _FRESH
    heard_at: float = 0.0
    bookmarks: bool = False
    good: bool = False
    failing: bool = False


@dataclass(eq=False)
class Mirror(Generic[T]):
    """The objects of one kind, as the API server last told them. ``run`` follows; everything else looks.

    ``on_change`` is told (key, old, new) after the change, old None for a new object and new None for a deleted one. A
    list or stream that fails changes nothing (law 1); deletions missed meanwhile are told after the next whole list. An
    object made anew under an old name is told as a deletion and a new object.
    """

    client: KubeClient
    resource: Resource[T]
    _: KW_ONLY
    clock: Clock
    chance: random.Random
    on_change: Callable[[Key, T | None, T | None], None]
    namespaces: Sequence[str] = ()
    label_selector: str = ""
    field_selector: str = ""
    guarded: bool = False
    synced: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Set once every namespace has been listed; only ``look_again`` clears it."""
    seen_at: float = field(default=float("-inf"), init=False)
    """Monotonic time of the server's last word."""
    unreadable: dict[Key, str] = field(default_factory=dict[Key, str], init=False)
    """Objects that do not fit their type, with why; an older form of them may still be held."""
    held_back: dict[str, int] = field(default_factory=dict[str, int], init=False)
    """Namespaces whose last list held far less, with how many objects were missing."""
    failing: set[str] = field(default_factory=set[str], init=False)
    """Namespaces that cannot be followed now."""
    _objects: dict[Key, T] = field(default_factory=dict[Key, T], init=False)
    _listed: set[str] = field(default_factory=set[str], init=False)
    _anew: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def get(self, key: Key) -> T | None:
        """The object there, if any."""
        return self._objects.get(key)

    def values(self) -> Iterable[T]:
        """All objects."""
        return self._objects.values()

    def items(self) -> Iterable[tuple[Key, T]]:
        """All objects with their keys."""
        return self._objects.items()

    def __len__(self) -> int:
        return len(self._objects)

    async def run(self) -> None:
        """Follow, forever: list, watch, and begin again where it broke off."""
        async with asyncio.TaskGroup() as group:
            for namespace in self.namespaces or ("",):
                group.create_task(self._follow(_Place(namespace)), name=f"watch {self.resource.plural}")

    def look_again(self) -> None:
        """List all anew instead of following on; ``synced`` is set again when that is done."""
        self.synced.clear()
        self._listed.clear()
        self._anew.set()
        self._anew = asyncio.Event()

    async def _follow(self, place: _Place) -> None:
        while True:
            wait = 0.0
            try:
                if not place.version or place.namespace not in self._listed:
                    await self._list(place)
                await self._watch(place)
            except KubeError as error:
                if isinstance(error, KubeUnavailable):
                    wait = min(error.seconds or 0.0, _LONGEST_WAIT)
                # 504 is said of a version the server has not reached: its data is older than what we saw. The others
                # are refusals that asking again with the same version would not change.
                if error.status == 504 or not isinstance(error, KubeUnavailable | Unauthorized | Forbidden):
                    place.version = ""
                self._tell(place, error)
            place.backoff = (_FRESH if place.good else place.backoff).after_failure()
            place.good = False
            await self.clock.sleep(max(wait, place.backoff.seconds(self.chance)))

    def _tell(self, place: _Place, error: KubeError) -> None:
        """Say once that following fails; an old version or a cut stream alone is part of life."""
        if isinstance(error, Gone) or place.good or place.failing:
            return
        place.failing = True
        self.failing.add(place.namespace)
        _log.warning(
            "following fails, what is known is kept", resource=self.resource.plural, why=str(error), reason=error.reason
        )

    def _heard(self, place: _Place) -> None:
        self.seen_at = place.heard_at = self.clock.monotonic()

    def _well(self, place: _Place) -> None:
        place.good = True
        if place.failing:
            place.failing = False
            self.failing.discard(place.namespace)
            _log.info("following again", resource=self.resource.plural)

    async def _list(self, place: _Place) -> None:
        """Replace the content by a whole list; one that breaks off between its pages changes nothing."""
        doubted: set[Key] = set()
        while True:
            found, unreadable, version = await self._pages(place)
            kept = found.keys() | unreadable.keys()
            within = [key for key in self._objects if self._within(place, key)]
            gone = {key for key in within if key not in kept}
            suspicious = self.guarded and len(within) >= FROM and len(gone) > SHARE * len(within)
            if not suspicious or gone <= doubted:
                break
            doubted = gone
            for key, each in found.items():
                self._hold(key, each)
            self.held_back[place.namespace] = len(gone)
            _log.warning(
                "a list holds far less than what is known; what is missing stays until a second list says the same",
                resource=self.resource.plural, known=len(within), missing=len(gone), seconds=SECOND_LOOK,
            )  # fmt: skip
            await self.clock.sleep(SECOND_LOOK)
        self.held_back.pop(place.namespace, None)
        for key in [key for key in within if key in gone]:
            self._drop(key)
        for key in [key for key in self.unreadable if self._within(place, key) and key not in unreadable]:
            del self.unreadable[key]
        for key, each in found.items():
            self._hold(key, each)
        for key, why in unreadable.items():
            self._doubt(key, why)
        place.version = version
        self._listed.add(place.namespace)
        if len(self._listed) == len(set(self.namespaces or ("",))):
            self.synced.set()

    async def _pages(self, place: _Place) -> tuple[dict[Key, T], dict[Key, str], str]:
        """All objects, those that do not fit their type with why, and the version of the list."""
        found: dict[Key, T] = {}
        unreadable: dict[Key, str] = {}
        token = ""
        while True:
            page = await self.client.page(
                self.resource,
                place.namespace,
                label_selector=self.label_selector,
                field_selector=self.field_selector,
                token=token,
            )
            self._heard(place)
            found.update((key_of(each), each) for each in page.items)
            unreadable.update(page.unreadable)
            token = page.token
            if not token:
                return found, unreadable, page.version

    def _within(self, place: _Place, key: Key) -> bool:
        return not place.namespace or key[0] == place.namespace

    async def _watch(self, place: _Place) -> None:
        """Follow one stream to its end, or until it has been silent for too long."""
        asked = PATIENCE * (0.8 + 0.4 * self.chance.random())
        async with self.client.watch(
            self.resource,
            place.namespace,
            version=place.version,
            seconds=int(asked),
            label_selector=self.label_selector,
            field_selector=self.field_selector,
        ) as chunks:
            self._heard(place)
            place.bookmarks = False
            reading = asyncio.create_task(self._read(place, chunks))
            silence = asyncio.create_task(self._silence(place, asked))
            anew = asyncio.create_task(self._anew.wait())
            try:
                await asyncio.wait((reading, silence, anew), return_when=asyncio.FIRST_COMPLETED)
                if anew.done():
                    return
                if not reading.done():
                    raise KubeUnavailable(0, "Silent", f"watch {self.resource.plural}: the connection is dead")
                reading.result()
            finally:
                for task in (reading, silence, anew):
                    task.cancel()
                await asyncio.gather(reading, silence, anew, return_exceptions=True)

    async def _silence(self, place: _Place, asked: float) -> None:
        """Wait until nothing has been heard for longer than a live server stays silent."""
        await self.clock.sleep(SHORTEST)
        self._well(place)
        while True:
            allowed = BOOKMARKS if place.bookmarks else asked + SLACK
            left = place.heard_at + allowed - self.clock.monotonic()
            if left <= 0:
                return
            await self.clock.sleep(min(left, BOOKMARKS))

    async def _read(self, place: _Place, chunks: AsyncIterator[bytes]) -> None:
        rest = bytearray()
        async for chunk in chunks:
            self._heard(place)
            start, end = 0, chunk.find(b"\n")
            while end >= 0:
                line = chunk[start:end]
                if rest:
                    line = bytes(rest + line)
                    rest.clear()
                if line:
                    self._take(place, line)
                start, end = end + 1, chunk.find(b"\n", end + 1)
            rest += chunk[start:]
            if len(rest) > MAX_LINE:
                raise KubeUnavailable(0, "TooLarge", f"watch {self.resource.plural}: a line of over {MAX_LINE} bytes")

    def _take(self, place: _Place, line: bytes) -> None:
        try:
            told: _Told = decoder(_Told).decode(line)
            if told.type == "ERROR":
                raise _refused(told.object, f"watch {self.resource.plural}")
            meta = decoder(PartialObject).decode(told.object)
        except msgspec.DecodeError:
            raise KubeUnavailable(0, "Unreadable", f"watch {self.resource.plural}: a line that is no event") from None
        key = key_of(meta)
        if told.type in ("ADDED", "MODIFIED"):
            try:
                self._hold(key, decoder(self.resource.type).decode(told.object))
            except msgspec.ValidationError as error:
                self._doubt(key, str(error))
        elif told.type == "DELETED":
            self.unreadable.pop(key, None)
            self._drop(key)
        elif told.type == "BOOKMARK":
            place.bookmarks = True
        place.version = meta.metadata.resource_version or place.version
        self._well(place)

    def _hold(self, key: Key, new: T) -> None:
        self.unreadable.pop(key, None)
        old = self._objects.get(key)
        if old is not None and old.metadata.uid != new.metadata.uid:
            self._drop(key)
            old = None
        if old is not None and old.metadata.resource_version == new.metadata.resource_version:
            return
        self._objects[key] = new
        self.on_change(key, old, new)

    def _drop(self, key: Key) -> None:
        old = self._objects.pop(key, None)
        if old is not None:
            self.on_change(key, old, None)

    def _doubt(self, key: Key, why: str) -> None:
        """An object that does not fit its type changes nothing: what was known of it is kept."""
        if self.unreadable.get(key) != why:
            _log.warning("object cannot be read", resource=self.resource.plural, name="/".join(key), why=why)
        self.unreadable[key] = why


def _refused(raw: msgspec.Raw, what: str) -> KubeError:
    body = bytes(raw)
    code = decoder(_Code).decode(body).code
    return refusal(code, {}, body, what)


class _Code(msgspec.Struct):
    code: int = 500
