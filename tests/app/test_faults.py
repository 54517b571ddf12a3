"""What goes wrong around the daemon: providers, disk, a signal at a bad moment. It is told, and the rest goes on."""

from __future__ import annotations

import html
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homing.model.address import Family
from homing.model.name import parse_name
from homing.standins.faults import Fault, Kind, answer
from homing.standins.internet import StandInInternet
from homing.standins.listen import Listen
from homing.standins.strato import StratoServer
from homing.standins.tls import Authority
from homing.store import Store, holder
from tests.app.running import (
    GANDI,
    HOME,
    HOMING,
    MOVED,
    OWN,
    PASSWORD,
    THREE,
    TOKEN,
    WWW,
    Daemon,
    House,
    environment,
    internet,
    name,
    run,
    serving,
    settings,
    the_line,
)
from tests.waiting import until


@pytest.fixture
def world() -> Iterator[StandInInternet]:
    """A stand-in internet that tells HOME."""
    with internet() as made:
        yield made


# Providers

CODES = {
    "good": "in-sync",
    "nochg": "in-sync",
    "good 203.0.113.10": "in-sync",
    "good 127.0.0.1": "locked",
    "badauth": "locked",
    "badagent": "locked",
    "badsys": "locked",
    "notfqdn": "locked",
    "nohost": "locked",
    "numhost": "locked",
    "abuse": "locked",
    "!donator": "locked",
    "!yours": "locked",
    "911": "locked",
    "dnserr": "locked",
    "goodness": "failed",
    "<html>good</html>": "failed",
    "": "failed",
}
"""Every code of the protocol, and answers that are none, with the state they lead to."""

TIMED = ("911", "dnserr")


def test_every_code_of_dyndns2_leads_to_its_state(tmp_path: Path) -> None:
    """Each host its own account and answer: page and status say the same, nobody is asked twice, others go on (U9)."""
    hosts = {f"host{index}.example.de": code for index, code in enumerate(CODES)}
    with internet(*hosts) as world:
        for host, code in hosts.items():
            world.strato.faults.add(answer(code), key=host, times=None)
        names = "".join(name(host, "strato") for host in hosts) + name(GANDI, "gandi") + name(OWN, "zone")
        house = House(tmp_path, settings(world) + names)
        with house.up() as daemon:
            until(
                lambda: "pending" not in house.states().values() and daemon.is_in_sync(GANDI, OWN), 30, "all were asked"
            )
            status = house.data("status")
            found = {item["fqdn"]: item for item in status["names"]}
            assert {code: found[host]["state"] for host, code in hosts.items()} == CODES
            assert house.run("status").returncode == 1
            (strato,) = [item for item in status["providers"] if item["name"] == "strato"]
            pauses = {item["reason"].partition(" for host")[0]: item for item in strato["lockouts"]}
            for host, code in hosts.items():
                assert f" {CODES[code]} " in daemon.row(host)
                if CODES[code] == "locked":
                    told = found[host]["detail"]
                    word = "badagent (good 127.0.0.1)" if code == "good 127.0.0.1" else code
                    assert told.startswith(f"provider strato: {word} for {host}; ")
                    assert told in html.unescape(daemon.row(host))
                    pause = pauses[f"provider strato: {word}"]
                    assert (pause["until"] - pause["since"] == 1800) if code in TIMED else pause["until"] == 0
            daemon.send(signal.SIGHUP)
            until(lambda: "taken over" in daemon.log, 5, "another round and turn")
            until(lambda: " locked " in daemon.row("host4.example.de"), 5, "still locked")
            asked = [request.hosts[0] for request in world.strato.log]
            assert all(asked.count(host) == 1 for host, code in hosts.items() if CODES[code] != "failed")
            assert_no_secret(house, daemon)


