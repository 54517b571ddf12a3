"""The zones of Homing's own DNS server as a provider: what is applied here, the server answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from weakref import WeakKeyDictionary

from homing.dns.authority import Authority, Change
from homing.effects.clock import Clock
from homing.effects.garbage import uncollected
from homing.effects.log import get_logger, tell_fault
from homing.errors import HomingError, ProviderBusy, ProviderRefused, StoreError
from homing.model.name import Name
from homing.model.rrset import FAMILIES, RRset
from homing.model.zone import Zone, ZoneDiff, amend, diff, serial_add, serial_gt, succeed, zone
from homing.plan import NameChange
from homing.providers.base import Traits
from homing.providers.layer import Layer, obstacle
from homing.providers.zone_template import ZoneTemplate
from homing.providers.zone_waiting import Waiting, placed, possible

log = get_logger("zone")

GATHER = 0.005
"""Seconds in which changes of a zone are gathered: they share a serial, a write and a NOTIFY.

Who changes a name waits so long for others. What follows a cluster waits only where a version was made just before.
"""

AGAIN = 1.0
"""Seconds after which what could not be saved is tried again, where nobody waits for it who would."""

Save = Callable[[Change], Awaitable[None]]
"""Puts the next version of a zone on disk before it counts (law 8). Raises StoreError when it cannot."""

_LOCKS: WeakKeyDictionary[Authority, asyncio.Lock] = WeakKeyDictionary()
"""Held from the look at a version until the next is served: at a reload two providers have the same zone."""

FirstSerials = Callable[[Collection[Name]], Awaitable[Mapping[Name, int]]]
"""Finds serials to begin with for zones of which nothing is known."""


class ZoneProvider:
    """Publishes in the own zones.

    Call ``start`` before anything else. Changes close together are one version, which is saved, then served.
    """

    def __init__(
        self,
        name: str,
        authority: Authority,
        templates: Iterable[ZoneTemplate],
        save: Save,
        clock: Clock,
        *,
        timed: bool = False,
    ) -> None:
        """``timed``: no serial is below Unix time, so that servers that number by themselves stay near each other."""
        self._name = name
        self._timed = timed
        self._layers: dict[Name, Layer] = {}
        self._authority = authority
        self._templates = {template.origin: template for template in templates}
        self._static = {origin: _keys(template.static) for origin, template in self._templates.items()}
        self._save = save
        self._clock = clock
        self._lock = _LOCKS.setdefault(authority, asyncio.Lock())
        self._waiting: dict[Name, list[Waiting]] = {}
        self._made_at: dict[Name, float] = {}
        """Monotonic time at which the making of a zone's last version began."""
        self._tasks: dict[asyncio.Task[None], list[Waiting]] = {}

    @property
    def name(self) -> str:
        """The key of the provider in the settings."""
        return self._name

    @property
    def turn(self) -> asyncio.Lock:
        """Held from the look at a version until the next is served; whoever else publishes takes it, too."""
        return self._lock

    @property
    def traits(self) -> Traits:
        """Readable, not public, no limits: changes at a time share a version."""
        return Traits(readable=True, public=False, parallel=1000)

    def account(self, name: Name) -> str:
        """There is one."""
        return self._name

    def fingerprint(self, name: Name, salt: bytes) -> str:
        """There are no credentials."""
        return ""

    async def start(
        self,
        last_good: Iterable[Zone] = (),
        wanted: Collection[tuple[Name, int]] | None = None,
        *,
        greatest: Mapping[Name, int] = MappingProxyType({}),
        first: FirstSerials | None = None,
    ) -> None:
        """Serve the zones: the addresses served already or last good, with what the settings say now.

        ``wanted`` are the names and types that the settings speak of; others are served no more, since leaving
        them out is a positive statement. None keeps all.

        The serial stays while the content does, unless later ones may have been served, of which ``greatest`` is the
        last: then it continues above. Without a last good version it is what ``first`` says, else Unix time. Raises
        ModelError when the static records contradict each other, StoreError when a new version cannot be saved.
        """
        before = {old.origin: old for old in last_good}
        unknown = [
            origin
            for origin in self._templates
            if self._authority.zone(origin) is None and origin not in before and origin not in greatest
        ]
        serials = dict(await first(unknown)) if first is not None and unknown else {}
        serials.update((origin, serial_add(serial, 1)) for origin, serial in greatest.items())
        async with self._lock:
            for template in self._templates.values():
                await self._begin(template, before.get(template.origin), wanted, serials.get(template.origin))

    def changeable(self) -> tuple[RRset, ...]:
        """All A and AAAA RRsets in the zones that are not static: what was published here, by whomever."""
        return tuple(item for origin in self._static for item in self.changeable_in(origin))

    def changeable_in(self, origin: Name) -> tuple[RRset, ...]:
        """The same of one zone."""
        served = self._authority.zone(origin)
        return _dynamic(served, self._static.get(origin, frozenset())) if served is not None else ()

    async def read(self, name: Name) -> tuple[RRset, ...]:
        """The A and AAAA RRsets served at the name, but not those of the cluster, which give way."""
        served = self._served(name)
        types, layer = served.nodes.get(name, {}), self._layers.get(served.origin)
        if layer is not None and name not in layer.published:
            static = self._static.get(served.origin, frozenset())
            types = {rtype: item for rtype, item in types.items() if item.key in static}
        return tuple(types[rtype] for rtype in FAMILIES if rtype in types)

    async def apply(self, change: NameChange) -> None:
        """Serve the changes with the zone's next version, which may hold others too; nothing happens without any."""
        old = self._served(change.name)
        changes = {(change.name, item.type): item.after for item in change.changes}
        waiting = Waiting(change.name, changes, asyncio.get_running_loop().create_future())
        self._gather(old.origin).append(waiting)
        await waiting.done

    def follow(self, origin: Name, changes: Mapping[tuple[Name, int], RRset | None]) -> None:
        """Serve what changed of the cluster with the zone's next version, in a zone that was ``put`` with it.

        Nobody waits: a version that cannot be saved is tried again.
        """
        layer = self._layers.get(origin)
        if layer is not None and changes:
            layer.take(changes)
            self._gather(origin, self._made_at.get(origin, 0.0) + GATHER - self._clock.monotonic())

    def hidden(self, origin: Name) -> Mapping[Name, str]:
        """Names of the cluster's that are not served in a zone, with who has them."""
        layer = self._layers.get(origin)
        return MappingProxyType(layer.hidden if layer is not None else {})

    def published(self, origin: Name) -> Collection[Name] | None:
        """The names of a zone that addresses are published at by name, those under way too; None where all are."""
        layer = self._layers.get(origin)
        return None if layer is None else frozenset(layer.published)

    def _gather(self, origin: Name, seconds: float = GATHER) -> list[Waiting]:
        """Those that wait for the next version of a zone, which is on its way; who is first says how long it waits."""
        if origin not in self._waiting:
            gathered = self._waiting[origin] = []
            task = asyncio.get_running_loop().create_task(self._advance(origin, seconds))
            self._tasks[task] = gathered
            task.add_done_callback(lambda task: self._ended(task, gathered))
        return self._waiting[origin]

    async def put(
        self,
        template: ZoneTemplate,
        dynamic: Iterable[RRset] | None = None,
        *,
        least: int | None = None,
        cluster: Callable[[], Iterable[RRset]] | None = None,
    ) -> None:
        """Serve a zone by this template from now on, a new one or one that was served by another template.

        ``dynamic`` are the RRsets that follow addresses, None for those served now; one that the static records leave
        no place for goes. ``cluster`` gives all that follows the cluster, None stands for what is known of it. The
        serial grows with the content, and is at least ``least``. Raises ModelError when the static records contradict
        each other, StoreError when the version cannot be saved: then nothing has changed.
        """
        origin, static = template.origin, _keys(template.static)
        async with self._lock:
            old = self._authority.zone(origin)
            if dynamic is None:
                dynamic = self._published(old) if old is not None else ()
            bare = zone(origin, 0, template.soa, template.static)
            kept = [item for item in dynamic if item.key not in static and not obstacle(bare, item.name)]
            with uncollected(), self._laid(origin, cluster, {item.name for item in kept}) as layer:
                if layer is not None:
                    kept += layer.visible(bare, static)
                content = (*template.static, *kept)
                if old is None:
                    new = zone(
                        origin, int(self._clock.time()) % 2**32 if least is None else least, template.soa, content
                    )
                    change = Change(None, new)
                else:
                    new = _not_before(old, succeed(old, content, template.soa), least)
                    change = Change(old, new, diff(old, new))
                if new is not old:
                    await self._publish(change)
                self._templates[origin], self._static[origin] = template, static

    @contextlib.contextmanager
    def _laid(
        self, origin: Name, cluster: Callable[[], Iterable[RRset]] | None, published: set[Name]
    ) -> Generator[Layer | None, None, None]:
        """The layer of a zone, which takes what changes while the version is made; as it was when that fails."""
        old = self._layers.get(origin)
        layer = old if cluster is None else Layer(cluster(), ())
        if layer is None:
            yield None
            return
        before = layer.published, layer.pending
        layer.published, layer.pending = published, set()
        self._layers[origin] = layer
        try:
            yield layer
        except BaseException:
            layer.published, layer.pending = before[0], before[1] | layer.pending
            if old is None:
                del self._layers[origin]
            else:
                self._layers[origin] = old
            raise

    async def drop(self, origin: Name) -> None:
        """Serve a zone no longer."""
        async with self._lock:
            self._templates.pop(origin, None)
            self._static.pop(origin, None)
            self._layers.pop(origin, None)
            self._made_at.pop(origin, None)
            self._authority.withdraw(origin)

    def named(self, name: str) -> ZoneProvider:
        """The same zones under the name of another provider."""
        other = ZoneProvider(name, self._authority, (), self._save, self._clock)
        other._templates, other._static, other._layers = self._templates, self._static, self._layers
        return other

    async def overtake(self, origin: Name, serial: int) -> None:
        """Give the same content a serial above one that a secondary has and this server does not."""
        async with self._lock:
            old = self._authority.zone(origin)
            if origin not in self._templates or old is None:
                return
            above = serial_add(serial, 1)
            # Of one half the circle ahead no serial is above both (RFC 1982); after the next change there is.
            if serial_gt(serial, old.serial) and serial_gt(above, old.serial):
                await self._publish(Change(old, replace(old, serial=above), ZoneDiff((), ())))

    async def aclose(self) -> None:
        """Let changes that somebody waits for come to their end; the zones stay served until the server ends."""
        for task, gathered in self._tasks.items():
            if all(item.done.done() for item in gathered):
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _advance(self, origin: Name, seconds: float) -> None:
        """Make the next version of a zone out of what was gathered."""
        if seconds > 0:
            await self._clock.sleep(seconds)
        async with self._lock:
            self._made_at[origin] = self._clock.monotonic()
            await self._advance_by(origin, self._waiting.pop(origin))

    def _ended(self, task: asyncio.Task[None], gathered: list[Waiting]) -> None:
        """Hand a fault of our own to those who wait; without one nobody does any more."""
        self._tasks.pop(task, None)
        fault = None if task.cancelled() else task.exception()
        for item in gathered:
            if fault is not None:
                item.fail(fault)
            else:
                item.done.cancel()
        if fault is not None and not gathered and not isinstance(fault, HomingError):
            tell_fault(log, "zone", fault)

    async def _advance_by(self, origin: Name, gathered: list[Waiting]) -> None:
        old = self._authority.zone(origin)
        if old is None:
            for item in gathered:
                item.fail(ProviderBusy("withdrawn", f"provider {self._name}: zone {origin.text} is served no more"))
            return
        static = self._static.get(origin, frozenset())
        taken, new, found = possible(self._name, old, placed(self._name, old, static, gathered))
        try:
            if (layer := self._layers.get(origin)) is None:
                await self._step(old, new, found)
            else:
                await self._layered(layer, old, taken)
        except StoreError as error:
            for item in taken:
                item.fail(
                    ProviderBusy(
                        "store",
                        f"provider {self._name}: {item.name.text} stays as it is, the zone cannot be saved: {error}",
                    )
                )
        for item in taken:
            item.succeed()

    async def _layered(self, layer: Layer, old: Zone, gathered: Iterable[Waiting]) -> None:
        """Publish by name, and what changed of the cluster where that leaves a place."""
        static = self._static.get(old.origin, frozenset())
        wanted = {key: rrset for item in gathered for key, rrset in item.changes.items()}
        changes, published = layer.merged(old, static, wanted)
        looked, layer.pending = layer.pending, set()
        before, layer.published = layer.published, layer.published | published
        try:
            await self._step(old, *amend(old, changes))
        except BaseException as error:
            layer.pending |= looked
            layer.published = before
            if isinstance(error, StoreError) and looked:
                task = asyncio.get_running_loop().create_task(self._again(old.origin))
                self._tasks[task] = []
                task.add_done_callback(lambda task: self._ended(task, []))
            raise
        layer.published = published

    async def _again(self, origin: Name) -> None:
        await self._clock.sleep(AGAIN)
        self._gather(origin)

    async def _step(self, old: Zone, new: Zone, found: ZoneDiff) -> None:
        if new is not old:
            new = _not_before(old, new, int(self._clock.time()) % 2**32) if self._timed else new
            await self._publish(Change(old, new, found))

    async def _publish(self, change: Change) -> None:
        assert change.after is not None  # noqa: S101 - nothing is withdrawn here
        await self._save(change)
        self._authority.publish(change.after, change.diff, renumbered=True)

    async def _begin(
        self,
        template: ZoneTemplate,
        last: Zone | None,
        wanted: Collection[tuple[Name, int]] | None,
        serial: int | None,
    ) -> None:
        old = self._authority.zone(template.origin)
        if old is not None:
            serial = None
        elif last is not None:
            self._authority.publish(last)  # what follows is a step from there, for secondaries too
            old = last
        if old is None:
            begin = int(self._clock.time()) % 2**32 if serial is None else serial
            if template.serial is not None and serial_gt(template.serial, begin):
                begin = template.serial
            await self._publish(Change(None, zone(template.origin, begin, template.soa, template.static)))
            return
        static = self._static[template.origin]
        kept = (item for item in _dynamic(old, static) if wanted is None or item.key in wanted)
        new = succeed(old, (*template.static, *kept), template.soa)
        new = _not_before(old, _not_before(old, new, serial), template.serial)
        if new is not old:
            await self._publish(Change(old, new, diff(old, new)))

    def _published(self, served: Zone) -> tuple[RRset, ...]:
        """What was published by name in a zone."""
        found = _dynamic(served, self._static.get(served.origin, frozenset()))
        layer = self._layers.get(served.origin)
        return found if layer is None else tuple(item for item in found if item.name in layer.published)

    def _served(self, name: Name) -> Zone:
        origins = [origin for origin in self._templates if name.is_within(origin)]
        if not origins:
            known = ", ".join(origin.text for origin in self._templates) or "none"
            raise ProviderRefused(
                "outside",
                f"provider {self._name}: {name.text} is in none of its zones ({known}); add the zone or rename it",
            )
        origin = max(origins, key=lambda origin: len(origin.labels))
        served = self._authority.zone(origin)
        if served is None:
            raise ProviderBusy(
                "not-started",
                f"provider {self._name}: zone {origin.text} of {name.text} is not loaded yet; trying again",
            )
        return served


def _keys(rrsets: Iterable[RRset]) -> frozenset[tuple[Name, int]]:
    return frozenset(item.key for item in rrsets)


def _dynamic(zone: Zone, static: Collection[tuple[Name, int]]) -> tuple[RRset, ...]:
    return tuple(item for item in zone.rrsets() if item.type in FAMILIES and item.key not in static)


def _not_before(old: Zone, new: Zone, least: int | None) -> Zone:
    """The version with a serial of at least this, if that is after both."""
    if least is not None and serial_gt(least, new.serial) and serial_gt(least, old.serial):
        return replace(new, serial=least)
    return new
