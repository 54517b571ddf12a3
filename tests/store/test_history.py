"""Looking back: pages, filters, the timeline's marks, and that none of it reads a whole table."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from homing.model.address import Family, parse_address
from homing.store import Event, Kind, Place, Question, Store, Update
from homing.store.history import LOOKS, statement

DAY = 86400.0
ROWS = 1_000_000
LIMIT = 0.1
"""Seconds of processor time that a look may take in a million rows."""


def update(at: float, name: str = "www.example.org", *, ok: bool = True) -> Update:
    return Update(at, "gandi", name, "A", ok, "ok" if ok else "timeout", "", 0.1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path) as found:
        yield found


def ask(store: Store, **fields: object) -> list[Place]:
    return [place for place, _ in store.history(Question(**fields))]  # type: ignore[arg-type]


def test_pages_follow_each_other_without_gap_or_double(store: Store) -> None:
    """Also among lines of one moment, of one kind and of several."""
    for number in range(12):
        at = float(number // 5)
        store.record_update(update(at))
        store.record_event(Event(at, "drift", "www", ""))
        store.record_good(Family.V4, parse_address(f"8.8.8.{number}"), at, "moved")
    whole = ask(store, limit=1000)
    assert len(whole) == 36
    assert [place.at for place in whole] == sorted((place.at for place in whole), reverse=True)
    for size in (1, 2, 5, 7):
        pages: list[Place] = []
        while page := ask(store, limit=size, after=pages[-1] if pages else None):
            pages += page
        assert pages == whole


def test_filters_narrow_what_is_told(store: Store) -> None:
    """By kind, time, name, failure and kind of event."""
    store.record_update(update(1.0))
    store.record_update(update(2.0, ok=False))
    store.record_update(update(3.0, "mail.example.org", ok=False))
    store.record_event(Event(4.0, "lockout", "strato", ""))
    store.record_event(Event(5.0, "drift", "www", ""))
    updates, events = frozenset({Kind.UPDATE}), frozenset({Kind.EVENT})

    def times(**fields: object) -> list[float]:
        return [place.at for place in ask(store, **fields)]

    assert times() == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert times(since=2.0, until=4.0) == [4.0, 3.0, 2.0]
    assert times(kinds=updates, failed=True) == [3.0, 2.0]
    assert times(kinds=updates, name="www.example.org") == [2.0, 1.0]
    assert times(kinds=updates, name="www.example.org", failed=True) == [2.0]
    assert times(kinds=events, event="lockout") == [4.0]


@pytest.mark.parametrize("exact", [True, False])
def test_marks_tell_which_address_held_when(store: Store, monkeypatch: pytest.MonkeyPatch, exact: bool) -> None:
    """The address from before the picture is there, and every change; of very many, the last one of each step."""
    if not exact:
        monkeypatch.setattr("homing.store.history.EXACT", 2)
    for at, last in ((5.0, 1), (12.0, 2), (12.4, 3), (17.0, 4), (40.0, 5)):
        store.record_good(Family.V4, parse_address(f"8.8.8.{last}"), at, "moved")
    store.record_update(update(11.2))
    store.record_update(update(11.8))
    store.record_update(update(15.0, ok=False))
    marks = store.marks(10.0, 20.0, 10)
    first = [(12.0, "8.8.8.2")] if exact else []
    assert marks.addresses == {Family.V4: [(5.0, "8.8.8.1"), *first, (12.4, "8.8.8.3"), (17.0, "8.8.8.4")]}
    assert (marks.updates, marks.failures) == ((11.2, 15.0), (15.0,))


@pytest.fixture(scope="module")
def long_past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A million updates in 90 days, of 200 names, one in 50 failed; 100,000 changes of address, as many events."""
    directory = tmp_path_factory.mktemp("long")
    Store(directory).close()
    with closing(sqlite3.connect(directory / "homing.db")) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        count = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?) "
        db.execute(
            f"{count} INSERT INTO update_history SELECT i, i * ?, 'gandi', 'n' || (i % 200) || '.example.org', 'A', "
            "i % 50 != 0, 'ok', '', 0.1 FROM n",
            (ROWS, 90 * DAY / ROWS),
        )
        values = (ROWS // 10, 90 * DAY / (ROWS // 10))
        db.execute(
            f"{count} INSERT INTO address_history SELECT i, i * ?, 4 + 2 * (i % 2), '', 'a' || i, '' FROM n", values
        )
        db.execute(f"{count} INSERT INTO event SELECT i, i * ?, 'k' || (i % 5), 's', '' FROM n", values)
    with Store(directory, readonly=True) as found:
        yield found


def test_a_million_rows_answer_in_a_tenth_of_a_second(long_past: Store) -> None:
    """The first page, a deep one, every filter, also one that nothing matches, and the timeline of each range."""
    deep = Place(45 * DAY, Kind.UPDATE, ROWS // 2)
    updates = frozenset({Kind.UPDATE})
    questions = [
        Question(limit=500),
        Question(limit=500, after=deep),
        Question(limit=500, since=10 * DAY, until=11 * DAY),
        Question(updates, name="n7.example.org", limit=500),
        Question(updates, name="n7.example.org", failed=True),
        Question(updates, name="nobody.example.org"),
        Question(updates, failed=True, limit=500, after=deep),
        Question(frozenset({Kind.EVENT}), event="k3"),
        Question(frozenset({Kind.EVENT}), event="none"),
    ]
    looks: list[Callable[[], object]] = [partial(long_past.history, question) for question in questions]
    looks += [partial(long_past.marks, (90 - days) * DAY, 90 * DAY, 240) for days in (1, 7, 90)]
    for number, look in enumerate(looks):
        took = []
        for _ in range(3):
            began = time.process_time()
            look()
            took.append(time.process_time() - began)
        assert min(took) < LIMIT, f"look {number}: {min(took):.3f} s"


def test_no_look_at_the_past_reads_a_whole_table_or_sorts(long_past: Store) -> None:
    """As SQLite plans each query, with and without every filter."""
    questions = [
        Question(name=name, failed=failed, event=event, after=after)
        for name, failed, event, after in itertools.product(
            ("", "n7.example.org"), (False, True), ("", "k3"), (None, Place(1.0, Kind.UPDATE, 5))
        )
    ]
    queries = [statement(kind, question) for question in questions for kind in Kind]
    queries += [(sql, [1.0] * sql.count("?")) for sql in LOOKS]
    with closing(sqlite3.connect(long_past.directory / "homing.db")) as db:
        for sql, values in queries:
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            assert plan, sql
            assert not any("SCAN" in line or "TEMP B-TREE" in line for line in plan), (sql, plan)


def test_a_history_of_before_gets_its_indexes(tmp_path: Path) -> None:
    """A state directory of the version before is taken over with its lines."""
    with Store(tmp_path) as store:
        store.record_update(update(1.0))
    with closing(sqlite3.connect(tmp_path / "homing.db")) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall():
            if name in ("address_history_family", "update_history_name", "update_history_failed",
                        "update_history_name_failed", "event_kind"):  # fmt: skip
                db.execute(f"DROP INDEX {name}")
        db.execute("PRAGMA user_version = 2")
    with Store(tmp_path) as store:
        assert [
            place.at for place in ask(store, kinds=frozenset({Kind.UPDATE}), failed=False, name="www.example.org")
        ] == [1.0]
