"""What the doctor makes of what it saw: pure judgements, and how findings are told."""

from __future__ import annotations

import asyncio
import errno
import io
import stat
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from homing.app.doctor import clock, ports, wan
from homing.app.doctor.configuration import configuration, secrets, state
from homing.app.doctor.finding import Finding, Level
from homing.app.doctor.logins import logins
from homing.app.doctor.ports import Owner, Place
from homing.app.doctor.run import Check, examine
from homing.app.doctor.show import Printer, summary
from homing.effects.printable import printable
from homing.model.address import Family
from homing.model.observation import Outcome, Verdict
from tests.app.doctor.cases import case_of, levels, one

OK, NOTE, WARNING, ERROR, SKIPPED = Level.OK, Level.NOTE, Level.WARNING, Level.ERROR, Level.SKIPPED


@pytest.mark.parametrize(
    ("offsets", "kept", "failures", "level", "words"),
    [
        ([0.4, -0.2, 0.1], True, [], OK, "right within 1 s, as 3 services"),
        ([0.4], None, [], OK, "as 1 service tell"),
        ([0.4], False, [], NOTE, "no time service keeps it"),
        ([42.0, 41.0, 0.0], True, [], WARNING, "41 s behind"),
        ([-299.0], True, [], WARNING, "299 s ahead"),
        ([-301.0], True, [], ERROR, "TSIG signatures and certificates are refused"),
        ([0.0, 0.1, 4000.0], True, [], OK, "right"),
        ([], True, ["no answer"], OK, "nobody was there to compare with"),
        ([], False, ["no answer"], SKIPPED, "not known"),
        ([], None, ["x: certificate is not yet valid"], ERROR, "probably far off"),
    ],
)
def test_the_clock_is_judged_by_the_middle_of_others(
    offsets: list[float], kept: bool | None, failures: list[str], level: Level, words: str
) -> None:
    """One wrong clock among three does no harm; 300 s are what TSIG allows; what nobody tells is not claimed."""
    finding = clock.judge(offsets, kept, failures)
    assert finding.level is level
    assert words in finding.text
    assert bool(finding.remedy) == (level not in (OK, SKIPPED))


def test_the_kernel_tells_whether_a_time_service_keeps_the_clock() -> None:
    """Reading adjtimex(2) needs no right and changes nothing."""
    assert clock.synchronized() in (True, False, None)


def verdict(family: Family, outcome: Outcome) -> Verdict:
    address = IPv4Address("203.0.113.10") if outcome is Outcome.AGREED else None
    return Verdict(family, outcome, address, "the reason", 0.0, 0.1)


@pytest.mark.parametrize(
    ("outcomes", "routes", "expected"),
    [
        ((Outcome.AGREED, Outcome.UNKNOWN), {4}, [OK, NOTE]),
        ((Outcome.AGREED, Outcome.UNKNOWN), {4, 6}, [OK, WARNING]),
        ((Outcome.DISPUTED, Outcome.AGREED), {4, 6}, [ERROR, OK]),
        ((Outcome.UNKNOWN, Outcome.UNKNOWN), {4}, [ERROR, ERROR]),
    ],
)
def test_the_wan_address_is_judged_by_family(
    outcomes: Sequence[Outcome], routes: set[int], expected: list[Level]
) -> None:
    """A family that is not here is no fault; a dispute is one, and so is an internet that nobody reaches."""
    verdicts = {family: verdict(family, outcome) for family, outcome in zip(Family, outcomes, strict=True)}
    findings = list(wan.judge(verdicts, {Family(number) for number in routes}, set(Family)))
    assert levels(findings) == expected
    assert all(finding.remedy for finding in findings if finding.level in (WARNING, ERROR))


def test_an_address_that_no_name_follows_is_no_fault() -> None:
    """Zones of fixed names need no WAN address."""
    verdicts = {Family.V4: verdict(Family.V4, Outcome.UNKNOWN), Family.V6: verdict(Family.V6, Outcome.DISPUTED)}
    assert levels(list(wan.judge(verdicts, set(Family), set()))) == [NOTE, NOTE]


async def test_a_state_that_cannot_be_read_is_told_and_no_login_tried(tmp_path: Path) -> None:
    """A lockout may lie in it. Where there is none yet, that is all there is to say."""
    text = """
[providers.strato]
server = "http://127.0.0.1:9/nic/update"
password_file = "password"
[[names]]
fqdn = "www.example.de"
provider = "strato"
"""
    (tmp_path / "password").write_text("hidden-4711")
    async with case_of(tmp_path, text) as case:
        assert "no daemon has run" in one(await state(case), NOTE).text
        assert "cannot connect" in one(await logins(case), WARNING).text
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "homing.db").write_bytes(b"no database at all" * 100)
    async with case_of(tmp_path, text) as case:
        assert "as the daemon's user" in one(await state(case), WARNING).remedy
        assert "not tried: the state cannot be read" in one(await logins(case), SKIPPED).text


DNS = Place("DNS", "UDP", "127.0.0.53", 53)


