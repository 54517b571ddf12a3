"""`homing status` and `homing status --watch`: on a terminal, in a pipe, as JSON."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec import structs
from rich.console import Console

from homing.app.report import essence, status
from homing.app.watching import STATE, watch
from homing.store import Store
from homing.web.view import (
    FamilyView,
    LockoutView,
    NameView,
    ProviderView,
    StateView,
    VoteView,
    ZoneView,
)
from tests.app.running import HOMING, environment, run
from tests.waiting import patience, until

NOW = time.time()
VOTES = tuple(VoteView(f"stun{n}.example", f"op{n}", "stun", "203.0.113.10", "", 0.1, NOW) for n in range(3))
LIAR = VoteView("liar.example", "Liar", "http", "198.51.100.66", "", 0.1, NOW)
GOOD = NameView(
    "www.example.org", "gandi", "wan", 300, ("203.0.113.10",), ("203.0.113.10",), "in-sync", "", NOW, NOW + 3 * 86400
)
BAD = NameView(
    "a-rather-long-name-of-a-host.home.example.de", "strato", "wan", 60, ("203.0.113.10", "2001:db8::7"),
    ("203.0.113.9",), "locked", "provider strato: badauth for it; check the password in file strato.password \x1b[2J",
    NOW, NOW + 9,
)  # fmt: skip
VIEW = StateView(
    "0.1.0", "kitchen", "homing.toml", NOW - 99, NOW,
    addresses=(
        FamilyView(4, "203.0.113.10", NOW - 9999, NOW, "agreed", "3 operators agree", NOW, 0.2, (*VOTES, LIAR)),
        FamilyView(6, "", 0.0, 0.0, "disputed", "two networks tell two addresses", NOW, 0.2, ()),
    ),
    names=(GOOD, BAD),
    providers=(
        ProviderView("gandi", "gandi", True, ()),
        ProviderView("strato", "strato", False, (LockoutView("", "badauth", "why", NOW, 0.0),)),
    ),
    zones=(ZoneView("home.arpa.", 2026, 12345),),
    trouble=("the disk is full",),
)  # fmt: skip
RIGHT = structs.replace(VIEW, names=(GOOD,), trouble=())


def save(state: Path, view: StateView) -> None:
    """Write the state as the daemon does."""
    with Store(state) as store:
        store.save_document(STATE, msgspec.json.encode(view), view.at)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with two names, of which one is wrong."""
    save(tmp_path / "state", VIEW)
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("view", "colour"),
    [
        (structs.replace(RIGHT, addresses=VIEW.addresses[:1]), "32"),
        (structs.replace(RIGHT, addresses=VIEW.addresses[:1], names=(structs.replace(GOOD, state="pending"),)), "33"),
        (RIGHT, "31"),
        (structs.replace(VIEW, addresses=(), trouble=()), "31"),
    ],
    ids=("all is right", "a name waits", "an address is disputed", "a name failed"),
)
def test_the_first_line_has_the_colour_of_what_matters_most(view: StateView, colour: str) -> None:
    """Green when all is right, yellow when time will do, red when a person must act; as on the page."""
    terminal = Console(file=StringIO(), force_terminal=True, width=120)
    terminal.print(status(view, NOW, None))
    assert cast(StringIO, terminal.file).getvalue().startswith(f"\x1b[1;{colour}m")


def test_the_status_tells_all_that_the_page_tells(state: Path) -> None:
    """Addresses with votes and who disagrees, names, what is wanted, pauses, zones, trouble; no colour in a pipe."""
    done = run("status", "--state", str(state), home=state.parent)
    assert done.returncode == 1
    text = done.stdout
    assert "1 of 2 names right, observers disagree about the IPv6 address" in text
    assert re.search(r"IPv4 +203\.0\.113\.10 +agreed .* 3 of 4", text)
    assert "liar.example (Liar) says 198.51.100.66" in text
    assert "IPv6: two networks tell two addresses" in text
    assert re.search(r"www\.example\.org +203\.0\.113\.10 +in-sync +in 3 d +gandi", text)
    assert "2001:db8::7" in text
    assert "badauth, until you act" in text
    assert re.search(r"home\.arpa\. +2026 +12,345", text)
    assert "trouble: the disk is full" in text
    assert "\x1b" not in text
    assert "check the password in file strato.password" in text
    assert "no daemon runs" in text
    save(state, RIGHT)
    assert run("status", "--state", str(state), home=state.parent).returncode == 0


