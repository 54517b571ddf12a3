"""The real daemon tells people, whatever their receivers do."""

from __future__ import annotations

import signal
from pathlib import Path

from homing.app.news import check_wishes
from homing.app.settings import load_toml
from homing.errors import ConfigError
from tests.app.running import HOME, MOVED, OWN, PASSWORD, THREE, WWW, House, internet, run, settings, the_line
from tests.messages.receiver import Receiver, receiving
from tests.waiting import until

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


def test_messages_are_wished_for_in_the_settings(tmp_path: Path) -> None:
    """A file that is missing, or a URL that is none, is told without its content."""

    def problem(text: str) -> str:
        (tmp_path / "homing.toml").write_text(text)
        try:
            check_wishes(load_toml(tmp_path / "homing.toml"))
        except ConfigError as error:
            return str(error)
        return ""

    assert "messages.urls_file: cannot read" in problem(MESSAGES)
    (tmp_path / "messages.urls").write_text("json://127.0.0.1/")
    (tmp_path / "ping.url").write_text("hush hush")
    told = problem(MESSAGES)
    assert "is no URL" in told
    assert "hush" not in told
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
