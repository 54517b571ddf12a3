"""Zones on disk: RRset by RRset beside the steps of their journal, so that a change writes what changes and no more.

Zone and journal change in one transaction, so they never disagree. A journal's steps are octets here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from homing.errors import ModelError, StoreError
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset
from homing.model.snapshot import FORMAT, soa_to_data, zone_from_data
from homing.model.zone import Zone, ZoneDiff


@dataclass(frozen=True, slots=True)
class StoredZone:
    """A zone as it was last written.

    ``zone`` is None when it cannot be read, for the reason in ``problem``. Serials up to ``ceiling`` may have been
    served, unless ``is_exact``: then no version was served that is not here.
    """

    zone: Zone | None
    problem: str
    ceiling: int
    is_exact: bool
    steps: tuple[bytes, ...]


def replace_zone(db: sqlite3.Connection, zone: Zone, ceiling: int, steps: Iterable[bytes]) -> None:
    """Write a whole zone with its journal in place of all that was known of it."""
    origin = zone.origin.text
    for table in ("zone_head", "zone_rrset", "zone_step"):
        db.execute(f"DELETE FROM {table} WHERE origin = ?", (origin,))  # noqa: S608 - three names of ours
    encoded = list(steps)
    octets = sum(map(len, encoded))
    head = (origin, zone.serial, _soa(zone), ceiling, octets)
    db.execute("INSERT INTO zone_head (origin, serial, soa, ceiling, octets, exact) VALUES (?, ?, ?, ?, ?, 0)", head)
    _put_rrsets(db, origin, zone.rrsets())
    db.executemany("INSERT INTO zone_step (origin, body) VALUES (?, ?)", ((origin, body) for body in encoded))


def append_zone(
    db: sqlite3.Connection, before: int, zone: Zone, diff: ZoneDiff, ceiling: int, step: bytes, most: int
) -> None:
    """Write what leads from serial ``before`` to this version, and forget the oldest steps beyond ``most`` octets.

    Raises StoreError when another version is on disk.
    """
    origin = zone.origin.text
    updated = db.execute(
        "UPDATE zone_head SET serial = ?, soa = ?, ceiling = ?, octets = octets + ?, exact = 0 "
        "WHERE origin = ? AND serial = ?",
        (zone.serial, _soa(zone), ceiling, len(step), origin, before),
    )
    if updated.rowcount != 1:
        raise StoreError(f"zone {origin} on disk is not the version with serial {before}; it is written anew")
    db.executemany(
        "DELETE FROM zone_rrset WHERE origin = ? AND name = ? AND type = ?",
        ((origin, str(item.name), int(item.type)) for item in diff.removed),
    )
    _put_rrsets(db, origin, diff.added)
    db.execute("INSERT INTO zone_step (origin, body) VALUES (?, ?)", (origin, step))
    (octets,) = db.execute("SELECT octets FROM zone_head WHERE origin = ?", (origin,)).fetchone()
    while octets > most:
        oldest = db.execute("SELECT id, length(body) FROM zone_step WHERE origin = ? ORDER BY id LIMIT 1", (origin,))
        if (found := oldest.fetchone()) is None:  # rows are gone that were counted
            db.execute("UPDATE zone_head SET octets = 0 WHERE origin = ?", (origin,))
            break
        number, size = found
        db.execute("DELETE FROM zone_step WHERE id = ?", (number,))
        db.execute("UPDATE zone_head SET octets = octets - ? WHERE origin = ?", (size, origin))
        octets -= size


def drop_journal(db: sqlite3.Connection, origin: Name) -> None:
    """Forget the steps of a zone."""
    db.execute("DELETE FROM zone_step WHERE origin = ?", (origin.text,))
    db.execute("UPDATE zone_head SET octets = 0 WHERE origin = ?", (origin.text,))


def load_zones(db: sqlite3.Connection) -> dict[Name, StoredZone]:
    """What is on disk."""
    heads = db.execute("SELECT origin, serial, soa, ceiling, exact FROM zone_head").fetchall()
    return {parse_name(head[0]): _load(db, *head) for head in heads}


def _load(db: sqlite3.Connection, origin: str, serial: int, soa: str, ceiling: int, exact: int) -> StoredZone:
    rows = db.execute("SELECT name, type, ttl, rdatas FROM zone_rrset WHERE origin = ?", (origin,))
    rrsets = [{"name": name, "type": rtype, "ttl": ttl, "rdatas": text.split(",")} for name, rtype, ttl, text in rows]
    steps = db.execute("SELECT body FROM zone_step WHERE origin = ? ORDER BY id", (origin,))
    kept = tuple(bytes(body) for (body,) in steps)
    try:
        data = {"format": FORMAT, "origin": origin, "serial": serial, "soa": json.loads(soa), "rrsets": rrsets}
        return StoredZone(zone_from_data(data), "", ceiling, bool(exact), kept)
    except (ModelError, json.JSONDecodeError) as error:
        return StoredZone(None, str(error), ceiling, bool(exact), kept)


def _soa(zone: Zone) -> str:
    return json.dumps(soa_to_data(zone.soa))


def _put_rrsets(db: sqlite3.Connection, origin: str, rrsets: Iterable[RRset]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO zone_rrset VALUES (?, ?, ?, ?, ?)",
        [(origin, str(item.name), int(item.type), item.ttl, ",".join(map(bytes.hex, item.rdatas))) for item in rrsets],
    )
