"""The one mutable thing of the server: which zones are served now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from homing.dns.lookup import ROOT, Zones
from homing.errors import ModelError
from homing.model.name import Name
from homing.model.zone import Zone, ZoneDiff, diff, serial_gt


@dataclass(frozen=True, slots=True)
class Change:
    """A zone changed: the version before (None: it is new), the one after (None: it is gone), and what differs.

    ``diff`` is there where both versions are; without RRsets in it the SOA alone changed. With neither version the zone
    ``name`` is awaited from now on, or no longer.
    """

    before: Zone | None
    after: Zone | None
    diff: ZoneDiff | None = None
    name: Name | None = None

    @property
    def origin(self) -> Name:
        """The zone's name."""
        version = self.after or self.before
        origin = self.name if version is None else version.origin
        assert origin is not None  # noqa: S101 - a change is of some zone
        return origin


Listener = Callable[[Change], None]
"""Told of every change once the new version is served."""


class Authority:
    """Holds the zones served now and swaps them whole, so every answer comes from one snapshot.

    ``awaited`` are the origins that shall be served: SERVFAIL until published. Left out, everything is SERVFAIL until
    the first zone is there.
    """

    def __init__(self, awaited: Iterable[Name] = (ROOT,)) -> None:
        self._zones = Zones(awaited=frozenset(awaited))
        self._listeners: list[Listener] = []

    @property
    def zones(self) -> Zones:
        """The snapshot to answer from."""
        return self._zones

    @property
    def ready(self) -> bool:
        """Whether any zone is served."""
        return bool(self._zones.loaded)

    def zone(self, origin: Name) -> Zone | None:
        """The version of a zone served now."""
        return self._zones.loaded.get(origin)

    def publish(self, zone: Zone, known: ZoneDiff | None = None, *, renumbered: bool = False) -> bool:
        """Serve a new version of a zone from now on; False when it is the one served already.

        ``known`` is what differs from the version served now; it is found out when left out. Raises ModelError when
        the content changed and the serial did not grow (RFC 1982), or the other way round unless it is ``renumbered``:
        secondaries would keep the old zone, or fetch an equal one.
        """
        change = self._change(zone, known, renumbered=renumbered)
        if change is None:
            return False
        self._zones = self._zones.with_zone(zone)
        self._tell(change)
        return True

    def withdraw(self, origin: Name) -> None:
        """Serve a zone no longer: questions for it are REFUSED."""
        self.replace((), (origin,))

    def replace(self, zones: Iterable[Zone], withdrawn: Iterable[Name] = (), awaited: Iterable[Name] = ()) -> int:
        """Publish and withdraw any number of zones in one swap; how many were published that differ from before.

        A serial may grow alone. ``awaited`` are more origins that shall be served. Raises ModelError as ``publish``
        does, and then nothing has changed.
        """
        made = [change for zone in zones if (change := self._change(zone, renumbered=True)) is not None]
        gone = frozenset(withdrawn)
        loaded = {origin: zone for origin, zone in self._zones.loaded.items() if origin not in gone}
        ended = [Change(self._zones.loaded[origin], None) for origin in gone if origin in self._zones.loaded]
        loaded.update((change.origin, change.after) for change in made if change.after is not None)
        before = self._zones.awaited
        still = (before | frozenset(awaited)) - gone - loaded.keys()
        self._zones = Zones(loaded, still - {ROOT} if made else still)
        turned = [Change(None, None, name=origin) for origin in (before ^ still) - loaded.keys()]
        for change in (*ended, *turned, *made):
            self._tell(change)
        return len(made)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have a listener told of every change; call what is returned to end that. Listeners do not raise."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _change(self, new: Zone, known: ZoneDiff | None = None, *, renumbered: bool) -> Change | None:
        """What a version changes; None when it is the one served already."""
        old = self.zone(new.origin)
        if old is None:
            return Change(None, new)
        found = known if known is not None else diff(old, new)
        changed = old.soa != new.soa or not found.is_empty
        if not changed and old.serial == new.serial:
            return None
        if not (changed or renumbered) or not serial_gt(new.serial, old.serial):
            raise ModelError(
                f"zone {new.origin} went from serial {old.serial} to {new.serial} "
                f"{'with' if changed else 'without'} a change of content; build versions by succeed()"
            )
        return Change(old, new, found)

    def _tell(self, change: Change) -> None:
        for listener in tuple(self._listeners):
            listener(change)
