"""A zone of ``homing up`` from a master file, with names that follow addresses beside its records."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from homing.standins.internet import StandInInternet
from tests.app.running import HOME, MOVED, Daemon, House, internet, name, run, settings, the_line
from tests.waiting import until

MASTER = """$TTL 300
@ SOA ns1 admin {serial} 7200 900 86400 60
@ NS ns1
@ MX 10 mail
ns1 A 192.0.2.53
mail A 192.0.2.25
*.wild TXT hello
alias CNAME mail
sub NS ns.sub
ns.sub A 192.0.2.54
else DNAME example.net.
"""

ZONE = '\n[zones."home.test"]\nfile = "home.test.zone"\n'


@pytest.fixture(scope="module")
def world() -> Iterator[StandInInternet]:
    """A stand-in internet."""
    with internet() as made:
        yield made


def make(world: StandInInternet, folder: Path, *names: str, serial: int = 5, zone: str = ZONE) -> House:
    """A house with zone home.test from a file, and these names."""
    world.move(HOME)
    (folder / "home.test.zone").write_text(MASTER.format(serial=serial))
    return House(folder, settings(world) + zone + "".join(names))


def values(daemon: Daemon, fqdn: str, kind: str = "A") -> list[str]:
    """The records of an answer as text."""
    host, port = daemon.dns
    response = dns.query.udp(dns.message.make_query(fqdn, kind), host, timeout=3, port=port)
    return [rdata.to_text() for item in response.answer for rdata in item]


def serial(daemon: Daemon) -> int:
    """The serial of home.test."""
    return int(values(daemon, "home.test", "SOA")[0].split()[2])


def test_names_follow_beside_the_records_of_the_file(world: StandInInternet, tmp_path: Path) -> None:
    """The file's records are served as they are, its SOA's times too; the name beside them moves."""
    house = make(world, tmp_path, name("www.home.test", "zone"), serial=3_000_000_000)
    with house.up() as daemon:
        until(lambda: values(daemon, "www.home.test") == [str(HOME)], 10, "published")
        assert values(daemon, "mail.home.test") == ["192.0.2.25"]
        assert values(daemon, "home.test", "NS") == ["ns1.home.test."]
        assert values(daemon, "x.wild.home.test", "TXT") == ['"hello"']
        soa = values(daemon, "home.test", "SOA")[0].split()
        assert soa[:2] == ["ns1.home.test.", "admin.home.test."]
        assert soa[3:] == ["7200", "900", "86400", "60"]
        before = serial(daemon)
        assert before >= 3_000_000_000
        world.move(MOVED)
        until(lambda: values(daemon, "www.home.test") == [str(MOVED)], 15, "moved")
        assert serial(daemon) > before
        figures = json.loads(run("dns", "stats", "--json", "--state", str(house.state), home=tmp_path).stdout)
        assert figures["by_zone"]["home.test"] == figures["queries"]
        assert json.loads(daemon.get("/dns"))["serials"]["home.test"] == serial(daemon)


def test_sighup_reads_the_file_again(world: StandInInternet, tmp_path: Path) -> None:
    """The serial grows whatever the file says; a broken file keeps everything as it was and is told with its line."""
    house = make(world, tmp_path, name("www.home.test", "zone"))
    master = tmp_path / "home.test.zone"
    with house.up() as daemon:
        until(lambda: values(daemon, "www.home.test") == [str(HOME)], 10, "published")
        before = serial(daemon)
        assert before > 5
        master.write_text(MASTER.format(serial=5).replace("192.0.2.25", "192.0.2.26"))
        daemon.send(signal.SIGHUP)
        until(lambda: values(daemon, "mail.home.test") == ["192.0.2.26"], 10, "read again")
        assert (values(daemon, "www.home.test"), serial(daemon)) == ([str(HOME)], before + 1)
        master.write_text(MASTER.format(serial=6) + "mail A mail\n")
        daemon.send(signal.SIGHUP)
        until(lambda: f"{master}:12: A record" in daemon.log, 10, "told")
        assert (values(daemon, "mail.home.test"), serial(daemon)) == (["192.0.2.26"], before + 1)


@pytest.mark.parametrize(
    ("fqdn", "keys", "told"),
    [
        ("mail.home.test", {}, "mail.home.test has a fixed A in {file}:6"),
        ("alias.home.test", {"families": [6]}, "alias.home.test has a fixed CNAME in {file}:8"),
        ("sub.home.test", {}, "sub.home.test belongs to sub.home.test, delegated in {file}:9"),
        ("a.b.sub.home.test", {}, "a.b.sub.home.test belongs to sub.home.test, delegated in {file}:9"),
        ("a.else.home.test", {}, "a.else.home.test is below a DNAME, in {file}:11"),
    ],
)
def test_conflicts_name_both_places(
    world: StandInInternet, tmp_path: Path, fqdn: str, keys: dict[str, object], told: str
) -> None:
    """At check and at start, with status 2."""
    house = make(world, tmp_path, name("www.home.test", "zone"), name(fqdn, "zone", **keys))
    for words in (("check",), ("up",)):
        done = house.run(*words)
        assert done.returncode == 2
        line = the_line(done)
        assert f"{house.config}: names[1] ({fqdn}): " in line
        assert told.format(file=tmp_path / "home.test.zone") in line


@pytest.mark.parametrize(
    ("fqdn", "keys"), [("mail.home.test", {"families": [6]}), ("else.home.test", {}), ("new.wild.home.test", {})]
)
def test_what_does_not_collide_is_fine(
    world: StandInInternet, tmp_path: Path, fqdn: str, keys: dict[str, object]
) -> None:
    """Another type at the name, the owner of a DNAME, a name that a wildcard covered."""
    assert make(world, tmp_path, name(fqdn, "zone", **keys)).run("check").returncode == 0


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        (ZONE + 'email = "x@home.test"\n', "zones.home.test.email: does not go with a file"),
        (ZONE.replace("home.test.zone", "none.zone"), "zones.home.test.file: cannot read"),
        (ZONE.replace('"home.test"]', '"other.test"]'), "holds zone home.test."),
    ],
)
def test_a_file_that_does_not_fit_is_told(world: StandInInternet, tmp_path: Path, zone: str, told: str) -> None:
    """Keys that the file gives, a file that is not there, another zone's file."""
    done = make(world, tmp_path, zone=zone).run("check")
    assert done.returncode == 2
    assert told in done.stderr
