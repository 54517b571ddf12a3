"""What travels between the main process and a worker: frames over a private socket pair.

A frame is its size (4 octets), its kind (1) and a body in the interpreter's own format of plain values: both ends run
the same Python, and the main process is who started the worker.
"""

from __future__ import annotations

import enum
import marshal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from homing.dns.authority import Change
from homing.dns.lookup import Zones
from homing.dns.message import Rcode
from homing.dns.stats import Event, Seen, Stats, Transport
from homing.errors import ModelError
from homing.model.name import Name
from homing.model.rrset import RRset
from homing.model.zone import Soa, Zone, amend, zone

MAX_REPORT = 4 << 20
"""Octets of a frame that the main process takes from a worker, which strangers talk to."""

_PREFIX = 5


class Kind(enum.IntEnum):
    """What a frame is about."""

    ZONES = 1
    """To the worker: all zones, at the start."""
    CHANGE = 2
    """To the worker: the difference between two versions of a zone."""
    LISTEN = 3
    """To the worker: serve the socket that comes along, under this number."""
    CLOSE = 4
    """To the worker: serve the socket of this number no longer."""
    REPORT = 5
    """To the worker: say what was counted."""
    DONE = 6
    """From the worker: how many frames it has acted on."""
    STATS = 7
    """From the worker: what was counted since the last time."""


def frame(kind: Kind, body: Any = None) -> bytes:
    """One frame."""
    data = marshal.dumps(body)
    return len(data).to_bytes(4) + bytes((kind,)) + data


class Frames:
    """Puts frames together from what arrives. ``limit`` is octets of one frame; a longer one raises ModelError."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, Any]]:
        """The frames that are whole now."""
        self._held += data
        while len(self._held) >= _PREFIX:
            size = int.from_bytes(self._held[:4])
            if self._limit is not None and size > self._limit:
                raise ModelError(f"a worker sent a frame of {size} octets")
            end = _PREFIX + size
            if len(self._held) < end:
                return
            kind, body = Kind(self._held[4]), bytes(self._held[_PREFIX:end])
            del self._held[:end]
            yield kind, marshal.loads(body)  # noqa: S302 - from the other end of a private socket pair


def zones_data(zones: Zones) -> Any:
    """All zones as plain values."""
    return [name.labels for name in zones.awaited], [_zone_data(item) for item in zones.loaded.values()]


def zones_from(data: Any) -> Zones:
    """All zones from plain values."""
    awaited, loaded = data
    made = map(_zone_from, loaded)
    return Zones({item.origin: item for item in made}, frozenset(Name(labels) for labels in awaited))


def change_data(change: Change, awaited: bool = False) -> Any:
    """A change as plain values: the difference alone where both versions are; else whether the zone is ``awaited``."""
    before, after, diff = change.before, change.after, change.diff
    if after is None:
        return change.origin.labels, None, awaited
    if before is None or diff is None:
        return change.origin.labels, _zone_data(after), None
    head = (after.serial, _soa_data(after.soa) if after.soa != before.soa else None)
    gone = [(item.name.labels, int(item.type)) for item in diff.removed]
    return change.origin.labels, head, (gone, [_rrset_data(item) for item in diff.added])


def change_from(zones: Zones, data: Any) -> tuple[Zones, Change]:
    """The zones after a change, and the change. Raises ModelError where it does not follow from these zones."""
    labels, head, edits = data
    origin = Name(labels)
    before = zones.loaded.get(origin)
    if head is None:
        return zones.awaiting(origin) if edits else zones.without(origin), Change(before, None, name=origin)
    if edits is None:
        after = _zone_from(head)
        return zones.with_zone(after), Change(before, after)
    if before is None:
        raise ModelError(f"a change of zone {origin}, which is not here")
    gone, added = edits
    changes: dict[tuple[Name, int], RRset | None] = {(Name(name), rtype): None for name, rtype in gone}
    changes.update((item.key, item) for item in map(_rrset_from, added))
    amended, diff = amend(before, changes)
    serial, soa = head
    after = replace(amended, serial=serial, soa=_soa_from(soa) if soa else before.soa)
    return zones.with_zone(after), Change(before, after, diff)


def stats_data(stats: Stats) -> Any:
    """What was counted as plain values."""
    queries = [
        (seen.transport.value, seen.type, None if seen.rcode is None else int(seen.rcode), seen.zone, count)
        for seen, count in stats.queries.items()
    ]
    return queries, [(event.value, count) for event, count in stats.events.items()]


def stats_from(data: Any) -> Stats:
    """What was counted from plain values."""
    queries, events = data
    found = Stats(events=Counter({Event(event): count for event, count in events}))
    for transport, rtype, rcode, place, count in queries:
        found.queries[Seen(Transport(transport), rtype, None if rcode is None else Rcode(rcode), place)] = count
    return found


def _rrset_data(item: RRset) -> tuple[object, ...]:
    return item.name.labels, int(item.type), item.ttl, item.rdatas


def _rrset_from(data: Any) -> RRset:
    labels, rtype, ttl, rdatas = data
    return RRset(Name(labels), rtype, ttl, rdatas)


def _soa_data(soa: Soa) -> tuple[object, ...]:
    return soa.mname.labels, soa.rname.labels, soa.refresh, soa.retry, soa.expire, soa.minimum, soa.ttl


def _soa_from(data: Any) -> Soa:
    mname, rname, *times = data
    return Soa(Name(mname), Name(rname), *times)


def _zone_data(item: Zone) -> Any:
    return item.origin.labels, item.serial, _soa_data(item.soa), [_rrset_data(one) for one in item.rrsets()]


def _zone_from(data: Any) -> Zone:
    labels, serial, soa, rrsets = data
    return zone(Name(labels), serial, _soa_from(soa), map(_rrset_from, rrsets))
