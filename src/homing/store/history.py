"""Looking back: pages of the history, and marks for a timeline. A look costs what it shows, however long the past.

Every query names its index, so that one that would read a whole table fails in the tests instead of being slow later.
"""

from __future__ import annotations

import enum
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from homing.model.address import Family
from homing.store.rows import AddressChange, Event, Update

Row = AddressChange | Update | Event


class Kind(enum.IntEnum):
    """What a line of the history tells; of two at the same moment the lesser comes first."""

    EVENT = 0
    UPDATE = 1
    ADDRESS = 2


class Place(NamedTuple):
    """Where a line stands. Newest first: by ``at`` downwards, then by kind, then by ``number`` downwards."""

    at: float
    kind: Kind
    number: int


@dataclass(frozen=True, slots=True)
class Question:
    """What to look for. ``name`` and ``failed`` are of updates, ``event`` is a kind of event; empty means all.

    Times are Unix seconds, both ends included. ``after`` is the last line of the page before.
    """

    kinds: frozenset[Kind] = frozenset(Kind)
    since: float = 0.0
    until: float = math.inf
    name: str = ""
    failed: bool = False
    event: str = ""
    after: Place | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Marks:
    """The past in steps of ``step`` seconds from ``since`` on: of each step no more than a picture can show.

    ``addresses`` are each family's addresses with the time from which they hold, the first from before ``since`` if
    there was one, each change where there are few; ``updates`` and ``failures`` the first moment of each step that
    has any.
    """

    since: float
    until: float
    step: float
    addresses: Mapping[Family, Sequence[tuple[float, str]]] = field(default_factory=dict[Family, Any])
    updates: Sequence[float] = ()
    failures: Sequence[float] = ()


_COLUMNS = {
    Kind.ADDRESS: ("address_history", "family, before, after, reason"),
    Kind.UPDATE: ("update_history", "provider, fqdn, change, ok, code, detail, seconds"),
    Kind.EVENT: ("event", "kind, subject, detail"),
}
_LAST = 2**63 - 1


def lines(db: sqlite3.Connection, question: Question) -> list[tuple[Place, Row]]:
    """The newest lines that match, newest first."""
    found = [line for kind in question.kinds for line in _of_kind(db, kind, question)]
    found.sort(key=lambda line: (-line[0].at, line[0].kind, -line[0].number))
    return found[: question.limit]


def statement(kind: Kind, question: Question) -> tuple[str, list[object]]:
    """The query for one kind of line."""
    table, columns = _COLUMNS[kind]
    index, where = _index(kind, question)
    after, below = question.after, _LAST
    until = question.until
    if after is not None:
        until = min(until, after.at)
        if kind is after.kind:
            below = after.number
        elif kind < after.kind:
            below = -1
    values = [*(value for _, value in where), question.since, until, after.at if after else math.inf, below]
    conditions = "".join(f"{text} AND " for text, _ in where)
    if index.endswith("_failed"):
        conditions += "ok = 0 AND "
    sql = (
        f"SELECT id, at, {columns} FROM {table} INDEXED BY {index} "  # noqa: S608 - words of this file
        f"WHERE {conditions}at >= ? AND at <= ? AND (at < ? OR id < ?) ORDER BY at DESC, id DESC LIMIT ?"
    )
    return sql, [*values, question.limit]


def _index(kind: Kind, question: Question) -> tuple[str, list[tuple[str, object]]]:
    if kind is Kind.UPDATE:
        failed = "_failed" if question.failed else ""
        if question.name:
            return f"update_history_name{failed}", [("fqdn = ?", question.name)]
        return f"update_history{failed or '_at'}", []
    if kind is Kind.EVENT and question.event:
        return "event_kind", [("kind = ?", question.event)]
    return ("event_at" if kind is Kind.EVENT else "address_history_at"), []


def _of_kind(db: sqlite3.Connection, kind: Kind, question: Question) -> Iterator[tuple[Place, Row]]:
    for number, at, *rest in db.execute(*statement(kind, question)):
        row: Row
        if kind is Kind.ADDRESS:
            row = AddressChange(at, Family(rest[0]), rest[1] or "", rest[2], rest[3])
        elif kind is Kind.UPDATE:
            row = Update(at, rest[0], rest[1], rest[2], bool(rest[3]), rest[4], rest[5], rest[6])
        else:
            row = Event(at, *rest)
        yield Place(at, kind, number), row


_NEXT = "SELECT at FROM {table} INDEXED BY {index} WHERE {where}at >= ? AND at <= ? ORDER BY at LIMIT 1"
_HELD = (
    "SELECT at, after FROM address_history INDEXED BY address_history_family "
    "WHERE family = ? AND at < ? ORDER BY at DESC, id DESC LIMIT 1"
)
NEXT_UPDATE = _NEXT.format(table="update_history", index="update_history_at", where="")
NEXT_FAILURE = _NEXT.format(table="update_history", index="update_history_failed", where="ok = 0 AND ")
NEXT_ADDRESS = _NEXT.format(table="address_history", index="address_history_family", where="family = ? AND ")
EXACT = 200
"""So many changes of address are told each; of more, the last of each step."""

_CHANGES = (
    "SELECT at, after FROM address_history INDEXED BY address_history_family "  # noqa: S608 - a number of this file
    f"WHERE family = ? AND at >= ? AND at <= ? ORDER BY at DESC, id DESC LIMIT {EXACT + 1}"
)
LOOKS = (NEXT_UPDATE, NEXT_FAILURE, NEXT_ADDRESS, _HELD, _CHANGES)


def marks(db: sqlite3.Connection, since: float, until: float, steps: int) -> Marks:
    """What happened between two moments, in so many steps; costs at most a few looks a step."""
    step = (until - since) / steps

    def first(sql: str, *values: object) -> Callable[[float], float | None]:
        def look(start: float) -> float | None:
            row = db.execute(sql, (*values, start, until)).fetchone()
            return row[0] if row else None

        return look

    def walk(look: Callable[[float], float | None]) -> Iterator[float]:
        at = look(since)
        while at is not None:
            yield at
            at = look(since + (math.floor((at - since) / step) + 1) * step)

    addresses: dict[Family, list[tuple[float, str]]] = {}
    for family in Family:
        held = [db.execute(_HELD, (family, since)).fetchone()]
        few = db.execute(_CHANGES, (family, since, until)).fetchall()
        if len(few) <= EXACT:
            held += reversed(few)
        else:
            for at in walk(first(NEXT_ADDRESS, family)):
                end = since + (math.floor((at - since) / step) + 1) * step
                held.append(db.execute(_HELD, (family, end)).fetchone())
        if known := [(row[0], row[1]) for row in held if row]:
            addresses[family] = known
    return Marks(since, until, step, addresses, tuple(walk(first(NEXT_UPDATE))), tuple(walk(first(NEXT_FAILURE))))
