"""`homing doctor` as its user meets it: a house that is well, and one in which things went wrong."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from homing.app.doctor.finding import Finding, Level
from homing.app.doctor.logins import logins
from homing.app.doctor.ports import ports
from homing.standins.internet import StandInInternet
from homing.store import Store
from tests.app.doctor.cases import case_of
from tests.app.running import PASSWORD, THREE, TOKEN, WWW, House, internet, name, settings
from tests.waiting import patience, until

RESOLVER = ("--resolver", "127.0.0.1:9")
"""A port where nobody answers, so that no test asks the machine's resolver."""


@pytest.fixture(scope="module")
def world() -> Iterator[StandInInternet]:
    """A stand-in internet."""
    with internet() as made:
        yield made


@pytest.fixture
def house(world: StandInInternet, tmp_path: Path) -> House:
    """A house with names at Strato and Gandi, and in its own zone."""
    world.strato.unblock()
    world.strato.log.clear()
    made = House(tmp_path, settings(world) + THREE)
    for secret in ("strato.password", "gandi.token"):
        (tmp_path / secret).chmod(0o600)
    return made


def examined(house: House, *words: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Exit status and findings by check."""
    done = house.run("doctor", *RESOLVER, "--json", *words)
    assert not done.stderr, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for item in json.loads(done.stdout)["findings"]:
        found.setdefault(item["check"], []).append(item)
    return done.returncode, found


def test_a_house_that_is_well_has_no_error(house: House, world: StandInInternet) -> None:
    """Configuration, secrets, ports, WAN address and both logins are fine; nothing was updated for it."""
    status, found = examined(house)
    for check in ("configuration", "secrets", "ports", "WAN address", "provider strato", "provider gandi"):
        assert [item["level"] for item in found[check]] == ["ok"], found[check]
    assert status == 0
    assert world.strato.published == {WWW: ()}
    assert [request.hosts for request in world.strato.log] == [("doctor.invalid",)]
    assert not world.strato.blocked


def test_each_fault_is_told_with_its_remedy(house: House) -> None:
    """A wrong password, a wrong token, a readable secret, a port in use: exit status 1, and no secret shown."""
    (house.folder / "strato.password").write_text("wrong-4711")
    (house.folder / "gandi.token").write_text("wrong-4712")
    (house.folder / "gandi.token").chmod(0o644)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        house.write(house.config.read_text() + f'\n[dns]\nlisten = ["127.0.0.1:{port}"]\n')
        done = house.run("doctor", *RESOLVER)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(
        "provider strato" in line and "badauth" in line and "check the user and the password" in line for line in lines
    )
    assert any("provider gandi" in line and "HTTP 403" in line and "check the token" in line for line in lines)
    assert any("secrets" in line and "chmod o=" in line for line in lines)
    assert any(f"DNS on 127.0.0.1:{port}/UDP: taken by" in line for line in lines)
    assert lines[-1].startswith("3 errors, 1 warning")
    for secret in (PASSWORD, TOKEN, "wrong-4711", "wrong-4712"):
        assert secret not in done.stdout


def test_the_own_daemon_and_its_lockouts_are_known(house: House, world: StandInInternet) -> None:
    """A running daemon's ports are fine; while it is locked out nobody is asked, and the pause is told."""
    house.password.write_text("wrong-4711")
    house.write(house.config.read_text() + '\n[dns]\nlisten = ["127.0.0.1:0"]\n')
    with house.up():
        until(lambda: house.states().get(WWW) == "locked", 20)
        listen, asked = house.listens(), len(world.strato.log)
        house.write(house.config.read_text().replace("127.0.0.1:0", listen[0]))
        status, found = examined(house)
        assert status == 1
        assert "Homing itself" in found["ports"][0]["text"]
        assert listen[0] in found["ports"][0]["text"]
        (login,) = found["provider strato"]
        assert "paused" in login["text"]
        assert "badauth" in login["text"]
        assert "homing unlock strato" in login["remedy"]
        assert len(world.strato.log) == asked


async def test_a_wrong_password_is_tried_once(house: House, world: StandInInternet) -> None:
    """What the service said is remembered beside the state until the password changes; a right one is asked anew."""
    Store(house.state).close()

    async def login() -> Finding:
        async with case_of(house.folder, house.config.read_text()) as case:
            return next(item for item in await logins(case) if item.check == "provider strato")

    house.password.write_text("wrong-4711")
    for _ in range(2):
        assert "badauth" in (await login()).text
    assert len(world.strato.log) == 1
    house.password.write_text(PASSWORD)
    for _ in range(2):
        assert (await login()).level is Level.OK
    assert len(world.strato.log) == 2
    assert PASSWORD not in (house.state / "doctor.json").read_text()


def test_a_dead_network_takes_less_than_fifteen_seconds(tmp_path: Path) -> None:
    """Observers, providers and resolver that never answer: everything ends in time, and nothing is claimed of them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, socket.socket() as deaf:
        for sock in (silent, deaf):
            sock.bind(("127.0.0.1", 0))
        deaf.listen(0)
        udp, tcp = silent.getsockname()[1], deaf.getsockname()[1]
        house = House(
            tmp_path,
            f"""
[detect]
families = [4]
timeout = 30
whoami = {{ enabled = false }}
interface = {{ enabled = false }}
stun = {{ servers = [{{ operator = "a", server = "127.0.0.1:{udp}" }}] }}
http = {{ services = [{{ operator = "b", url = "http://127.0.0.1:{tcp}/" }}] }}
[zones."example.org"]
[providers.gandi]
server = "http://127.0.0.1:{tcp}"
token_file = "gandi.token"
timeout = 60
[dns]
listen = ["127.0.0.1:0"]
[web]
listen = []
"""
            + name("www.example.net", "gandi"),
        )
        begin = time.monotonic()
        done = house.run("doctor", "--resolver", f"127.0.0.1:{udp}")
        assert time.monotonic() - begin < 15 * patience()
    assert done.returncode == 1
    assert "IPv4 is not known" in done.stdout
    assert "internal fault" not in done.stdout


def test_an_address_taken_for_both_transports_is_told_once(house: House) -> None:
    """With the program that has it."""
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        house.write(f'[zones."home.arpa"]\n[dns]\nlisten = ["127.0.0.1:{port}"]\n[web]\nlisten = []\n')
        found = asyncio.run(taken(house))
    assert [(item.level.value, item.text.partition(":")[0]) for item in found] == [("error", "DNS on 127.0.0.1")]
    assert f"(process {os.getpid()})" in found[0].text


async def taken(house: House) -> Sequence[Finding]:
    async with case_of(house.folder, house.config.read_text()) as case:
        return await ports(case)


def test_wrong_usage_has_a_status_of_its_own(house: House) -> None:
    """2, as everywhere."""
    assert house.run("doctor", "--resolver", "nonsense").returncode == 2
    house.write("nonsense = 1\n")
    assert house.run("doctor").returncode == 2
