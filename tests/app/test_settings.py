"""Settings: what is wrong is told with file, key and remedy; what is right becomes parts."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from homing.app.build import build_names, build_zones, parse_listen
from homing.app.check import check
from homing.app.settings import Dyndns2Settings, default_settings, find_configuration, load_toml
from homing.errors import ConfigError

GOOD = """
[providers.strato]
type = "strato"
password_file = "strato.password"

[[names]]
fqdn = "www.example.de"
source = "wan"
provider = "strato"
families = [4, 6]
ttl = 60
interval = 300
ipv6_host_id = "::10"
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "homing.toml"
    path.write_text(text, encoding="utf-8")
    return path


async def test_the_sample_of_the_guide_is_fine(tmp_path: Path) -> None:
    """The documented keys load; the secret is read beside the file."""
    (tmp_path / "strato.password").write_text("hush\n")
    loaded = load_toml(write(tmp_path, GOOD))
    assert isinstance(loaded.settings.providers["strato"], Dyndns2Settings)
    assert [spec.name.text for spec in build_names(loaded)] == ["www.example.de"]
    assert (await check(loaded)).errors == ()


async def test_the_example_that_init_prints_is_fine(tmp_path: Path) -> None:
    """``homing init`` writes what ``homing check`` accepts, with every comment taken away too."""
    text = resources.files("homing.app").joinpath("example.toml").read_text(encoding="utf-8")
    assert (await check(load_toml(write(tmp_path, text)))).errors == ()


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        (GOOD.replace("interval", "intervall"), "names[0].intervall: unknown key", 'did you mean "interval"?'),
        ("[detect]\nqorum = 3", "detect.qorum: unknown key", 'did you mean "quorum"?'),
        ("[detect.stun]\nserver = []", "detect.stun.server: unknown key", 'did you mean "servers"?'),
        (
            GOOD.replace("password_file", "pasword_file"),
            "providers.strato.pasword_file: unknown key",
            '"password_file"?',
        ),
        (GOOD.replace('type = "strato"', 'type = "starto"'), "providers.strato.type", 'did you mean "strato"?'),
        (GOOD.replace("ttl = 60", 'ttl = "60"'), "names[0].ttl", "a whole number"),
        (GOOD.replace("[4, 6]", "[5]"), "names[0].families", "5"),
        ("[[names]]\nsource = 'wan'", "names[0]", "add fqdn"),
        ("names = 3", "names", "a list"),
        ("[detect\n", "is not TOML", "homing init"),
        ("[providers]\nstrato = 3", "providers.strato", "write [providers.strato]"),
        ("unknown = 1", "unknown: unknown key", "known keys"),
    ],
)
def test_a_wrong_key_is_told_with_its_remedy(tmp_path: Path, text: str, key: str, remedy: str) -> None:
    """File, key and remedy are in the message."""
    with pytest.raises(ConfigError) as error:
        load_toml(write(tmp_path, text))
    message = str(error.value)
    assert message.startswith(str(tmp_path / "homing.toml"))
    assert key in message
    assert remedy in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD.replace("www.example.de", "www..de"), "is not a domain name"),
        (GOOD.replace("www.example.de", "under_score.de"), "is not a host name"),
        (GOOD.replace('provider = "strato"', 'provider = "gandi"'), "add [providers.gandi]"),
        (GOOD.replace('provider = "strato"', ""), 'add [zones."example.de"]'),
        (GOOD.replace('"::10"', '"2001:db8::1"'), "host id"),
        (GOOD.replace("[4, 6]", "[4]"), "ipv6_host_id"),
        (GOOD + GOOD[GOOD.index("[[names]]") :], "claimed twice"),
        (GOOD.replace('"wan"', '"static"'), "addresses"),
    ],
)
def test_tables_that_contradict_each_other_are_told(tmp_path: Path, text: str, problem: str) -> None:
    """What only two tables together show to be wrong is an error too."""
    with pytest.raises(ConfigError, match=r"homing\.toml: names") as error:
        build_names(load_toml(write(tmp_path, text)))
    assert problem in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        '[detect.http]\nservices = ["https://ip.example.org:99999/"]',
        '[detect.http]\nservices = ["ftp://ip.example.org/"]',
        '[detect.stun]\nservers = ["stun.example.org:no"]',
        '[detect.stun]\nlists = ["https://[bad/"]',
        '[detect.stun]\nlists = ["~nosuchuser/x"]',
        '[zones."a.b"]\n[zones."A.B."]',
        '[providers.x]\ntype = "strato"\npassword_env = "PATH"\nca_file = "nowhere.pem"',
        '[providers.x]\ntype = "strato"\npassword_file = "~nosuchuser/x"',
    ],
)
async def test_check_finds_what_would_only_fail_later(tmp_path: Path, text: str) -> None:
    """What observers, zones and providers cannot use is told by ``check``, with file and key."""
    (error,) = (await check(load_toml(write(tmp_path, text)))).errors
    assert error.startswith(str(tmp_path / "homing.toml"))


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    """Editors of another system put one in front."""
    path = tmp_path / "homing.toml"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert load_toml(path).settings.names


async def test_check_finds_all_errors_at_once(tmp_path: Path) -> None:
    """A missing secret, a wrong name and a wrong address are all told."""
    text = GOOD.replace("www.example.de", "under_score.de") + '\n[web]\nlisten = ["nowhere"]\n'
    report = await check(load_toml(write(tmp_path, text)))
    assert len(report.errors) == 3
    assert any("strato.password" in error for error in report.errors)


def test_letters_outside_ascii_become_a_labels(tmp_path: Path) -> None:
    """RFC 5891: people write their names as they speak them."""
    (spec,) = build_names(load_toml(write(tmp_path, GOOD.replace("www.example.de", "bücher.example.de"))))
    assert spec.name.text == "xn--bcher-kva.example.de"


def test_without_a_configuration_this_machine_is_in_home_arpa() -> None:
    """The machine's own name and the WAN name, in RFC 8375's zone; an odd host name is made a label."""
    loaded = default_settings("My_Laptop.local")
    assert [spec.name.text for spec in build_names(loaded)] == ["my-laptop.home.arpa", "wan.home.arpa"]
    assert [str(zone.origin) for zone in build_zones(loaded)] == ["home.arpa."]
    assert build_names(default_settings("wan"))[0].name.text == "wan-host.home.arpa"


def test_the_configuration_is_looked_for_where_xdg_says(tmp_path: Path) -> None:
    """The one given, else the user's."""
    path = tmp_path / "homing" / "homing.toml"
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/nonexistent"}
    assert find_configuration(Path("x.toml"), environment) == Path("x.toml")
    assert find_configuration(None, environment) != path
    path.parent.mkdir()
    path.write_text("")
    assert find_configuration(None, environment) == path


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:53", ("127.0.0.1", 53)),
        ("[::1]:53", ("::1", 53)),
        (":53", ("", 53)),
        ("192.0.2.1", ("192.0.2.1", 99)),
        ("[::1]", ("::1", 99)),
        ("localhost:1", ("127.0.0.1", 1)),
    ],
)
def test_addresses_to_listen_on(text: str, address: tuple[str, int]) -> None:
    """The forms people write."""
    assert parse_listen(text, "here", 99) == address


@pytest.mark.parametrize("text", ["::1:53", "host:53", "127.0.0.1:x", "127.0.0.1:70000", "1.2.3.4.5:1"])
def test_addresses_that_are_none(text: str) -> None:
    """What is no address and port is an error."""
    with pytest.raises(ConfigError):
        parse_listen(text, "here", 99)
