"""Under which serial the content of a master file is served: the file's own, unless secondaries would miss a change."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

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


class Remembered:
    """The serials last served, by origin as text, over restarts."""

    def __init__(self, document: bytes | None = None) -> None:
        self._zones: dict[str, Served] = {}
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

    def document(self) -> bytes:
        """All of it for the store."""
        return msgspec.json.encode(self._zones)
