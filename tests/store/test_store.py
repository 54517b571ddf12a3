"""The store: what was written is there after anything short of a burnt disk."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from homing.errors import StateLocked, StoreError
from homing.model.address import Family, parse_address
from homing.model.lockout import Lockout
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, address_rrsets, rrset
from homing.model.snapshot import zone_to_data
from homing.model.zone import Soa, Zone, amend, zone
from homing.store import Event, StateLock, Store, StoredZone, Update, holder
from homing.store.schema import MIGRATIONS

V4, V4B = parse_address("8.8.8.8"), parse_address("8.8.4.4")
WWW = parse_name("www.example.org")
ORIGIN = parse_name("home.arpa")
ZONE = zone(ORIGIN, 7, Soa(ORIGIN, ORIGIN), address_rrsets(parse_name("a.Home.arpa"), 60, [V4]))
LOCKOUT = Lockout("strato", "www@strato", "www.example.org", "abuse", "slow down", 5.0, None, "abc")


def test_the_last_good_address_and_its_history_survive_a_restart(tmp_path: Path) -> None:
    """A confirmed address is no change; another one is a row of history."""
    with Store(tmp_path) as store:
        assert store.record_good(Family.V4, V4, 10.0, "first")
        assert not store.record_good(Family.V4, V4, 20.0, "again")
        assert store.record_good(Family.V4, V4B, 30.0, "moved")
    with Store(tmp_path) as store:
        good = store.good_addresses()[Family.V4]
        assert (good.address, good.since, good.confirmed) == (V4B, 30.0, 30.0)
        assert [(row.before, row.after) for row in store.address_history()] == [("8.8.8.8", "8.8.4.4"), ("", "8.8.8.8")]


def test_published_follows_what_providers_confirm(tmp_path: Path) -> None:
    """A successful update, a removal and a read each leave what the provider holds."""
    both = address_rrsets(WWW, 60, [V4, parse_address("2001:db8::1")])
    with Store(tmp_path) as store:
        store.record_update(Update(1.0, "gandi", WWW.text, "A", True, "ok", "", 0.1), both)
        assert set(store.published().values()) == set(both)
        store.record_update(Update(2.0, "gandi", WWW.text, "AAAA", True, "ok", "", 0.1), (), (28,))
        assert set(store.published().values()) == {both[0]}
        store.replace_published("gandi", WWW, both[1:], 3.0)
        assert set(store.published().values()) == {both[1]}
        assert [update.change for update in store.updates()] == ["AAAA", "A"]


def test_lockouts_requests_zones_events_and_documents_survive_a_restart(tmp_path: Path) -> None:
    """Everything that is put in comes out again from a new process's view."""
    with Store(tmp_path) as store:
        store.put_lockout(LOCKOUT)
        store.record_request("strato", WWW, 7.0)
        store.replace_zone(ZONE, 1007)
        store.record_event(Event(1.0, "drift", "www", "changed"))
        store.save_document("state", b"{}", 2.0)
        salt = store.salt
    with Store(tmp_path) as store:
        assert store.lockouts() == [LOCKOUT]
        assert store.last_requests() == {("strato", WWW): 7.0}
        assert store.load_zones() == {ZONE.origin: StoredZone(ZONE, "", 1007, False, ())}
        assert store.events() == [Event(1.0, "drift", "www", "changed")]
        assert store.document("state") == (2.0, b"{}")
        assert store.salt == salt
        store.lift_lockout(LOCKOUT)
        assert store.lockouts() == []


