"""Logins without an update: what is asked of services and servers, and what their answers mean."""

from __future__ import annotations

import time
from pathlib import Path

import dns.rcode
import pytest

from homing.app.doctor.clock import clock
from homing.app.doctor.finding import Finding, Level
from homing.app.doctor.logins import logins
from homing.effects.clock import ManualClock
from homing.effects.http import HttpClient
from homing.effects.secret import secret_from_text
from homing.errors import ProviderBusy
from homing.model.name import parse_name
from homing.providers.dyndns2 import Dyndns2
from homing.providers.presets import PRESETS
from homing.store import Store, Update
from tests.app.doctor.cases import case_of
from tests.dns_servers import ALGORITHM, KEY, KEY_NAME, OTHER_KEY, updatable
from tests.providers.fakes import Service, says, serving
from tests.providers.test_rfc2136 import answering, rcode

OK, WARNING, ERROR, SKIPPED = Level.OK, Level.WARNING, Level.ERROR, Level.SKIPPED

FQDN = "www.example.de"


async def asked_login(service: Service, preset: str = "strato") -> str:
    async with HttpClient() as http:
        secret = secret_from_text("hidden-4711", "file password")
        provider = Dyndns2("p", PRESETS[preset], http=http, password=secret, user="", server=service.url)
        return await provider.login(parse_name(FQDN))


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("nohost", 200, "nohost"),
        ("notfqdn", 200, "notfqdn"),
        ("badauth", 401, "badauth"),
        ("", 401, "badauth"),
        ("<html>", 403, "badauth"),
        ("nohost", 404, "nohost"),
        ("abuse", 200, "abuse"),
        ("good 192.0.2.1", 200, "good"),
        ("911", 200, "911"),
    ],
)
async def test_a_login_asks_for_a_host_that_nobody_has(text: str, status: int, code: str) -> None:
    """One GET with the user's login, for a name under .invalid and without any address."""
    async with serving(says(text, status)) as service:
        assert await asked_login(service) == code
    (asked,) = service.asked
    assert asked.query == {"hostname": "doctor.invalid"}
    assert asked.login == (FQDN, "hidden-4711")


async def test_desec_is_told_to_keep_both_families() -> None:
    """Its documentation has a word for it."""
    async with serving(says("nohost", 404)) as service:
        await asked_login(service, "desec")
    assert service.asked[0].query == {"hostname": "doctor.invalid", "myipv4": "preserve", "myipv6": "preserve"}


async def test_an_answer_that_is_no_code_shows_no_password() -> None:
    """Whatever the service quotes."""
    async with serving(says("who is hidden-4711?", 500)) as service:
        with pytest.raises(ProviderBusy) as raised:
            await asked_login(service)
    assert "hidden-4711" not in str(raised.value)


async def test_services_that_would_touch_a_host_are_not_asked(tmp_path: Path) -> None:
    """INWX updates the host of the account whatever is asked for; there the last update tells."""
    (tmp_path / "password").write_text("hidden-4711")
    async with serving(says("good")) as service:
        text = f"""
[providers.inwx]
user = "u"
server = "{service.url}"
password_file = "password"
[[names]]
fqdn = "{FQDN}"
provider = "inwx"
"""
        async with case_of(tmp_path, text) as case:
            (found,) = await logins(case)
            assert (found.level, "nothing was updated yet" in found.text) == (SKIPPED, True)
        with Store(tmp_path / "state") as store:
            store.record_update(Update(1.0, "inwx", FQDN, "A", True, "good", "", 0.1))
        async with case_of(tmp_path, text) as case:
            (found,) = await logins(case)
            assert (found.level, "the last update went through" in found.text) == (OK, True)
        with Store(tmp_path / "state") as store:
            failed = "provider inwx: nohost for it; check fqdn and user; updates stay paused until it changes"
            store.record_update(Update(2.0, "inwx", FQDN, "A", False, "nohost", failed, 0.1))
        async with case_of(tmp_path, text) as case:
            (found,) = await logins(case)
            assert (found.level, found.remedy) == (ERROR, "check fqdn and user")
    assert service.asked == []


def rfc2136(server: str, fqdn: str = "www.example.net", key: str = KEY_NAME) -> str:
    return f"""
[providers.knot]
type = "rfc2136"
server = "{server}"
key_name = "{key}"
key_algorithm = "{ALGORITHM}"
key_file = "key"
[[names]]
fqdn = "{fqdn}"
provider = "knot"
"""


@pytest.mark.peers
async def test_a_real_knot_tells_one_wrong_key_from_another(tmp_path: Path) -> None:
    """The key is taken; a wrong secret is BADSIG, an unknown name BADKEY; each with its remedy, and nothing changed."""
    (tmp_path / "knot").mkdir()
    key = tmp_path / "key"

    async def found(text: str) -> Finding:
        async with case_of(tmp_path, text) as case:
            (one,) = await logins(case)
            return one

    with updatable("knot", tmp_path / "knot") as knot:
        key.write_text(KEY)
        good = await found(rfc2136(knot.server))
        assert (good.level, good.text.partition(",")[0]) == (OK, f"TSIG key {KEY_NAME} is taken")
        unknown = await found(rfc2136(knot.server, key="nobody"))
        assert (unknown.level, unknown.text.partition(" ")[0]) == (ERROR, "BADKEY")
        key.write_text(OTHER_KEY)
        wrong = await found(rfc2136(knot.server))
        assert (wrong.level, wrong.text.partition(" ")[0]) == (ERROR, "BADSIG")
        assert "check key_name homing" in wrong.remedy
        assert OTHER_KEY not in wrong.text + wrong.remedy
        assert await knot.serial() == 1


async def test_a_clock_that_is_off_is_told_by_the_server(tmp_path: Path) -> None:
    """BADTIME is an error here, though the daemon goes on trying."""
    (tmp_path / "key").write_text(KEY)
    badtime = rcode(dns.rcode.NOTAUTH, error=dns.rcode.BADTIME)
    async with answering(badtime) as server, case_of(tmp_path, rfc2136(server)) as case:
        (found,) = await logins(case)
    assert found.level is ERROR
    assert "BADTIME" in found.text
    assert "clock" in found.text


@pytest.mark.parametrize(("off", "level"), [(0, OK), (100, WARNING), (-4000, ERROR)])
async def test_the_clock_is_compared_with_a_real_service(tmp_path: Path, off: float, level: Level) -> None:
    """By the Date of its answer; three services that are asked at a time."""
    async with serving(says("192.0.2.1")) as service:
        text = f'[detect.http]\nservices = [{{ url = "{service.url}", operator = "a" }}]\n'
        async with case_of(tmp_path, text, clock=ManualClock(time.time() + off)) as case:
            (found,) = await clock(case)
    assert (found.level is level) or (level is OK and found.level is Level.NOTE), found
