"""Under which serial the content of a master file is served: the file's own, unless secondaries would miss a change."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from homing.model.name import Name
from homing.model.zone import Zone, serial_add, serial_gt

MAX_REMEMBERED = 100_000
"""Zones whose serials are remembered; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Served:
    """A zone's serial and a digest of its content, as last served."""

    serial: int
    digest: str


def next_version(read: Zone, last: Served | None, content: str) -> Zone:
    """The version to serve of what a file holds now, after what was served last; ``content`` is the file's digest.

    The file's serial counts where it grew (RFC 1982). Where it did not, an equal content keeps the serial served, and
    another one gets the serial after that: an edit is to be seen, and secondaries follow nothing but a greater serial.
    """
    if last is None or serial_gt(read.serial, last.serial):
        return read
    serial = last.serial if last.digest == content else serial_add(last.serial, 1)
    return read if serial == read.serial else replace(read, serial=serial)


def digest(zone: Zone) -> str:
    """Stands for the content of a zone whatever its serial: all records, their TTLs, the SOA's fields."""
    hashed = hashlib.blake2b(zone.soa.rdata(0) + struct.pack("!I", zone.soa.ttl), digest_size=16)
    for name, types in sorted(zone.nodes.items(), key=lambda item: item[0].key):
        for rtype in sorted(types):
            found = types[rtype]
            hashed.update(b"".join(bytes((len(label),)) + label for label in name.key))
            hashed.update(struct.pack("!BHII", 0, rtype, found.ttl, len(found.rdatas)))
            for rdata in found.rdatas:
                hashed.update(struct.pack("!H", len(rdata)) + rdata)
    return hashed.hexdigest()


@dataclass(frozen=True, slots=True)
class Versions:
    """What to publish, and what of it is served under another serial than its file has: file, content, version."""

    changed: tuple[Zone, ...]
    renumbered: tuple[tuple[Path, Zone, Zone], ...]


class Remembered:
    """The serials last served, by origin as text, over restarts: the one place that decides under which to serve."""

    def __init__(self, document: bytes | None = None) -> None:
        self._zones: dict[str, Served] = {}
        self._taken: dict[Name, Zone] = {}
        """What the files held the last time, by origin."""
        if document is not None:
            self._zones = msgspec.json.decode(document, type=dict[str, Served])

    def knows(self, origin: Name) -> bool:
        """Whether a zone was ever served, as far as is known."""
        return origin.text in self._zones

    def note(self, zones: Iterable[Zone]) -> None:
        """Take down what will be served from now on."""
        for zone in zones:
            self._note(zone.origin, Served(zone.serial, digest(zone)))

    def adopt(self, zones: Iterable[Zone]) -> None:
        """Take down what was served before as another memory has it, where nothing later is known."""
        self.note(zone for zone in zones if not serial_gt(self._serial(zone), zone.serial))

    def heed(self, origin: Name, serial: int) -> None:
        """Somebody has this serial of a zone, with a content that is not known."""
        self._note(origin, Served(serial, ""))

    def versions(self, zones: Mapping[Name, tuple[Path, Zone]], served: Mapping[Name, Zone]) -> Versions:
        """The versions to serve of what files hold now; they are noted. It may take as long as reading the files."""
        changed: list[Zone] = []
        renumbered: list[tuple[Path, Zone, Zone]] = []
        for origin, (path, read) in zones.items():
            old = served.get(origin)
            if old is not None and self._taken.get(origin) is read:
                continue
            content = digest(read)
            version = next_version(read, self._zones.get(origin.text), content)
            if old is None or old.serial != version.serial:
                changed.append(version)
                self._note(origin, Served(version.serial, content))
            if version.serial != read.serial:
                renumbered.append((path, read, version))
        self._taken = {origin: read for origin, (_, read) in zones.items()}
        return Versions(tuple(changed), tuple(renumbered))

    def document(self) -> bytes:
        """All of it for the store."""
        return msgspec.json.encode(self._zones)

    def _serial(self, zone: Zone) -> int:
        last = self._zones.get(zone.origin.text)
        return zone.serial if last is None else last.serial

    def _note(self, origin: Name, served: Served) -> None:
        self._zones.pop(origin.text, None)
        self._zones[origin.text] = served
        if len(self._zones) > MAX_REMEMBERED:
            del self._zones[next(iter(self._zones))]