def test_a_provider_that_breaks_off_is_told_in_one_sentence(tmp_path: Path) -> None:
    """Hanging, resetting, an error of its own, an expired or unknown certificate: failed, told, tried again later."""
    hosts = {
        "hang.example.de": "127.0.0.1 did not answer within 0.5 s",
        "reset.example.de": "127.0.0.1 closed the connection without an answer",
        "error.example.de": "HTTP 503",
        "flood.example.de": "127.0.0.1 sent more than 16384 bytes",
        "turned.example.de": "the service redirects elsewhere",
        "expired.example.de": "no trusted TLS connection to 127.0.0.1: certificate has expired",
        "stranger.example.de": "no trusted TLS connection to 127.0.0.1: unable to get local issuer certificate",
    }
    authority = Authority(tmp_path)
    expired = Listen(tls=authority.issue(["127.0.0.1"], expired=True).context())
    fine = Listen(tls=authority.issue(["127.0.0.1"]).context())
    tls = StratoServer({}, {}, listens=(expired, fine))
    with internet(*hosts, GANDI) as world, serving(tls):
        for host, fault in {
            "hang.example.de": Fault(Kind.HANG),
            "reset.example.de": Fault(Kind.RESET),
            "error.example.de": answer("out of order", 503),
            "flood.example.de": Fault(Kind.FLOOD, size=2**20),
            "turned.example.de": Fault(Kind.REDIRECT, body="https://www.example.org/"),
        }.items():
            world.strato.faults.add(fault, key=host, times=None)
        text = settings(world).replace("timeout = 5\n\n[providers.gandi]", "timeout = 0.5\n\n[providers.gandi]")
        for key, endpoint, trust in (
            ("expired", tls.endpoints[0], f'ca_file = "{authority.ca_file}"'),
            ("stranger", tls.endpoints[1], ""),
        ):
            text += f'\n[providers.{key}]\ntype = "strato"\nserver = "{endpoint.url("/nic/update")}"\n'
            text += f'password_file = "strato.password"\ncooldown = 1\n{trust}\n'
        for host in hosts:
            first = host.partition(".")[0]
            text += name(host, first if first in ("expired", "stranger") else "strato")
        house = House(tmp_path, text + name(GANDI, "gandi") + name(OWN, "zone"))
        with house.up() as daemon:
            until(lambda: all(" failed " in daemon.row(host) for host in hosts), 15, "all told")
            until(lambda: daemon.is_in_sync(GANDI, OWN), 5, "the others go on")
            for host, sentence in hosts.items():
                row = html.unescape(daemon.row(host))
                assert sentence in row
                provider = host.partition(".")[0] if "TLS" in sentence else "strato"
                assert f"provider {provider}: " in row
                assert row.count(host) <= 2
            assert not tls.log, "a password went to a server that nobody vouches for"
            assert_no_secret(house, daemon)


def test_a_host_within_its_cooldown_is_held_with_the_reason(world: StandInInternet, tmp_path: Path) -> None:
    """A7: a new address so soon after the last request waits, is told so, and goes out when the time has come."""
    house = House(tmp_path, settings(world).replace("cooldown = 1\n", "cooldown = 3\n") + name(WWW, "strato"))
    with house.up() as daemon:
        until(lambda: daemon.is_in_sync(WWW), 10, "published")
        world.move(MOVED)
        until(lambda: " held strato is asked for one host at most every 3 s " in daemon.row(WWW), 4, "held")
        until(lambda: daemon.is_in_sync(WWW) and world.strato.published[WWW] == (MOVED,), 8, "published in time")
    first, second = world.strato.log
    assert 2.9 < second.at - first.at < 5


def test_a_pause_ends_by_hand(world: StandInInternet, tmp_path: Path) -> None:
    """``homing unlock`` beside the daemon: told on both sides, and the name is published at once."""
    world.strato.faults.add(answer("nohost"))
    house = House(tmp_path, settings(world) + name(WWW, "strato"))
    with house.up() as daemon:
        until(lambda: " locked " in daemon.row(WWW), 10, "locked")
        done = house.run("unlock", "strato", "other.example.de")
        assert done.returncode == 1
        assert the_line(done) == "homing: strato has no pause for other.example.de; see: homing status"
        done = house.run("unlock", "strato", WWW)
        assert (done.returncode, done.stdout) == (0, f"strato: nohost no longer holds {WWW} back\n")
        until(lambda: daemon.is_in_sync(WWW), 10, "published")
    assert "recovered" in [item["kind"] for item in house.data("history")]


