"""One writer for a state directory: an advisory lock that the kernel drops when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from homing.errors import StateLocked, StoreError

LOCK_FILE = "lock"

LOCK_TRIES, LOCK_PAUSE = 6, 0.05
"""How often the lock is tried, and the seconds between."""


def prepare_directory(directory: Path) -> None:
    """Make the state directory, for its owner only. Raises StoreError."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError:
        raise StoreError(f"state directory {directory} is not a directory; name another one with --state") from None
    except OSError as error:
        raise StoreError(
            f"cannot make state directory {directory}: {error.strerror}; name a writable one with --state"
        ) from None


class StateLock:
    """Holds the state directory for this process. Use as a context manager.

    Raises StateLocked with the holder's process id when another Homing holds it, StoreError when it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        prepare_directory(self._directory)
        path = self._directory / LOCK_FILE
        try:
            file = path.open("a+", encoding="ascii")
        except OSError as error:
            raise StoreError(
                f"cannot write to state directory {self._directory}: {error.strerror}; name a writable one with --state"
            ) from None
        if not _taken(file):
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            file.close()
            raise StateLocked(
                f"state directory {self._directory} is in use by another Homing (process {holder}); "
                "stop it first, or name another directory with --state"
            )
        with contextlib.suppress(OSError):  # a full disk: the lock itself holds, only the process id is not told
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # the process id may not fit on the disk; the lock goes all the same
                self._file.close()
            self._file = None


def _taken(file: IO[str]) -> bool:
    """Take the lock. A moment of patience tells a holder from somebody who only asks who holds it."""
    for attempt in range(LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if attempt + 1 < LOCK_TRIES:
                time.sleep(LOCK_PAUSE)
        else:
            return True
    return False


def holder(directory: Path) -> int | None:
    """The process that holds the state directory now, or None. Raises StoreError when that cannot be told."""
    try:
        with (directory / LOCK_FILE).open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = file.read(20).strip()
                return int(text) if text.isdigit() else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {directory / LOCK_FILE}: {error.strerror}; run this as its owner") from None
    return None