@pytest.mark.parametrize("columns", [76, 80, 200])
def test_tables_fit_the_width_and_lose_nothing(state: Path, columns: int) -> None:
    """Long names go on in the next line of their cell."""
    done = run("status", "--state", str(state), home=state.parent, COLUMNS=str(columns))
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    whole = re.sub(r"\s", "", done.stdout)
    for text in ("203.0.113.10", "203.0.113.9", "agreed", "locked", "strato"):
        assert text in whole
    if columns == 200:
        assert BAD.fqdn in done.stdout


def test_times_and_votes_are_no_change() -> None:
    """Each round of observers writes the state anew; a person calls that no change."""
    later = structs.replace(
        VIEW,
        at=NOW + 60,
        names=tuple(structs.replace(name, next_turn=NOW + 999) for name in VIEW.names),
        addresses=tuple(structs.replace(item, votes=(), at=NOW + 60) for item in VIEW.addresses),
    )
    assert essence(later) == essence(VIEW)
    assert essence(RIGHT) != essence(VIEW)


@contextlib.contextmanager
def watching(state: Path, *words: str) -> Iterator[Callable[[], str]]:
    """`homing status --watch` in a pipe; gives what it has printed so far."""
    out = state.parent / "out"
    with out.open("wb") as file:
        process = subprocess.Popen(
            [*HOMING, "status", "--watch", "--state", str(state), *words],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment(state.parent),
        )  # fmt: skip
    try:
        yield out.read_text
    finally:
        process.terminate()
        assert process.wait(10 * patience()) == 143


def test_in_a_pipe_each_change_is_a_block(state: Path) -> None:
    """What is written without a change is not told again."""
    with watching(state) as told:
        until(lambda: "1 of 2 names right" in told(), 20)
        save(state, structs.replace(VIEW, at=NOW + 1))
        save(state, RIGHT)
        until(lambda: "1 of 1 names right" in told(), 20)
        assert told().count("names right") == 2
        assert "\x1b" not in told()


def test_as_json_each_change_is_a_line(state: Path) -> None:
    """One document a line, as `homing status --json` tells it."""
    with watching(state, "--json") as told:
        until(lambda: told().endswith("\n"), 20)
        save(state, RIGHT)
        until(lambda: told().count("\n") == 2, 20)
        first, second = map(json.loads, told().splitlines())
    assert [len(one["names"]) for one in (first, second)] == [2, 1]


class Terminal:
    """A terminal of 80 columns that a command runs on."""

    def __init__(self, state: Path, *words: str) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.text = ""
        # The controlling terminal of a session of its own, so that Ctrl-C is a signal as on a desk.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *HOMING, "status", "--watch", "--state", str(state), *words],
            stdin=self.slave, stdout=self.slave, stderr=self.slave,
            env=environment(state.parent, TERM="xterm-256color"),
        )  # fmt: skip

    def shows(self, *words: str, seconds: float = 20) -> bool:
        """Whether all these words come within some seconds, in one piece or more; colours are left out."""
        end = time.monotonic() + seconds * patience()
        self.text = ""
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 65536).decode("utf-8", "replace")
            plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.text)
            if all(each in plain for each in words):
                return True
        return False

    def press(self, key: bytes) -> int:
        """Press a key and wait for the end; its exit status."""
        os.write(self.master, key)
        return self.process.wait(10 * patience())

    def settings(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self.slave)

    def close(self) -> None:
        """End what still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_on_a_terminal_the_picture_follows_until_a_key_ends_it(state: Path, key: bytes) -> None:
    """It changes in place, within 80 columns; afterwards the terminal is as it was, and the exit status is 0."""
    terminal = Terminal(state)
    try:
        assert terminal.shows("1 of 2 names right", "q ends"), terminal.text
        assert "\x1b[2J\x1b" not in terminal.text, "what a provider said reaches the terminal as it is"
        save(state, RIGHT)
        assert terminal.shows("1 of 1 names right"), terminal.text
        frames = re.split(r"\x1b\[[0-9;]*H|[\r\n]+", terminal.text)
        assert max(len(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line).rstrip()) for line in frames) <= 80
        assert terminal.press(key) == 0
        assert terminal.settings() == terminal.before
    finally:
        terminal.close()


def test_an_interrupt_that_got_lost_ends_it_all_the_same(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that comes while an object is being finalized."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) < 3
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("homing.app.watching.time.sleep", sleep)
    try:
        watch(state, as_json=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_without_a_state_it_says_how_to_get_one(tmp_path: Path) -> None:
    """As without --watch."""
    done = run("status", "--watch", "--state", str(tmp_path / "none"), home=tmp_path)
    assert done.returncode == 1
    assert "start the daemon" in done.stderr