def test_a_liar_moves_no_name(world: StandInInternet, tmp_path: Path) -> None:
    """U5, law 1: one lying operator is outvoted; half against half is disputed, told, and changes nothing."""
    house = House(tmp_path, settings(world, observers=2) + THREE)
    with house.up() as daemon:
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "published")
        for stun in world.stun:
            stun.wan = lambda _: MOVED
        until(lambda: "operators disagree" in daemon.get(), 10, "disputed")
        assert daemon.answers(OWN) == {str(HOME)}
        assert world.strato.published[WWW] == (HOME,)
        assert daemon.metric('homing_wan_verdict{family="IPv4",outcome="disputed"}') == 1
        for http in world.http:
            http.wan = lambda _: MOVED
        daemon.send(signal.SIGHUP)
        until(lambda: daemon.answers(OWN) == {str(MOVED)}, 10, "agreed again")


def assert_no_secret(house: House, daemon: Daemon) -> None:
    """Law 3: nothing that people see or that is kept holds a secret."""
    told = daemon.log + daemon.told + daemon.get() + daemon.get("/metrics")
    told += house.run("status").stdout + house.run("history", "-n", "1000").stdout
    for file in house.state.glob("homing.db*"):
        told += file.read_bytes().decode("latin-1")
    for secret in (PASSWORD, TOKEN):
        assert secret not in told


# Signals


def test_a_reload_that_comes_while_it_starts_does_not_end_it(world: StandInInternet, tmp_path: Path) -> None:
    """``homing unlock`` and service managers may send SIGHUP as soon as the process is known."""
    house = House(tmp_path, settings(world) + name(OWN, "zone"))
    with house.up(at_once=True) as daemon:
        until(lambda: holder(house.state) == daemon.process.pid, 10, "the process holds the state")
        daemon.send(signal.SIGHUP)
        daemon.wait_until_up()
        until(lambda: daemon.answers(OWN), 10, "published")


def test_a_reload_hears_the_answer_that_is_under_way(world: StandInInternet, tmp_path: Path) -> None:
    """U7: an ``abuse`` that takes its time is not lost, which would mean to ask again."""
    world.strato.faults.add(Fault(Kind.DRIP, body="abuse", seconds=0.36))
    house = House(tmp_path, settings(world) + name(WWW, "strato"))
    with house.up() as daemon:
        until(lambda: world.strato.log, 10, "the request")
        daemon.send(signal.SIGHUP)
        until(lambda: "taken over" in daemon.log, 5, "taken over")
        until(lambda: re.search(" locked | in-sync ", daemon.row(WWW)), 10, "a result")
    assert [request.code for request in world.strato.log] == ["abuse"]


def test_a_reload_tells_what_needs_a_restart(world: StandInInternet, tmp_path: Path) -> None:
    """The first zone is served at once; how the DNS server answers stays, and that is said."""
    text = settings(world)
    house = House(tmp_path, text.replace('[zones."home.arpa"]', ""))
    with house.up() as daemon:
        house.write(text + name(OWN, "zone"))
        daemon.send(signal.SIGHUP)
        until(lambda: daemon.is_in_sync(OWN), 10, "taken over")
        assert "restart" not in daemon.log
        (listen,) = house.listens()
        assert listen.startswith("127.0.0.1:")
        house.write(text + '[dns]\nnsid = "home"\n' + name(OWN, "zone"))
        daemon.send(signal.SIGHUP)
        until(lambda: "count after a restart" in daemon.log, 10, "told")


def test_unlock_beside_apply_does_not_end_apply(tmp_path: Path) -> None:
    """The one that holds the state may be a command that takes one turn: it takes it to its end."""
    other = "other.example.de"
    with internet(WWW, other) as world:
        house = House(tmp_path, settings(world) + name(other, "strato"))
        world.strato.faults.add(answer("nohost"), key=other)
        assert house.run("apply").returncode == 1
        house.write(settings(world) + name(WWW, "strato"))
        world.strato.faults.add(Fault(Kind.DRIP, body="good", seconds=0.2), key=WWW)
        with house.starting("apply") as applying:
            until(lambda: len(world.strato.log) == 2, 10, "the request")
            assert house.run("unlock", "strato").returncode == 0
            assert applying.wait(10) == 0
    assert house.data("history")[0]["subject"] == f"{WWW} @ strato"


