"""The real daemon tells people, whatever their receivers do."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from homing.app.household import Household
from homing.app.news import TURNS, check_wishes, household_situation, operator_situation
from homing.app.settings import load_toml
from homing.effects.clock import ManualClock
from homing.errors import ConfigError
from homing.kube.kinds.site import Site, SiteAddress, SiteStatus
from homing.kube.objects import Condition, ObjectMeta
from homing.messages.watch import Situation, Trouble
from homing.model.address import Family, parse_address
from homing.model.lockout import Lockout
from homing.model.name import parse_name
from homing.model.observation import Outcome, Verdict
from homing.model.rrset import RRType
from homing.operator.entry import Which
from homing.operator.runtime import Operator
from homing.store import Event
from tests.app.fake_provider import FakeProvider
from tests.app.running import HOME, MOVED, OWN, PASSWORD, THREE, WWW, House, internet, run, settings, the_line
from tests.app.test_household import agreed, home, passed
from tests.messages.receiver import Receiver, receiving
from tests.waiting import until

__all__ = ["home"]

MESSAGES = """
[messages]
urls_file = "messages.urls"
ping_file = "ping.url"
gather = 0.3
"""


def receivers(house: House, receiver: Receiver, *paths: str) -> None:
    """Write the URLs of these paths, with a password in each."""
    lines = [f"json://me:hush-hush@127.0.0.1:{receiver.port}{path}" for path in paths]
    (house.folder / "messages.urls").write_text("# who is told\n" + "\n".join(lines) + "\n")
    (house.folder / "ping.url").write_text(f"http://127.0.0.1:{receiver.port}/hush-uuid\n")


def test_the_daemon_tells_and_nothing_waits_for_receivers(tmp_path: Path) -> None:
    """From a reload on; a new address, a lockout, its end, a sign of life; one receiver hangs, one gives 500."""
    with receiving() as receiver, internet() as world:
        house = House(tmp_path, settings(world) + THREE)
        receivers(house, receiver, "/good", "/broken", "/hang")
        with house.up() as daemon:
            until(lambda: daemon.is_in_sync(WWW, OWN), 20, "names in sync")
            house.write(settings(world) + MESSAGES + THREE)
            daemon.send(signal.SIGHUP)
            until(lambda: receiver.gets == ["/hush-uuid"], 10, "a sign of life")
            assert receiver.posts == []
            world.move(MOVED)
            until(lambda: receiver.texts("/good"), 20, "the new address")
            (text,) = receiver.texts("/good")
            assert f"WAN IPv4 is {MOVED} now; it was {HOME}" in text
            until(lambda: daemon.is_in_sync(WWW, OWN), 20, "names in sync")
            until(lambda: receiver.texts("/broken") and receiver.texts("/hang"), 10, "the other receivers")

            house.password.write_text("wrong")
            world.move(HOME)
            until(lambda: len(receiver.texts("/good")) >= 2, 30, "the lockout")
            assert "badauth" in receiver.texts("/good")[1]
            assert daemon.answers(OWN) == {str(HOME)}
            house.password.write_text(PASSWORD)
            until(lambda: len(receiver.texts("/good")) >= 3, 30, "the recovery")
            assert "the pause is over" in receiver.texts("/good")[2]
            until(lambda: daemon.is_in_sync(WWW, OWN), 20, "names in sync")

            def count(kind: str, result: str) -> float:
                return daemon.metric(f'homing_messages_total{{kind="{kind}",result="{result}"}}')

            assert [count(kind, "sent") for kind in ("address", "lockout", "recovered")] == [1, 1, 1]
            assert len(receiver.texts("/hang")) == 1
            assert daemon.metric('homing_pings_total{result="ok"}') == 1
            assert "hush" not in daemon.get("/metrics") + daemon.get() + daemon.get("/raw")
            assert daemon.metric("homing_config_last_reload_successful") == 1
            house.write("hush = 1")
            daemon.send(signal.SIGHUP)
            until(lambda: daemon.metric("homing_config_last_reload_successful") == 0, 10, "the refusal")
        assert "receiver=2 (json)" in daemon.log.replace("'", "")
        assert "hush-" not in daemon.log + daemon.told
        assert "hush" not in house.run("history").stdout + house.run("status").stdout


def test_a_message_can_be_tried(tmp_path: Path) -> None:
    """`homing tell` sends to all at once, and says how that ended for each."""
    with receiving() as receiver:
        house = House(tmp_path, MESSAGES)
        receivers(house, receiver, "/good", "/broken")
        done = house.run("tell", "is this on?")
        assert done.returncode == 1
        assert done.stdout.splitlines() == ["1 (json): sent"]
        assert done.stderr.splitlines() == ["2 (json): it was refused, or nobody answers"]
        assert receiver.texts("/good") == ["is this on?"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise's own
def test_messages_are_wished_for_in_the_settings(tmp_path: Path) -> None:
    """A file that is missing, or a URL that is none, is told without its content."""

    def problem(text: str) -> str:
        (tmp_path / "homing.toml").write_text(text)
        try:
            return " ".join(map(str, check_wishes(load_toml(tmp_path / "homing.toml"))))
        except ConfigError as error:
            return str(error)

    assert "messages.urls_file: cannot read" in problem(MESSAGES)
    assert "messages.ping_file: cannot read" in problem(MESSAGES)
    (tmp_path / "messages.urls").write_text("json://127.0.0.1/\nhush://hush")
    (tmp_path / "ping.url").write_text("hush hush")
    found = problem(MESSAGES)
    assert "is no URL" in found
    assert "receiver 2 (hush): its URL is none that apprise knows" in found
    assert "hush" not in found.replace("(hush)", "")
    (tmp_path / "messages.urls").write_text("# nobody yet")
    assert "names no receiver" in problem(MESSAGES)
    (tmp_path / "messages.urls").write_text("json://127.0.0.1/")
    (tmp_path / "ping.url").write_text("https://hc-ping.com/hush")
    assert problem(MESSAGES) == ""
    assert 'did you mean "urls_' in problem(MESSAGES.replace("urls_file", "urls"))
    assert "more than one" in problem(MESSAGES + 'urls_env = "URLS"')


def test_without_the_package_it_is_said_what_to_install(tmp_path: Path) -> None:
    """Who asks for messages without the extra learns its name; nothing else needs it."""
    house = House(tmp_path, '[messages]\nurls_file = "messages.urls"\n')
    (house.folder / "messages.urls").write_text("json://127.0.0.1/")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['apprise'] = None\n")
    done = run("check", "-c", str(house.config), home=tmp_path, PYTHONPATH=str(tmp_path))
    assert "pip install 'homing[messages]'" in the_line(done)


async def test_a_dispute_is_a_trouble_until_observers_agree(home: tuple[Household, FakeProvider, ManualClock]) -> None:
    """A round that nobody answered says nothing of it."""
    household, _, _ = home
    one: Trouble = ("disputed", "WAN IPv4")

    async def hear(outcome: Outcome) -> Situation:
        await household._verdict(Verdict(Family.V4, outcome, None, "two say so, two say no", 10.0, 0.1))
        found = household_situation(household)
        assert found is not None
        return found

    found = await hear(Outcome.DISPUTED)
    assert "two say no" in found.troubles[one]
    assert not found.failing
    assert one in (await hear(Outcome.UNKNOWN)).unsure
    await household._verdict(agreed(Family.V4, "8.8.8.8"))
    found = household_situation(household) or Situation()
    assert (found.troubles, found.unsure, found.addresses) == ({}, frozenset(), {"WAN IPv4": "8.8.8.8"})


async def test_a_name_that_somebody_else_changed_is_told(home: tuple[Household, FakeProvider, ManualClock]) -> None:
    """With what was there instead; each time anew, and what Homing changes itself is none."""
    household, provider, clock = home
    for family, address in ((Family.V4, "8.8.8.8"), (Family.V6, "2a00::1")):
        household._on_round(agreed(family, address))
    await passed(clock, 1.0)
    one: Trouble = ("drift", "www.example.org")

    def happened() -> tuple[float, str]:
        return (household_situation(household) or Situation()).happened.get(one, (0.0, ""))

    assert happened() == (0.0, "")
    told: list[float] = []
    for value in ("9.9.9.9", "9.9.9.8"):
        for key, item in tuple(provider.held.items()):
            if item.type == RRType.A:
                provider.held[key] = replace(item, rdatas=(parse_address(value).packed,))
        await passed(clock, 301.0)
        assert value in happened()[1].partition("->")[2]
        assert provider.values(parse_name("www.example.org")) == {"8.8.8.8", "2a00::1"}
        told.append(happened()[0])
    assert told[0] < told[1]


def test_a_leader_tells_of_sites_lockouts_and_domains() -> None:
    """Who does not lead, or has not seen the cluster yet, knows nothing to tell."""
    ready = SimpleNamespace(is_set=lambda: True)
    told = SiteStatus(
        addresses=(SiteAddress(family="IPv4", address="203.0.113.10"),),
        conditions=(
            Condition(type="Disputed", status="True", message="two say so"),
            Condition(type="Detected", status="True", reason="LastGood"),
        ),
    )
    unseen = SiteStatus(conditions=(Condition(type="Detected", status="True", reason="LastGood"),))
    sites = [
        Site(metadata=ObjectMeta(name="default"), status=told),
        Site(metadata=ObjectMeta(name="other"), status=unseen),
    ]
    which = Which("Domain", "web", "www")
    term = SimpleNamespace(
        synced=True,
        world=SimpleNamespace(sites=SimpleNamespace(synced=ready, values=lambda: sites)),
        memory=SimpleNamespace(
            lockouts=[Lockout("web/strato", "account", "", "abuse", "blocked", 1.0, None, "")],
            drifts={"www.example.org": Event(50.0, "drift", "www.example.org", "it was changed by somebody else")},
        ),
        domains=SimpleNamespace(
            reports={which: SimpleNamespace(reason="UpdateFailed", message="gandi: timeout")},
            entries={which: SimpleNamespace(name=parse_name("www.example.org"), provider="Provider web/gandi")},
        ),
        turns=SimpleNamespace(overdue=0.0),
    )

    def situation() -> Situation | None:
        return operator_situation(cast("Operator", SimpleNamespace(term=term)), 100.0)

    unsure: Trouble = ("disputed", "Site other")
    found = situation()
    assert found is not None
    assert found.addresses == {"Site default IPv4": "203.0.113.10"}
    assert found.troubles == {
        ("disputed", "Site default"): "Site default is disputed: two say so",
        ("lockout", "web/strato"): "blocked",
        ("failed", "www.example.org at Provider web/gandi"): "gandi: timeout",
    }
    assert found.happened["drift", "www.example.org"][0] == 50.0
    assert (found.unsure, found.turned_at, found.failing) == (
        frozenset((unsure,)),
        100.0,
        True,
    )
    term.turns.overdue = 2000.0
    assert TURNS in (situation() or Situation()).troubles
    term.synced = False
    assert situation() is None
    assert operator_situation(cast("Operator", SimpleNamespace(term=None)), 100.0) is None
