"""``homing status --watch``: the state on disk, shown anew whenever it changed.

On a terminal one picture that stays in place, drawn each second since times pass; elsewhere a block, or a line of JSON,
for each change.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from homing.app.report import console, essence, status
from homing.errors import StoreError
from homing.store import Store, holder
from homing.web.view import StateView

STATE = "state"
"""The store's key of the document that the daemon writes."""

LOOK = 0.5
"""Seconds between two looks at the disk."""

HOLDER_LOOK = 5.0
"""Seconds between two looks at who holds the state."""

_interrupted: list[bool] = []
"""Whether Ctrl-C was pressed."""

_ENDS = frozenset((b"q", b"Q", b"\x03", b"\x04"))


@dataclass(frozen=True, slots=True)
class Seen:
    """The state as the daemon wrote it: as it is, and decoded."""

    document: bytes
    view: StateView


def read(directory: Path) -> Seen:
    """The state on disk. Raises StoreError, also when there is none yet."""
    with Store(directory, readonly=True) as store:
        document = store.document(STATE)
    if document is None:
        raise StoreError(f"no state in {directory} yet; start the daemon with: homing up --state {directory}")
    return Seen(document[1], msgspec.json.decode(document[1], type=StateView))


def watch(directory: Path, *, as_json: bool, now: Callable[[], float] = time.time) -> None:
    """Show until ``q`` or Ctrl-C. Raises StoreError when there is nothing to show at first."""
    seen = read(directory)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _interrupt)
    _interrupted.clear()
    with contextlib.suppress(KeyboardInterrupt):
        if as_json or not sys.stdout.isatty():
            _follow(directory, seen, as_json=as_json, now=now)
        else:
            _live(directory, seen, now)


def _end(number: int, _frame: object) -> None:
    """End by an exception, so that the terminal is put back."""
    sys.exit(128 + number)


def _interrupt(_number: int, _frame: object) -> None:
    """Remember it, too: an exception that is raised while an object is being finalized is lost (PEP 442)."""
    _interrupted.append(True)
    raise KeyboardInterrupt


def _follow(directory: Path, seen: Seen, *, as_json: bool, now: Callable[[], float]) -> None:
    """A block for each change."""
    printer = console()
    shown: object = None
    while True:
        if essence(seen.view) != shown:
            shown = essence(seen.view)
            if as_json:
                sys.stdout.write(seen.document.decode() + "\n")
            else:
                printer.print(status(seen.view, now(), daemon_of(directory)))
                printer.print()
            sys.stdout.flush()
        time.sleep(LOOK)
        if _interrupted:
            return
        with contextlib.suppress(StoreError):  # the disk may be full, or a restore under way; the last state stands
            seen = read(directory)


def _live(directory: Path, seen: Seen, now: Callable[[], float]) -> None:
    """One picture on the terminal."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    screen = console()
    asked, daemon, problem = float("-inf"), None, ""
    with _keys() as key, Live(console=screen, screen=True, auto_refresh=False) as live:
        while True:
            if time.monotonic() - asked > HOLDER_LOOK:
                asked, daemon = time.monotonic(), daemon_of(directory)
            foot = Text(problem or "q ends", "red" if problem else "dim")
            live.update(Group(status(seen.view, now(), daemon), "", foot), refresh=True)
            if _interrupted or key(LOOK):
                return
            try:
                seen, problem = read(directory), ""
            except StoreError as error:
                problem = f"the state of before, since {error}"


def daemon_of(directory: Path) -> int | None:
    """The process that holds the state; None also where that cannot be told."""
    try:
        return holder(directory)
    except StoreError:
        return None


@contextlib.contextmanager
def _keys() -> Generator[Callable[[float], bool]]:
    """A wait for so many seconds that tells whether a key that ends was pressed; keys come one by one meanwhile."""
    import termios
    import tty

    number = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1

    def wait(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if number < 0:
                time.sleep(left)
            elif select.select([number], [], [], left)[0]:
                pressed = os.read(number, 64)
                if not pressed or any(pressed[at : at + 1] in _ENDS for at in range(len(pressed))):
                    return True
        return False

    if number < 0:
        yield wait
        return
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield wait
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