FAULTY = """
from homing.turn.reconcile import Reconciler
want = Reconciler.want
def broken(self, view):
    if self.provider.name == "strato":
        raise RuntimeError("the roof is open: " + "open-sesame-4711")
    return want(self, view)
Reconciler.want = broken
from homing.app.cli import main
main()
"""


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_fault_of_homing_itself_stops_one_part_only(world: StandInInternet, tmp_path: Path, debug: str) -> None:
    """It is told by kind and place, in log, metric and history; a traceback only where HOMING_DEBUG asks for one."""
    house = House(tmp_path, settings(world) + THREE)
    words = house.words("up", "--dns", "127.0.0.1:0", "--web", "127.0.0.1:0")[len(HOMING) :]
    argv = [sys.executable, "-c", FAULTY, *words]
    with Daemon(argv, tmp_path, environment(tmp_path, HOMING_DEBUG=debug)) as daemon:
        until(lambda: daemon.is_in_sync(GANDI, OWN), 10, "the others go on")
        until(lambda: "internal fault, please report it" in daemon.log, 5, "told")
        assert "RuntimeError at <string>:6" in daemon.log
        assert daemon.metric('homing_internal_faults_total{part="turns of strato"}') >= 1
        assert ("Traceback" in daemon.log) == bool(debug)
        if not debug:
            assert_no_secret(house, daemon)
    assert "fault" in [item["kind"] for item in house.data("history")]


# Disk


def private_mount(options: str, folder: Path) -> list[str]:
    """A command that runs another one with a tmpfs of its own at ``folder``; skips where that is forbidden."""
    flags = "-m" if os.geteuid() == 0 else "-rm"
    script = f'mount -t tmpfs -o {options} tmpfs "$0" && exec "$@"'
    folder.mkdir()
    argv = ["unshare", flags, "sh", "-c", script, str(folder)]
    try:
        tried = subprocess.run([*argv, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare (util-linux)")
    if tried.returncode:
        pytest.skip(f"mount namespaces are forbidden here: {tried.stderr.strip()[:200]}")
    return argv


@pytest.mark.lab
def test_a_full_disk_stops_no_name(world: StandInInternet, tmp_path: Path) -> None:
    """Names follow; page, log and metric tell it; when there is room again, all is kept as before."""
    house = House(tmp_path, settings(world) + THREE)
    with house.up(within=private_mount("size=1m", house.state)) as daemon:
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "published")
        seen = Path(f"/proc/{daemon.process.pid}/root{house.state}")
        fill(seen / "filler")
        world.move(MOVED)
        until(lambda: daemon.answers(OWN) == {str(MOVED)}, 10, "the own zone follows")
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "all follow")
        assert world.strato.published[WWW] == (MOVED,)
        assert world.gandi.values("example.org", "www", "A") == (str(MOVED),)
        trouble = f"the disk of state directory {house.state} is full; free some space, Homing goes on by itself"
        assert trouble in html.unescape(daemon.get())
        assert daemon.metric("homing_store_errors_total") > 0
        (line,) = [line for line in daemon.log.splitlines() if "state is kept in memory only" in line]
        assert trouble in line
        (seen / "filler").unlink()
        world.move(HOME)
        until(lambda: daemon.answers(OWN) == {str(HOME)}, 10, "the own zone follows again")
        until(lambda: "Trouble:" not in daemon.get(), 10, "the trouble is over")
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "all follow again")
        errors = daemon.metric("homing_store_errors_total")
        daemon.send(signal.SIGHUP)
        until(lambda: "taken over" in daemon.log, 5, "reloaded")
        assert daemon.metric("homing_store_errors_total") == errors
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "a turn after it")
        shutil.copytree(seen, tmp_path / "kept", ignore=shutil.ignore_patterns("lock", "*.sock"))
    status = run("status", "--state", str(tmp_path / "kept"), home=tmp_path)
    assert status.returncode == 0
    assert re.search(rf"^{re.escape(WWW)} +{HOME} +in-sync ", status.stdout, re.MULTILINE), status.stdout
    assert "trouble" not in status.stdout