@pytest.mark.parametrize(
    ("number", "owners", "daemon", "level", "text", "remedy"),
    [
        (
            errno.EADDRINUSE,
            [Owner(7, "systemd-resolve", 1)],
            None,
            ERROR,
            "systemd-resolve (process 7)",
            "StubListener",
        ),
        (errno.EADDRINUSE, [Owner(7, "dnsmasq", 1)], None, ERROR, "dnsmasq", "bind-interfaces"),
        (errno.EADDRINUSE, [Owner(7, "named", 1)], None, ERROR, "named", "stop that program"),
        (errno.EADDRINUSE, [Owner()], None, ERROR, "another user's process", "sudo ss"),
        (errno.EADDRINUSE, [Owner()], 9, NOTE, "perhaps by this state's Homing (9)", "sudo ss"),
        (errno.EACCES, [], None, ERROR, "may not listen", "CAP_NET_BIND_SERVICE"),
        (errno.EADDRNOTAVAIL, [], None, ERROR, "does not have that address", "ip address"),
    ],
)
def test_a_port_that_cannot_be_had_is_told_with_who_has_it(
    number: int, owners: list[Owner], daemon: int | None, level: Level, text: str, remedy: str
) -> None:
    """Each reason has its own remedy."""
    finding = ports.judge(DNS, number, owners, daemon)
    assert finding is not None
    assert finding.level is level
    assert text in finding.text
    assert remedy in finding.remedy


@pytest.mark.parametrize("owner", [Owner(9, "homing", 1), Owner(11, "python3", 9)])
def test_the_own_daemon_is_in_nobodys_way(owner: Owner) -> None:
    """Neither the process that holds the state nor one that it started."""
    assert ports.judge(DNS, errno.EADDRINUSE, [owner], 9) is None


def test_tables_of_sockets_are_read_as_the_kernel_writes_them() -> None:
    """UDP sockets count in any state, of TCP those that listen; broken lines do no harm."""
    table = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
        "   0: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 4711 2",
        "   1: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4712 2",
        "   2: 0100007F:0036 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4713 2",
        "   3: broken",
    ]
    assert list(ports.listening_inodes(table, 53, "UDP")) == ["4711", "4712"]
    assert list(ports.listening_inodes(table, 53, "TCP")) == ["4712"]


async def test_a_secret_that_everybody_may_read_is_told(tmp_path: Path) -> None:
    """With the command that mends it; the same file closed to strangers is fine."""
    text = '[providers.gandi]\ntoken_file = "token"\n'
    secret = tmp_path / "token"
    secret.write_text("hidden-4711")
    secret.chmod(0o644)
    async with case_of(tmp_path, text) as case:
        found = one(await secrets(case), WARNING)
        assert (found.text, found.remedy) == (f"everybody may read {secret}", f"chmod o= {secret}")
        secret.chmod(0o640)
        assert levels(await secrets(case)) == [OK]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o640


async def test_a_wrong_configuration_is_told_with_its_remedy(tmp_path: Path) -> None:
    """What `homing check` says, one line an error."""
    async with case_of(tmp_path, '[providers.gandi]\ntoken_file = "none"\n') as case:
        found = one(await configuration(case), ERROR)
    assert "cannot read" in found.text
    assert found.remedy == "write the secret into that file"


def test_what_strangers_write_does_not_speak_to_the_terminal() -> None:
    """Escapes are written out, and long texts end."""
    finding = Finding("zone\x1b", ERROR, "\x1b[2J" + "x" * 1000, "a\rb\nc")
    assert "\x1b" not in finding.text + finding.remedy
    assert len(finding.text) < 500
    assert finding.remedy == "a\nb\nc"
    assert printable("grün") == "grün"


async def test_findings_come_in_order_whatever_takes_long() -> None:
    """The slow first check is told first; one that hangs and one with a fault of ours take no other down."""

    async def slow() -> list[Finding]:
        await asyncio.sleep(0.05)
        return [Finding("slow", OK, "there")]

    async def quick() -> list[Finding]:
        return [Finding("quick", OK, "there")]

    async def hangs() -> list[Finding]:
        await asyncio.sleep(3600)
        return []

    async def broken() -> list[Finding]:
        raise KeyError("secret-4711")

    told: list[Finding] = []
    checks = [Check("slow", slow), Check("broken", broken), Check("hangs", hangs), Check("quick", quick)]
    found = await examine(checks, told.append, patience=0.2)
    assert found == told
    assert [finding.check for finding in found] == ["slow", "broken", "hangs", "quick"]
    assert levels(found) == [OK, ERROR, SKIPPED, OK]
    assert "secret-4711" not in str(found)


class Terminal(io.StringIO):
    """A terminal that can show signs, or one that cannot."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


def test_signs_are_for_terminals_that_can_show_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere there are words, and without a terminal one line each with the remedy in it."""
    finding = Finding("clock", ERROR, "far off", "set it")
    monkeypatch.setattr(sys, "stdout", Terminal("UTF-8"))
    assert "✗" in Printer().line(finding)
    assert "→ set it" in Printer().line(finding)
    monkeypatch.setattr(sys, "stdout", Terminal("latin-1"))
    assert Printer().line(finding).isascii()
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert Printer().line(finding) == "error    clock             far off; set it"


def test_the_summary_counts_the_worst_first() -> None:
    """And says so when nothing is wrong."""
    fine, bad = Finding("a", OK, "x"), Finding("b", ERROR, "x")
    assert summary([fine, bad, bad, Finding("c", SKIPPED, "x")]) == "2 errors, 1 fine, 1 skipped"
    assert summary([fine]) == "nothing is wrong: 1 fine"
