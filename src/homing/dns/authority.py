"""The one mutable thing of the server: which zones are served now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from homing.dns.lookup import ROOT, Zones
from homing.errors import ModelError
from homing.model.name import Name
from homing.model.zone import Zone, diff, serial_gt

Listener = Callable[[Zone | None, Zone | None], None]
"""Told of the version before (None: the zone is new) and after (None: it is gone), once the new one is served."""


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

    def publish(self, zone: Zone) -> bool:
        """Serve a new version of a zone from now on; False when it is the one served already.

        Raises ModelError when the version differs and its serial did not grow (RFC 1982): secondaries would keep the
        old one. A serial may grow alone, as an operator's does; ``succeed`` never does that.
        """
        return self.replace((zone,)) > 0

    def withdraw(self, origin: Name) -> None:
        """Serve a zone no longer: questions for it are REFUSED."""
        self.replace((), (origin,))

    def replace(self, zones: Iterable[Zone], withdrawn: Iterable[Name] = (), awaited: Iterable[Name] = ()) -> int:
        """Publish and withdraw any number of zones in one swap; how many were published that differ from before.

        ``awaited`` are more origins that shall be served. Raises ModelError as ``publish`` does, and then nothing has changed.
        """
        loaded = dict(self._zones.loaded)
        gone = frozenset(withdrawn)
        told: list[tuple[Zone | None, Zone | None]] = [(loaded.pop(one), None) for one in gone if one in loaded]
        removed = len(told)
        for new in zones:
            old = loaded.get(new.origin)
            if old is not None:
                if old is new or (old.serial == new.serial and old.soa == new.soa and diff(old, new).is_empty):
                    continue
                if not serial_gt(new.serial, old.serial):
                    raise ModelError(
                        f"zone {new.origin} went from serial {old.serial} to {new.serial}, which is no growth "
                        "(RFC 1982); build versions by succeed()"
                    )
            loaded[new.origin] = new
            told.append((old, new))
        published = len(told) - removed
        known = {ROOT} if published else frozenset[Name]()
        self._zones = Zones(loaded, (self._zones.awaited | frozenset(awaited)) - gone - loaded.keys() - known)
        for before, after in told:
            self._tell(before, after)
        return published

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have a listener told of every change; call what is returned to end that. Listeners do not raise."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self, old: Zone | None, new: Zone | None) -> None:
        for listener in tuple(self._listeners):
            listener(old, new)