KILLED = """
import sys
from pathlib import Path
from homing.model.address import Family, parse_address
from homing.model.lockout import Lockout
from homing.store import Store
store = Store(Path(sys.argv[1]))
for number in range(1_000_000):
    address = parse_address(f"8.8.{number // 250 % 250}.{number % 250}")
    store.record_good(Family.V4, address, float(number), "moved")
    store.put_lockout(Lockout("strato", str(number), "", "abuse", "", 0.0, None, ""))
    print(number, address, flush=True)
"""


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_a_kill_at_any_moment_loses_nothing_that_was_told(tmp_path: Path, rows: int) -> None:
    """After kill -9, everything that the store said it had written is there, and the file is sound."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().split() for _ in range(rows)]
        os.kill(writer.pid, signal.SIGKILL)
        told += [line.split() for line in writer.stdout.readlines() if line.endswith("\n")]
    with Store(tmp_path) as store:
        assert {lockout.account for lockout in store.lockouts()} >= {number for number, _ in told}
        assert {row.after for row in store.address_history(limit=10**6)} >= {address for _, address in told}
        good = store.good_addresses()[Family.V4]
        assert good.since >= float(told[-1][0])
    db = sqlite3.connect(tmp_path / "homing.db")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_second_holder_is_refused_and_told_who_holds(tmp_path: Path) -> None:
    """Law 2: one writer; the refusal names the process and the remedy."""
    with StateLock(tmp_path), pytest.raises(StateLocked, match=f"process {os.getpid()}.*--state"), StateLock(tmp_path):
        pass
    with StateLock(tmp_path):
        pass


def test_a_state_that_cannot_be_used_is_told_with_a_remedy(tmp_path: Path) -> None:
    """A file instead of a directory, a damaged file and one from the future each say what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--state"):
        Store(tmp_path / "file")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "homing.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path / "damaged")
    with Store(tmp_path / "future"):
        pass
    db = sqlite3.connect(tmp_path / "future" / "homing.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="newer Homing"):
        Store(tmp_path / "future")
    with pytest.raises(StoreError, match="homing up"):
        Store(tmp_path / "nothing", readonly=True)


def follow(store: Store, before: Zone, changes: dict[tuple[Name, int], RRset | None], step: bytes) -> Zone:
    """Write the next version of a zone."""
    after, diff = amend(before, changes)
    store.append_zone(before.serial, after, diff, after.serial + 1000, step, 10)
    return after


def test_a_zone_is_written_by_its_changes(tmp_path: Path) -> None:
    """RRsets that come, change and go, whatever the case of their names, are there again beside the journal's steps."""
    (a,) = ZONE.rrsets()
    empty = rrset(parse_name("empty.home.arpa"), 65280, 30, [b"", b"x"])
    with Store(tmp_path) as store:
        store.replace_zone(ZONE, 1007, [b"first"])
        moved = address_rrsets(parse_name("A.home.arpa"), 60, [V4B])[0]
        version = follow(store, ZONE, {moved.key: moved, empty.key: empty}, b"one")
    with Store(tmp_path) as store:
        assert store.load_zones() == {ORIGIN: StoredZone(version, "", 1008, False, (b"first", b"one"))}
        version = follow(store, version, {a.key: None}, b"two")
        stored = store.load_zones()[ORIGIN]
        assert stored.zone == version
        assert stored.steps == (b"one", b"two"), "more than 10 octets are not kept"


def test_steps_that_are_gone_from_the_disk_stop_no_change(tmp_path: Path) -> None:
    """A journal of which rows are missing is bounded all the same, and the zone goes on."""
    a, b = address_rrsets(WWW, 60, [V4])[0], parse_name("b.home.arpa")
    item = rrset(b, a.type, 60, a.rdatas)
    with Store(tmp_path) as store:
        store.replace_zone(ZONE, 1007, [b"more than ten"])
        db = sqlite3.connect(tmp_path / "homing.db")
        db.execute("DELETE FROM zone_step")
        db.commit()
        db.close()
        version = follow(store, ZONE, {item.key: item}, b"a step longer than ten")
        version = follow(store, version, {item.key: None}, b"two")
        assert store.load_zones()[ORIGIN] == StoredZone(version, "", 1009, False, (b"two",))


def test_a_zone_of_any_name_comes_back(tmp_path: Path) -> None:
    """A label that ends in a dot of its own, and the root."""
    odd = [zone(name, 1, ZONE.soa, ()) for name in (Name((b"a.",)), Name(()), Name((b'\xff ;"', b"b\\.")))]
    with Store(tmp_path) as store:
        for each in odd:
            store.replace_zone(each, 1001)
        assert store.load_zones() == {each.origin: StoredZone(each, "", 1001, False, ()) for each in odd}


def test_zone_and_journal_never_disagree(tmp_path: Path) -> None:
    """A version that does not follow the one on disk is refused whole."""
    with Store(tmp_path) as store:
        store.replace_zone(ZONE, 1007)
        later, diff = amend(ZONE, {item.key: None for item in ZONE.rrsets()})
        with pytest.raises(StoreError, match="serial 6"):
            store.append_zone(6, later, diff, 2000, b"step", 10)
        assert store.load_zones()[ORIGIN] == StoredZone(ZONE, "", 1007, False, ())


def test_a_zone_is_exact_only_while_nobody_serves_it(tmp_path: Path) -> None:
    """From a start to a clean end, and after every write, serials up to the ceiling may be in use."""
    with Store(tmp_path) as store:
        store.replace_zone(ZONE, 1007)
        store.settle_zones([ORIGIN])
        assert store.load_zones()[ORIGIN].is_exact
        store.hold_zones({ORIGIN: 1500})
        assert (store.load_zones()[ORIGIN].is_exact, store.load_zones()[ORIGIN].ceiling) == (False, 1500)


def test_a_zone_that_cannot_be_read_is_told_and_its_serials_are_known(tmp_path: Path) -> None:
    """Damage to one zone hides neither its ceiling nor the other zones."""
    other = zone(parse_name("other.test"), 3, ZONE.soa, ())
    with Store(tmp_path) as store:
        store.replace_zone(ZONE, 1007)
        store.replace_zone(other, 1003)
    db = sqlite3.connect(tmp_path / "homing.db")
    db.execute("UPDATE zone_rrset SET rdatas = 'zz'")
    db.commit()
    db.close()
    with Store(tmp_path) as store:
        found = store.load_zones()
        assert found[other.origin].zone == other
        assert (found[ORIGIN].zone, found[ORIGIN].ceiling) == (None, 1007)
        assert found[ORIGIN].problem


def test_zones_of_an_older_homing_are_taken_over(tmp_path: Path) -> None:
    """The first tables held each zone as one JSON document; what cannot be read of them is left behind."""
    db = sqlite3.connect(tmp_path / "homing.db", isolation_level=None)
    db.executescript(f"BEGIN; {MIGRATIONS[0]} PRAGMA user_version = 1; COMMIT;")
    for origin, body in (("home.arpa", json.dumps(zone_to_data(ZONE)).encode()), ("damaged.test", b"{")):
        db.execute("INSERT INTO zone VALUES (?, 7, ?)", (origin, body))
    db.close()
    with pytest.raises(StoreError, match=r"older Homing.*homing up"):
        Store(tmp_path, readonly=True)
    with Store(tmp_path) as store:
        assert store.load_zones() == {ORIGIN: StoredZone(ZONE, "", 7, True, ())}


def test_the_state_is_for_its_owner_only(tmp_path: Path) -> None:
    """Directory and file carry no rights for others."""
    with Store(tmp_path / "state"):
        assert (tmp_path / "state").stat().st_mode & 0o077 == 0
        assert (tmp_path / "state" / "homing.db").stat().st_mode & 0o077 == 0


def test_the_holder_is_known_while_it_holds(tmp_path: Path) -> None:
    """Others may ask which process holds the state, without disturbing it."""
    assert holder(tmp_path) is None
    with StateLock(tmp_path):
        assert holder(tmp_path) == os.getpid()
    assert holder(tmp_path) is None


def test_each_history_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest rows go first."""
    monkeypatch.setattr("homing.store.store.KEEP_ROWS", 3)
    with Store(tmp_path) as store:
        for number in range(10):
            store.record_good(Family.V4, parse_address(f"8.8.8.{number}"), float(number), "moved")
            store.record_event(Event(float(number), "drift", "www", ""))
            store.record_update(Update(float(number), "gandi", WWW.text, "A", True, "ok", "", 0.1))
        kept = [[row.at for row in rows] for rows in (store.address_history(), store.events(), store.updates())]
    assert kept == [[9.0, 8.0, 7.0]] * 3


def test_a_version_below_a_ceiling_that_is_on_disk_need_not_wait_for_the_disk(tmp_path: Path) -> None:
    """The first under a ceiling is forced, the next are not; what is written together is forced at its end."""
    (a,) = ZONE.rrsets()
    with Store(tmp_path) as store:
        levels: list[int] = []
        db = store._db

        def follow_on(version: Zone, changes: dict[tuple[Name, int], RRset | None], ceiling: int) -> Zone:
            after, diff = amend(version, changes)
            db.set_trace_callback(lambda sql: levels.append(_level(sql)) if "synchronous" in sql else None)
            store.append_zone(version.serial, after, diff, ceiling, b"step", 100)
            db.set_trace_callback(None)
            return after

        def _level(sql: str) -> int:
            return 1 if "NORMAL" in sql else 2

        store.replace_zone(ZONE, 1007)
        version = follow_on(ZONE, {a.key: None}, 2008)
        assert levels == []
        version = follow_on(version, {a.key: a}, 2008)
        assert levels == [1, 2]
        with store.together():
            version = follow_on(version, {a.key: None}, 2008)
        assert levels == [1, 2]
        store.checkpoint()
        assert store.load_zones()[ORIGIN] == StoredZone(version, "", 2008, False, (b"step",) * 3)


def test_without_a_directory_the_history_is_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written anywhere, it is bounded, and fingerprints are those of a process that keeps nothing."""
    monkeypatch.setattr("homing.store.store.KEEP_IN_MEMORY", 3)
    monkeypatch.chdir(tmp_path)
    with Store(None) as store:
        for number in range(10):
            store.record_event(Event(float(number), "drift", "www", ""))
        assert [event.at for event in store.events()] == [9.0, 8.0, 7.0]
        assert store.salt == bytes(16)
    assert list(tmp_path.iterdir()) == []
