"""The store itself: one method for each thing that is remembered or asked."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from homing.errors import StoreError
from homing.model.address import Address, Family, parse_address
from homing.model.lockout import Lockout
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, rrset
from homing.model.zone import Zone, ZoneDiff
from homing.plan import Published
from homing.store import history, zones
from homing.store.history import Kind, Marks, Place, Question, Row
from homing.store.lock import prepare_directory
from homing.store.rows import AddressChange, Event, GoodAddress, Update
from homing.store.schema import MIGRATIONS
from homing.store.zones import StoredZone

T = TypeVar("T")

FILE = "homing.db"

KEEP_ROWS, KEEP_IN_MEMORY = 200_000, 10_000
"""Rows of each history that are kept on disk, and in memory; the oldest go first."""

WAL_PAGES = 4000
"""Pages of the log from which up a write takes them into the tables; who calls ``checkpoint`` before spares it that."""


class Store:
    """Everything that outlives a restart. Thread-safe. Every method raises StoreError when the disk says no.

    Each write is on disk (fsync) when its method returns, unless it says otherwise.
    """

    def __init__(self, directory: Path | None, *, readonly: bool = False) -> None:
        """Without a directory all is kept in memory, and of each history less."""
        self.directory = directory or Path("memory")
        self._in_memory = directory is None
        self._keep = KEEP_ROWS if directory is not None else KEEP_IN_MEMORY
        self._lock = threading.RLock()
        self._together = False
        path = directory / FILE if directory is not None else None
        if path is not None and readonly:
            if not path.exists():
                raise StoreError(f"no state in {directory} yet; start the daemon with: homing up --state {directory}")
        elif directory is not None:
            prepare_directory(directory)
        mask = os.umask(0o077)  # SQLite makes its files when it is first asked
        try:
            self._db = self._connect(path, readonly)
            with contextlib.ExitStack() as unless_ready:
                unless_ready.callback(self._db.close)
                if readonly:
                    self._check_version()
                else:
                    self._prepare()
                self.salt: bytes = self._salt(readonly=readonly)
                unless_ready.pop_all()
        except sqlite3.Error as error:
            raise _store_error(self.directory, error) from None
        finally:
            os.umask(mask)

    def _connect(self, path: Path | None, readonly: bool) -> sqlite3.Connection:
        uri = f"{path.resolve().as_uri()}?mode={'ro' if readonly else 'rwc'}" if path is not None else "file::memory:"
        return sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None, check_same_thread=False)

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        self._migrate()

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreError(
                f"the state in {self.directory} was written by a newer Homing (version {version} of its tables); "
                "upgrade Homing, or name another directory with --state"
            )
        return version

    def _check_version(self) -> None:
        if self._version() < len(MIGRATIONS):
            raise StoreError(
                f"the state in {self.directory} was written by an older Homing; "
                f"start the daemon once, it takes it over: homing up --state {self.directory}"
            )

    def _migrate(self) -> None:
        version = self._version()
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")

    def _salt(self, *, readonly: bool) -> bytes:
        if self._in_memory:
            return bytes(16)  # what outlives this process elsewhere must be known again by the next one
        if not readonly:
            with self._write() as db:
                db.execute("INSERT OR IGNORE INTO meta VALUES ('salt', ?)", (os.urandom(16),))
        row: tuple[bytes] | None = self._db.execute("SELECT value FROM meta WHERE key = 'salt'").fetchone()
        return row[0] if row else b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _write(self) -> Generator[sqlite3.Connection, None, None]:
        with self._lock:
            if self._together:
                yield self._db
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                raise _store_error(self.directory, error) from None
            except BaseException:
                self._roll_back()
                raise

    @contextmanager
    def _unforced(self) -> Generator[None, None, None]:
        """What is written meanwhile outlives this process, but not a power cut before the next write that is forced."""
        with self._lock:
            if self._together:
                yield
                return
            self._db.execute("PRAGMA synchronous = NORMAL")
            try:
                yield
            finally:
                self._db.execute("PRAGMA synchronous = FULL")

    def checkpoint(self) -> None:
        """Take what was written into the tables, so that no write has to."""
        self._rows("PRAGMA wal_checkpoint(PASSIVE)")

    @contextlib.contextmanager
    def together(self) -> Generator[None, None, None]:
        """What this thread writes meanwhile is on disk at the end, all or nothing: one fsync for many writes."""
        with self._write():
            self._together = True
            try:
                yield
            finally:
                self._together = False

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite rolls back by itself after some errors, a full disk for one
            self._db.execute("ROLLBACK")

    def _rows(self, query: str, *values: object) -> list[Any]:
        return self._read(lambda db: db.execute(query, values).fetchall())

    def _read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return look(self._db)
            except sqlite3.Error as error:
                raise _store_error(self.directory, error) from None

    # The WAN address

    def good_addresses(self) -> dict[Family, GoodAddress]:
        """The last agreed address of each family."""
        rows = self._rows("SELECT family, address, since, confirmed FROM good_address")
        return {Family(row[0]): GoodAddress(Family(row[0]), parse_address(row[1]), row[2], row[3]) for row in rows}

    def record_good(self, family: Family, address: Address, at: float, reason: str) -> bool:
        """Remember an agreed address; True when it is another than before, which is a row of history too."""
        with self._write() as db:
            row = db.execute("SELECT address FROM good_address WHERE family = ?", (family,)).fetchone()
            if row is not None and row[0] == str(address):
                db.execute("UPDATE good_address SET confirmed = ? WHERE family = ?", (at, family))
                return False
            db.execute("INSERT OR REPLACE INTO good_address VALUES (?, ?, ?, ?)", (family, str(address), at, at))
            db.execute(
                "INSERT INTO address_history (at, family, before, after, reason) VALUES (?, ?, ?, ?, ?)",
                (at, family, row[0] if row else "", str(address), reason),
            )
            db.execute("DELETE FROM address_history WHERE id <= last_insert_rowid() - ?", (self._keep,))
            return True

    def address_history(self, *, since: float = 0.0, limit: int = 100) -> list[AddressChange]:
        """Changes of the WAN address, newest first."""
        found = self.history(Question(frozenset({Kind.ADDRESS}), since, limit=limit))
        return [row for _, row in found if isinstance(row, AddressChange)]

    # The history as a whole

    def history(self, question: Question) -> list[tuple[Place, Row]]:
        """Lines of the history with their places, newest first."""
        return self._read(lambda db: history.lines(db, question))

    def marks(self, since: float, until: float, steps: int) -> Marks:
        """What a timeline shows of the past, in so many steps."""
        return self._read(lambda db: history.marks(db, since, until, steps))

    # Updates and events

    def record_update(
        self, update: Update, published: Sequence[RRset] = (), removed: Sequence[int] = (), account: str = ""
    ) -> None:
        """Remember how a request to a provider ended and, in the same transaction, what is published since.

        ``account`` is the one it was published under.
        """
        with self._write() as db:
            db.execute(
                "INSERT INTO update_history (at, provider, fqdn, change, ok, code, detail, seconds) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    update.at,
                    update.provider,
                    update.fqdn,
                    update.change,
                    update.ok,
                    update.code,
                    update.detail,
                    update.seconds,
                ),
            )
            for item in published:
                self._put_published(db, update.provider, item, update.at, account)
            for rtype in removed:
                db.execute(
                    "DELETE FROM published WHERE provider = ? AND fqdn = ? AND type = ?",
                    (update.provider, update.fqdn, rtype),
                )
            db.execute("DELETE FROM update_history WHERE id <= last_insert_rowid() - ?", (self._keep,))

    def updates(self, *, since: float = 0.0, limit: int = 100) -> list[Update]:
        """Requests to providers, newest first."""
        found = self.history(Question(frozenset({Kind.UPDATE}), since, limit=limit))
        return [row for _, row in found if isinstance(row, Update)]

    def record_event(self, event: Event) -> None:
        """Remember something worth telling."""
        with self._write() as db:
            db.execute(
                "INSERT INTO event (at, kind, subject, detail) VALUES (?, ?, ?, ?)",
                (event.at, event.kind, event.subject, event.detail),
            )
            db.execute("DELETE FROM event WHERE id <= last_insert_rowid() - ?", (self._keep,))

    def events(self, *, since: float = 0.0, limit: int = 100) -> list[Event]:
        """Events, newest first."""
        found = self.history(Question(frozenset({Kind.EVENT}), since, limit=limit))
        return [row for _, row in found if isinstance(row, Event)]

    # What is published

    def published(self) -> Published:
        """What each provider last confirmed, or last answered when read."""
        rows = self._rows("SELECT provider, fqdn, type, ttl, rdatas FROM published")
        found: dict[tuple[str, Name, int], RRset] = {}
        for provider, fqdn, rtype, ttl, packed in rows:
            name = parse_name(fqdn)
            found[provider, name, rtype] = rrset(name, rtype, ttl, _unpack(packed))
        return found

    def accounts(self) -> dict[tuple[str, Name], str]:
        """The account each name was last published under."""
        rows = self._rows("SELECT DISTINCT provider, fqdn, account FROM published")
        return {(provider, parse_name(fqdn)): account for provider, fqdn, account in rows}

    def replace_published(self, provider: str, name: Name, rrsets: Sequence[RRset], at: float) -> None:
        """What a provider answered when it was read takes the place of what was remembered of the name."""
        with self._write() as db:
            db.execute("DELETE FROM published WHERE provider = ? AND fqdn = ?", (provider, name.text))
            for item in rrsets:
                self._put_published(db, provider, item, at, "")

    @staticmethod
    def _put_published(db: sqlite3.Connection, provider: str, item: RRset, at: float, account: str) -> None:
        db.execute(
            "INSERT OR REPLACE INTO published VALUES (?, ?, ?, ?, ?, ?, ?)",
            (provider, item.name.text, int(item.type), item.ttl, _pack(item.rdatas), at, account),
        )

    # Restraint: requests and lockouts

    def record_request(self, provider: str, name: Name, at: float) -> None:
        """Remember that a host is asked for now, before it is."""
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO request VALUES (?, ?, ?)", (provider, name.text, at))

    def last_requests(self) -> dict[tuple[str, Name], float]:
        """When each host was last asked for."""
        rows = self._rows("SELECT provider, fqdn, at FROM request")
        return {(provider, parse_name(fqdn)): at for provider, fqdn, at in rows}

    def put_lockout(self, row: Lockout) -> None:
        """Remember a lockout."""
        with self._write() as db:
            db.execute(
                "INSERT OR REPLACE INTO lockout VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (row.provider, row.account, row.host, row.code, row.reason, row.since, row.until, row.fingerprint),
            )

    def lockouts(self) -> list[Lockout]:
        """All lockouts that were not lifted, the ended timed ones too."""
        return [Lockout(*row) for row in self._rows("SELECT * FROM lockout ORDER BY since")]

    def lift_lockout(self, row: Lockout) -> None:
        """Forget a lockout."""
        with self._write() as db:
            db.execute(
                "DELETE FROM lockout WHERE provider = ? AND account = ? AND host = ? AND code = ?",
                (row.provider, row.account, row.host, row.code),
            )

    # Zones and documents

    def replace_zone(self, zone: Zone, ceiling: int, steps: Iterable[bytes] = ()) -> None:
        """Remember a whole zone and its journal; serials up to ``ceiling`` may be served before the next write."""
        with self._write() as db:
            zones.replace_zone(db, zone, ceiling, steps)

    def append_zone(self, before: int, zone: Zone, diff: ZoneDiff, ceiling: int, step: bytes, most: int) -> None:
        """Remember the version that follows serial ``before``: what differs, and the step for the journal.

        The journal keeps ``most`` octets. A ceiling that is new is on disk when this returns; the version alone is with
        the system, so a power cut may lose the last ones, and their serials are below the ceiling. Raises StoreError
        when another version is on disk, too.
        """
        reserved = self._rows("SELECT 1 FROM zone_head WHERE origin = ? AND ceiling = ?", zone.origin.text, ceiling)
        with self._unforced() if reserved else contextlib.nullcontext(), self._write() as db:
            zones.append_zone(db, before, zone, diff, ceiling, step, most)

    def load_zones(self) -> dict[Name, StoredZone]:
        """The last version of each zone, and its journal."""
        return self._read(zones.load_zones)

    def drop_journal(self, origin: Name) -> None:
        """Forget the journal of a zone, which is damaged."""
        with self._write() as db:
            zones.drop_journal(db, origin)

    def hold_zones(self, ceilings: Mapping[Name, int]) -> None:
        """Serials up to these may be served from now on without being written."""
        with self._write() as db:
            db.executemany(
                "UPDATE zone_head SET exact = 0, ceiling = ? WHERE origin = ?",
                ((ceiling, origin.text) for origin, ceiling in ceilings.items()),
            )

    def settle_zones(self, origins: Iterable[Name]) -> None:
        """No version of these zones was served that is not written, and none will be."""
        with self._write() as db:
            db.executemany("UPDATE zone_head SET exact = 1 WHERE origin = ?", ((origin.text,) for origin in origins))

    def save_document(self, key: str, body: bytes, at: float) -> None:
        """Remember a whole JSON document under a key."""
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO document VALUES (?, ?, ?)", (key, at, body))

    def document(self, key: str) -> tuple[float, bytes] | None:
        """A document and when it was written."""
        rows = self._rows("SELECT at, body FROM document WHERE key = ?", key)
        return (rows[0][0], rows[0][1]) if rows else None


def _pack(rdatas: Sequence[bytes]) -> bytes:
    return b"".join(len(rdata).to_bytes(2, "big") + rdata for rdata in rdatas)


def _unpack(packed: bytes) -> list[bytes]:
    rdatas: list[bytes] = []
    at = 0
    while at < len(packed):
        end = at + 2 + int.from_bytes(packed[at : at + 2], "big")
        rdatas.append(packed[at + 2 : end])
        at = end
    return rdatas


def _store_error(directory: Path, error: sqlite3.Error) -> StoreError:
    reason = str(error)
    if "disk I/O" in reason:
        reason += ", as on a full or failing disk"
    if "full" in str(error):
        return StoreError(f"the disk of state directory {directory} is full; free some space, Homing goes on by itself")
    if "readonly" in reason or "read-only" in reason or "unable to open" in reason:
        return StoreError(f"state directory {directory} cannot be written ({reason}); name a writable one with --state")
    if "not a database" in reason or "malformed" in reason:
        return StoreError(
            f"{directory / FILE} is damaged ({reason}); move it away to start afresh, names keep what they hold"
        )
    return StoreError(
        f"state directory {directory} cannot be used ({reason}); see whether its disk is full or damaged, "
        "or name another one with --state"
    )
