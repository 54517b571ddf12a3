"""Settings: what is wrong is told with file, key and remedy; what is right becomes parts."""

from __future__ import annotations

import base64
from importlib import resources
from pathlib import Path

import pytest

from homing.app.build import build_names
from homing.app.check import check
from homing.app.places import parse_listen
from homing.app.secondaries import ReadPolicy, transfer_policy
from homing.app.settings import Dyndns2Settings, default_settings, find_configuration, load_toml
from homing.app.zones import build_zones
from homing.dns.transfers.policy import ZonePolicy
from homing.dns.transfers.secondary import Secondary
from homing.errors import ConfigError
from homing.model.address import parse_address
from homing.model.name import parse_name

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


FOLLOWED = """
[dns]
secondaries = ["192.0.2.1", "2001:db8::1", "[2001:db8::2]:5353 key NS2."]
transfer = ["198.51.100.0/24", "key ns2", "192.0.2.9 key ns2"]
catalog = "catalog.invalid"
[[dns.keys]]
name = "ns2"
secret_file = "ns2.key"
[zones."example.net"]
[zones."example.org"]
secondaries = ["192.0.2.7:53"]
transfer = []
"""


def follows(tmp_path: Path, text: str = FOLLOWED) -> ReadPolicy:
    """The policy of settings, with the key's secret beside them."""
    (tmp_path / "ns2.key").write_text(base64.b64encode(b"x" * 32).decode())
    return transfer_policy(load_toml(write(tmp_path, text)))


def test_secondaries_and_who_may_transfer(tmp_path: Path) -> None:
    """Zones are followed by what they name, else by what [dns] names; a secondary may transfer by itself."""
    read = follows(tmp_path)
    policy = read()
    (key,) = policy.keys
    common = policy.of(parse_name("example.net"))
    assert common == policy.default
    assert common.secondaries == (
        Secondary("192.0.2.1"),
        Secondary("2001:db8::1"),
        Secondary("2001:db8::2", 5353, key),
    )
    assert policy.of(parse_name("example.org")) == ZonePolicy((Secondary("192.0.2.7"),))
    assert policy.catalog == parse_name("catalog.invalid")
    access, ns2 = common.access, parse_name("ns2")
    allowed = [("192.0.2.1", None), ("198.51.100.9", None), ("203.0.113.1", ns2), ("2001:db8::2", ns2)]
    assert all(access.allows(parse_address(client), key) for client, key in allowed)
    refused = [("192.0.2.9", None), ("2001:db8::2", None), ("203.0.113.1", None)]
    assert not any(access.allows(parse_address(client), key) for client, key in refused)
    (tmp_path / "ns2.key").write_text(base64.b64encode(b"y" * 32).decode())
    assert read().keys[0].secret == b"y" * 32


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"192.0.2.1"', '"ns2.example.org"', r"dns.secondaries\[0\]: .*not the address of a server; write it like"),
        ('"192.0.2.1"', '":53"', "not the address of a server"),
        ("key NS2.", "key ns3", r"dns.secondaries\[2\]: no key 'ns3'; add it to \[\[dns.keys\]\], or one of: ns2"),
        ('"198.51.100.0/24"', '"198.51.100.1/24"', r"dns.transfer\[0\]: .*not an address or a network"),
        ('"198.51.100.0/24"', '"::ffff:198.51.100.0/120"', r"dns.transfer\[0\]: .*not an address or a network"),
        ('"198.51.100.0/24"', '"fe80::1%eth0"', r"dns.transfer\[0\]: .*not an address or a network"),
        ('"198.51.100.0/24"', '""', "not an address or a network"),
        ('"192.0.2.7:53"', '"192.0.2.7:0"', r"zones.example.org.secondaries\[0\]"),
        ("secret_file", "secret_files", 'unknown key; did you mean "secret_file"?'),
        ('secret_file = "ns2.key"', "", r"dns.keys\[0\] \(ns2\): no secret is given"),
        ('secret_file = "ns2.key"', 'secret_file = "none"', "secret_file: cannot read .*none"),
        ('secret_file = "ns2.key"', 'secret_file = "homing.toml"', "not Base64"),
        ('name = "ns2"', 'name = "ns2"\nalgorithm = "hmac-md5"', "dns.keys"),
        ("catalog.invalid", "Example.net", "dns.catalog: example.net is a zone itself"),
        ("catalog.invalid", ".".join(["a" * 60] * 4), "dns.catalog: is too long"),
    ],
)
def test_what_is_wrong_about_transfers_is_told(tmp_path: Path, before: str, after: str, told: str) -> None:
    """File, key and remedy, before anything is served."""
    assert before in FOLLOWED
    with pytest.raises(ConfigError, match=told):
        follows(tmp_path, FOLLOWED.replace(before, after, 1))()