@pytest.mark.lab
def test_a_lockout_earned_on_a_full_disk_is_kept_once_there_is_room(world: StandInInternet, tmp_path: Path) -> None:
    """Law 8: what could not be written is written with the next that can, and outlives kill -9."""
    house = House(tmp_path, settings(world) + THREE)
    kept = tmp_path / "kept"
    with house.up(within=private_mount("size=1m", house.state)) as daemon:
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "published")
        seen = Path(f"/proc/{daemon.process.pid}/root{house.state}")
        fill(seen / "filler")
        world.strato.faults.add(answer("abuse"), times=None)
        world.move(MOVED)
        until(lambda: " locked " in daemon.row(WWW) and daemon.is_in_sync(GANDI, OWN), 10, "locked")
        (seen / "filler").unlink()
        daemon.send(signal.SIGHUP)
        until(lambda: "Trouble:" not in daemon.get(), 10, "the trouble is over")
        shutil.copytree(seen, kept, ignore=shutil.ignore_patterns("lock", "*.sock"))
        daemon.kill()
    with Store(kept, readonly=True) as store:
        assert [item.code for item in store.lockouts()] == ["abuse"]
        assert store.good_addresses()[Family.V4].address == MOVED
        assert ("gandi", parse_name(GANDI)) in {key[:2] for key in store.published()}
        assert {value for item in store.published().values() for value in item.values} == {str(MOVED), str(HOME)}


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


@pytest.mark.lab
@pytest.mark.parametrize("command", ["up", "apply"])
def test_a_read_only_state_directory_is_refused(world: StandInInternet, tmp_path: Path, command: str) -> None:
    """One line with the remedy, status 1, and nothing was asked of any provider."""
    house = House(tmp_path, settings(world) + THREE)
    done = house.run(command, within=private_mount("ro", house.state))
    assert done.returncode == 1
    assert the_line(done) == (
        f"homing: cannot write to state directory {house.state}: Read-only file system; "
        "name a writable one with --state"
    )
    assert not world.strato.log


@pytest.mark.lab
def test_a_state_directory_too_full_to_begin_is_refused(world: StandInInternet, tmp_path: Path) -> None:
    """Without room for the database there is no start: one line, status 1."""
    house = House(tmp_path, settings(world) + THREE)
    done = house.run("up", within=private_mount("size=16k", house.state))
    assert done.returncode == 1
    assert f"state directory {house.state} " in the_line(done)
    assert "full" in the_line(done)


def test_a_state_directory_that_is_a_file_is_refused(world: StandInInternet, tmp_path: Path) -> None:
    """Given as an option it is a usage error, given by the environment status 1; the line names it."""
    house = House(tmp_path, settings(world) + THREE)
    house.state.write_text("")
    done = house.run("up")
    assert done.returncode == 2
    assert f"Directory '{house.state}' is a file" in done.stderr
    done = run("up", "-c", str(house.config), home=tmp_path, STATE_DIRECTORY=str(house.state))
    assert done.returncode == 1
    assert the_line(done) == f"homing: state directory {house.state} is not a directory; name another one with --state"


def test_a_damaged_state_is_refused(world: StandInInternet, tmp_path: Path) -> None:
    """What is no database is told with the remedy and left as it is."""
    house = House(tmp_path, settings(world) + THREE)
    house.state.mkdir()
    (house.state / "homing.db").write_bytes(b"no database" * 1000)
    for command in ("up", "status", "history"):
        done = house.run(command)
        assert done.returncode == 1
        assert f"{house.state / 'homing.db'} is damaged (file is not a database); move it away" in the_line(done)
    assert (house.state / "homing.db").read_bytes() == b"no database" * 1000
