"""Under which serial the content of a master file is served: the file's own, unless secondaries would miss a change."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from homing.model.name import Name
from homing.model.zone import Zone, diff, serial_add, serial_gt

MAX_REMEMBERED = 100_000
"""Zones whose serials are remembered; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Served:
    """A zone's serial and a digest of its content, as last served."""

    serial: int
    digest: str


def next_version(read: Zone, served: Zone | None, remembered: Served | None = None) -> Zone:
    """The version to serve of what a file holds now, after ``served``, or after what an earlier process served.

    The file's serial counts where it grew (RFC 1982). Where it did not, an equal content keeps the serial served, and
    another one gets the serial after that: an edit is to be seen, and secondaries follow nothing but a greater serial.
    """
    if served is not None:
        before = served.serial
        same = read.soa == served.soa and diff(served, read).is_empty
    elif remembered is not None:
        before = remembered.serial
        same = remembered.digest == digest(read)
    else:
        return read
    if serial_gt(read.serial, before):
        return read
    if same and served is not None:
        return served
    serial = before if same else serial_add(before, 1)
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
    """The serials last served, by origin as text, over restarts."""

    def __init__(self, document: bytes | None = None) -> None:
        self._zones: dict[str, Served] = {}
        self._taken: dict[Name, Zone] = {}
        """What the files held the last time, by origin."""
        if document is not None:
            self._zones = msgspec.json.decode(document, type=dict[str, Served])

    def get(self, zone: Zone) -> Served | None:
        """What was last served of a zone."""
        return self._zones.get(zone.origin.text)

    def note(self, zones: Iterable[Zone]) -> None:
        """Take down what will be served from now on."""
        for zone in zones:
            self._zones.pop(zone.origin.text, None)
            self._zones[zone.origin.text] = Served(zone.serial, digest(zone))
        while len(self._zones) > MAX_REMEMBERED:
            del self._zones[next(iter(self._zones))]

    def versions(self, zones: Mapping[Name, tuple[Path, Zone]], served: Mapping[Name, Zone]) -> Versions:
        """The versions to serve of what files hold now; they are noted. It may take as long as reading the files."""
        changed: list[Zone] = []
        renumbered: list[tuple[Path, Zone, Zone]] = []
        for origin, (path, read) in zones.items():
            old = served.get(origin)
            if old is not None and self._taken.get(origin) is read:
                continue
            version = next_version(read, old, self.get(read))
            if version is not old:
                changed.append(version)
            if version.serial != read.serial:
                renumbered.append((path, read, version))
        self._taken = {origin: read for origin, (_, read) in zones.items()}
        self.note(changed)
        return Versions(tuple(changed), tuple(renumbered))

    def document(self) -> bytes:
        """All of it for the store."""
        return msgspec.json.encode(self._zones)
