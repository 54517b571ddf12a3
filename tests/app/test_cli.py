"""The commands as their user meets them: exit status, what they print, what they change."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from homing import __version__
from homing.model.address import Address, Family
from homing.standins.faults import Fault, Kind
from homing.standins.internet import StandInInternet
from tests.app.running import (
    GANDI,
    HOME,
    MOVED,
    OWN,
    PASSWORD,
    THREE,
    WWW,
    House,
    environment,
    execute,
    internet,
    name,
    run,
    settings,
    the_line,
)
from tests.waiting import patience

COMMANDS = (
    "up",
    "demo",
    "detect",
    "plan",
    "apply",
    "unlock",
    "status",
    "history",
    "doctor",
    "check",
    "tell",
    "init",
    "dns",
    "crds",
    "operator",
    "agent",
    "migrate",
    "man",
    "completion",
)

LIE = IPv4Address("203.0.113.66")


@pytest.fixture(scope="module")
def shared() -> Iterator[StandInInternet]:
    """A stand-in internet; ``world`` puts it back in order."""
    with internet() as made:
        yield made


@pytest.fixture
def world(shared: StandInInternet) -> StandInInternet:
    """A stand-in internet where three STUN operators and two HTTP services tell HOME."""
    shared.move(HOME)
    for stun in shared.stun:
        stun.wan, stun.silent = shared.wan, False
    for http in shared.http:
        http.wan = shared.wan
        http.faults.clear()
    shared.strato.unblock()
    shared.strato.log.clear()
    shared.gandi.records.clear()
    return shared


def lie(_: Family) -> Address:
    """What a lying service tells."""
    return LIE


@pytest.fixture
def house(world: StandInInternet, tmp_path: Path) -> House:
    """A house with a name at each provider."""
    return House(tmp_path, settings(world) + THREE)


# detect


def test_detect_says_agreed_with_status_0(house: House) -> None:
    """A line an answer, then the verdict."""
    done = house.run("detect")
    assert done.returncode == 0, done.stdout + done.stderr
    *answers, verdict = done.stdout.splitlines()
    assert len(answers) == 5
    assert all(re.fullmatch(rf"IPv4 +\d+ ms +(stun|http)-\d\.example +\S+ +{HOME}", line) for line in answers), answers
    assert re.fullmatch(rf"IPv4: agreed {HOME} after \d+ ms \(\d of \d operators say {HOME}\)", verdict)


def test_detect_json_names_every_observer(house: House) -> None:
    """``--json`` prints one document: per family outcome, address, reason, seconds and all observations."""
    done = house.run("detect", "--json")
    assert done.returncode == 0
    (verdict,) = json.loads(done.stdout)["verdicts"]
    assert set(verdict) == {"family", "outcome", "address", "reason", "seconds", "observations"}
    assert (verdict["family"], verdict["outcome"], verdict["address"]) == (4, "agreed", str(HOME))
    assert 0 < verdict["seconds"] < 2
    assert {item["operator"] for item in verdict["observations"]} == {
        *(f"stun-{number}.example" for number in (1, 2, 3)),
        *(f"http-{number}.example" for number in (1, 2)),
    }
    for item in verdict["observations"]:
        assert set(item) == {"observer", "operator", "method", "address", "counts", "failure", "seconds"}
        assert (item["address"], item["counts"], item["failure"]) == (str(HOME), True, None)


def test_detect_believes_three_honest_operators_against_two_liars(house: House, world: StandInInternet) -> None:
    """U5: the honest address is agreed, and the liars are named."""
    for http in world.http:
        http.wan = lie
    done = house.run("detect")
    assert done.returncode == 0
    verdict = done.stdout.splitlines()[-1]
    assert f"agreed {HOME} " in verdict
    assert f"http-1.example and http-2.example say {LIE}" in verdict


def test_detect_says_disputed_with_status_3(world: StandInInternet, tmp_path: Path) -> None:
    """Half say one thing and half another: no address."""
    for http in world.http:
        http.wan = lie
    house = House(tmp_path, settings(world, observers=2))
    done = house.run("detect", "--json")
    assert done.returncode == 3
    (verdict,) = json.loads(done.stdout)["verdicts"]
    assert (verdict["outcome"], verdict["address"]) == ("disputed", None)
    assert str(LIE) in verdict["reason"]
    assert str(HOME) in verdict["reason"]


def test_detect_says_unknown_with_status_4(world: StandInInternet, tmp_path: Path) -> None:
    """Nobody answers: unknown after ``detect.timeout``, with the reason."""
    for stun in world.stun:
        stun.silent = True
    for http in world.http:
        http.faults.add(Fault(Kind.HANG), times=None)
    house = House(tmp_path, settings(world, detect="timeout = 0.4"))
    done = house.run("detect")
    assert done.returncode == 4
    assert "IPv4: unknown after" in done.stdout
    assert "no observer could tell: no answer within 0.4 s" in done.stdout


@pytest.mark.parametrize(
    ("words", "methods", "families"),
    [
        (("--only", "stun"), {"stun"}, {4}),
        (("--only", "stun,http", "--family", "4"), {"stun", "http"}, {4}),
        (("--only", "stun", "--family", "6"), set(), {6}),
    ],
)
def test_detect_asks_only_whom_it_is_told_to(
    house: House, words: tuple[str, ...], methods: set[str], families: set[int]
) -> None:
    """``--only`` and ``--family``."""
    verdicts = house.data("detect", *words)["verdicts"]
    assert {verdict["family"] for verdict in verdicts} == families
    counted = [item for verdict in verdicts for item in verdict["observations"] if item["counts"]]
    assert {item["method"] for item in counted} == methods


# Usage


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("detect", "--only", "stun,smoke"), "'smoke' is not one of stun, http, whoami, interface"),
        (("detect", "--family", "5"), "'5' is not one of '4', '6'"),
        (("history", "--since", "yesterday"), "write it like 90s, 15m, 12h or 7d"),
        (("history", "-n", "0"), "-n"),
        (("up", "--dsn", "off"), "Did you mean '--dns'"),
        (("stat",), "No such command 'stat'"),
        (("up", "--dns", "nowhere"), "--dns: 'nowhere' is not an IP address; write it like \"127.0.0.1:5300\""),
        (("up", "--web", "127.0.0.1:x"), "--web: '127.0.0.1:x' is not an address and a port"),
    ],
)
def test_a_wrong_word_is_a_usage_error(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    """Status 2 and a sentence that names the word."""
    more = ("--state", str(tmp_path / "state")) if words[0] in ("up", "history") else ()
    done = run(*words, *more, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert told.lower() in done.stderr.lower()
    assert not done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(tmp_path: Path, command: str) -> None:
    """``--help`` shows examples that begin with the command, at once."""
    began = time.monotonic()
    done = run(command, "--help", home=tmp_path)
    assert time.monotonic() - began < patience()
    assert done.returncode == 0
    examples = done.stdout.partition("Examples:\n")[2]
    assert f"homing {command}" in examples.splitlines()[0]


def test_help_names_every_command_and_version_the_version(tmp_path: Path) -> None:
    """The first things a newcomer types."""
    help_ = run("--help", home=tmp_path)
    assert help_.returncode == 0
    assert set(COMMANDS) == set(re.findall(r"^  (\w+) +[A-Z]", help_.stdout, re.MULTILINE))
    assert run("--version", home=tmp_path).stdout == f"homing {__version__}\n"


# plan and apply


def test_plan_tells_what_would_change_and_changes_nothing(house: House, world: StandInInternet) -> None:
    """As text and as JSON, without any state; no provider is asked to change anything and nothing is written."""
    done = house.run("plan")
    assert done.returncode == 0, done.stderr
    for line in (f"  + {WWW} A none -> {HOME}", f"  + {GANDI} A none -> {HOME}", f"  + {OWN} A none -> {HOME}"):
        assert line in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == "3 names to change, 0 held."
    data = house.data("plan")
    assert set(data) == {"plans", "unknown", "errors"}
    assert {plan["provider"]: plan["changes"] for plan in data["plans"]}["gandi"] == [
        {
            "name": GANDI,
            "held": None,
            "changes": [
                {"action": "create", "type": "A", "before": None, "after": {"ttl": 300, "values": [str(HOME)]}}
            ],
        }
    ]
    assert not world.strato.log
    assert {request.method for request in world.gandi.log} == {"GET"}
    assert not house.state.exists()


def test_apply_changes_what_has_to_change_once(house: House, world: StandInInternet) -> None:
    """Status 0; a second time there is nothing to do; ``status``-less state and history are there afterwards."""
    done = house.run("apply", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert set(data) == {"plans", "outcomes", "unknown", "errors"}
    assert {(item["provider"], item["name"], item["ok"], item["code"]) for item in data["outcomes"]} == {
        ("strato", WWW, True, "ok"),
        ("gandi", GANDI, True, "ok"),
        ("zone", OWN, True, "ok"),
    }
    assert world.strato.published[WWW] == (HOME,)
    assert world.gandi.values("example.org", "www", "A") == (str(HOME),)
    again = house.run("apply")
    assert (again.returncode, again.stdout.strip()) == (0, "Nothing to change: every name holds what it should.")
    assert len(world.strato.log) == 1
    subjects = {item["subject"] for item in house.data("history") if item["kind"] == "update"}
    assert subjects == {f"{WWW} @ strato", f"{GANDI} @ gandi", f"{OWN} @ zone"}
    world.move(MOVED)
    time.sleep(max(0.0, world.strato.log[-1].at + 1 - time.time()))  # Strato's cooldown in these settings
    moved = house.run("apply")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert f"  ~ {GANDI} A {HOME} -> {MOVED}" in moved.stdout.splitlines()
    assert world.strato.published[WWW] == (MOVED,)


def test_apply_says_what_failed_with_status_1(house: House, world: StandInInternet) -> None:
    """One name that fails is told in a sentence without the secret; the others are published (U9)."""
    house.password.write_text("a wrong one")
    done = house.run("apply")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert f"badauth for {WWW}" in line
    assert str(house.password) in line
    assert world.gandi.values("example.org", "www", "A") == (str(HOME),)
    again = house.run("apply")
    assert again.returncode == 1
    assert f"held: provider strato: badauth for {WWW}" in again.stdout
    assert f"held: provider strato: badauth for {WWW}" in house.run("plan").stdout
    assert len(world.strato.log) == 1, "a locked host was asked for again"
    assert "a wrong one" not in done.stdout + done.stderr + again.stdout + again.stderr


def test_a_private_address_is_held_at_a_public_provider(world: StandInInternet, tmp_path: Path) -> None:
    """Law 7: plan tells the reason and the remedy with status 0, apply publishes the others and has status 1."""
    static = name(GANDI, "gandi", source="static", addresses=["192.168.1.10"])
    house = House(tmp_path, settings(world) + name(WWW, "strato") + static)
    remedy = f"set allow_private = true (allowPrivate in a Domain) for {GANDI}"
    reason = f"192.168.1.10 is not globally reachable (private); {remedy}"
    planned = house.run("plan")
    assert planned.returncode == 0
    assert f"    held: {reason} if the world should see it" in planned.stdout.splitlines()
    done = house.run("apply", "--json")
    assert done.returncode == 1
    held = [item["held"] for plan in json.loads(done.stdout)["plans"] for item in plan["changes"]]
    assert sorted(filter(None, held)) == [f"{reason} if the world should see it"]
    assert world.strato.published[WWW] == (HOME,)
    assert not world.gandi.records
    house.write(settings(world) + name(GANDI, "gandi", source="static", addresses=["192.168.1.10"], allow_private=True))
    assert house.run("apply").returncode == 0
    assert world.gandi.values("example.org", "www", "A") == ("192.168.1.10",)


def test_without_an_agreed_address_apply_leaves_names_alone(world: StandInInternet, tmp_path: Path) -> None:
    """Law 1: a dispute changes nothing, and it is said why."""
    house = House(tmp_path, settings(world, observers=2) + name(GANDI, "gandi"))
    assert house.run("apply").returncode == 0
    for http in world.http:
        http.wan = lie
    world.move(MOVED)
    done = house.run("apply")
    assert "the WAN address stays as it was: operators disagree" in done.stderr
    assert world.gandi.values("example.org", "www", "A") == (str(HOME),)


def test_apply_without_any_address_says_so_with_status_1(house: House, world: StandInInternet) -> None:
    """Names that hold nothing are not called right."""
    world.move(None)
    for command, status in (("plan", 0), ("apply", 1)):
        done = house.run(command)
        assert (done.returncode, done.stdout) == (status, "Nothing can be changed now.\n")
        assert f"left alone: {WWW} at strato: no WAN address has been agreed on yet" in done.stderr.splitlines()


# status and history


@pytest.mark.parametrize("command", ["status", "history"])
def test_without_a_state_the_way_to_one_is_told(tmp_path: Path, command: str) -> None:
    """Status 1 and one line."""
    done = run(command, home=tmp_path)
    assert done.returncode == 1
    state = tmp_path / ".local/state/homing"
    assert the_line(done) == f"homing: no state in {state} yet; start the daemon with: homing up --state {state}"


# check and init


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ("fqdn", "fdqn", 'names[0].fdqn: unknown key; did you mean "fqdn"?'),
        ('provider = "strato"', 'provider = "stratos"', "add [providers.stratos]"),
        ("[detect]", "[detect", "is not TOML"),
        ('type = "strato"', 'type = "starto"', "unknown provider type 'starto'; did you mean \"strato\"?"),
        ("strato.password", "gone.password", "gone.password: No such file or directory; write the secret into"),
        (WWW, "under_score.de", "is not a host name; letters, digits and hyphens, with at least one dot"),
    ],
)  # fmt: skip
def test_check_tells_file_key_and_remedy(house: House, wrong: str, right: str, told: str) -> None:
    """Status 2 and one line, from check, and from up before anything is started."""
    house.write(house.config.read_text().replace(wrong, right))
    done = house.run("check")
    assert done.returncode == 2
    line = the_line(done)
    assert line.startswith(f"homing: {house.config}")
    assert told in line
    assert PASSWORD not in line
    if "host name" in told:
        started = house.run("up")
        assert started.returncode == 2
        assert the_line(started) == line


def test_check_accepts_what_is_right(house: House) -> None:
    """Status 0, as text and as JSON; asks nobody; what may be a mistake is a note."""
    done = house.run("check")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{house.config}: fine, 3 names\n", "")
    house.write(house.config.read_text().replace(name(WWW, "strato"), ""))
    assert house.data("check") == {
        "file": str(house.config),
        "errors": [],
        "notes": ["provider strato is used by no name"],
    }


def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Status 2, the file's name and the way to one."""
    done = run("check", "-c", "nowhere.toml", home=tmp_path)
    assert done.returncode == 2
    assert the_line(done) == (
        "homing: nowhere.toml: cannot read it: No such file or directory; homing init writes a commented one"
    )


def test_init_writes_a_file_once_that_check_accepts(tmp_path: Path) -> None:
    """A file that is there is not touched: status 2 and one line."""
    path = tmp_path / "new" / "homing.toml"
    assert run("init", "-o", str(path), home=tmp_path).returncode == 0
    assert run("check", "-c", str(path), home=tmp_path).returncode == 0
    assert path.read_text() == run("init", home=tmp_path).stdout
    path.write_text("mine")
    again = run("init", "-o", str(path), home=tmp_path)
    assert again.returncode == 2
    assert the_line(again) == f"homing: {path}: exists already; choose another file, or remove it first"
    assert path.read_text() == "mine"


def test_the_users_configuration_is_found(world: StandInInternet, tmp_path: Path) -> None:
    """Without ``-c``: $XDG_CONFIG_HOME/homing/homing.toml, else ~/.config/homing/homing.toml."""
    for folder, more in ((".config", {}), ("elsewhere", {"XDG_CONFIG_HOME": str(tmp_path / "elsewhere")})):
        path = tmp_path / folder / "homing" / "homing.toml"
        path.parent.mkdir(parents=True)
        path.write_text(settings(world) + name(OWN, "zone"))
        (path.parent / "strato.password").write_text(PASSWORD)
        (path.parent / "gandi.token").write_text("hush")
        assert run("check", home=tmp_path, **more).stdout.splitlines()[-1] == f"{path}: fine, 1 names"


# Faults of Homing itself

FAULTY = """
import homing.app.check
async def check(loaded):
    raise RuntimeError("the roof is open")
homing.app.check.check = check
from homing.app.cli import main
main()
"""


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_internal_fault_is_told_without_a_traceback_unless_asked_for(house: House, debug: str) -> None:
    """Status 70, kind and place, and where to report it; HOMING_DEBUG shows text and traceback."""
    argv = [sys.executable, "-c", FAULTY, "check", "-c", str(house.config)]
    done = execute(argv, environment(house.folder, HOMING_DEBUG=debug))
    assert ("Traceback" in done.stderr) == bool(debug)
    assert "RuntimeError" in done.stderr
    assert ("the roof is open" in done.stderr) == bool(debug), "the text of a strange error may hold a secret"
    assert done.returncode == 70
    if not debug:
        assert len(done.stderr.splitlines()) == 2
        assert "report it with what HOMING_DEBUG=1 shows" in done.stderr
