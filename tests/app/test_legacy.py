"""ESDDNS's dns.ini works as it stands (B6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from homing.app.build import build_names
from homing.app.legacy import load_dns_ini
from homing.app.settings import GandiSettings
from homing.errors import ConfigError

INI = """
[gandi]
api_key = API_KEY
api_url_base = https://api.gandi.net
api_url_domains = /v5/livedns/domains
api_url_domains_records = /{}/records
record_name_root = RECORD_NAME_ROOT
record_ttl = RECORD_TTL
record_type_a = RECORD_TYPE_A
record_type_cname = RECORD_TYPE_CNAME
target_domain_fqdn = TARGET_DOMAIN_FQDN
msg_dns_domain_found = "found 100% {}"

[WANIPState]
ip_check_services = {"svc": ["https://ip.example.org/?format=text",
    "https://ip.example.net/"]}
msg_ip_found = "yes"
retry_attempts = 3

[log]
log_file = esddns.log
log_to_console = True

[ESDDNS]
daemon_thread_interval = 60
service_host = "0.0.0.0"
service_port = "51139"
"""
STUN = """
[STUNConfig]
udp_host_list_url = https://lists.example.org/udp.txt
tcp_host_list_url = https://lists.example.org/tcp.txt
; 0x2112A442 as a decimal
magic_cookie = 554869826
udp_limit = 4
tcp_limit = 3
"""
ENVIRONMENT = {
    "API_KEY": "hush",
    "TARGET_DOMAIN_FQDN": "example.org",
    "RECORD_NAME_ROOT": "home",
    "RECORD_TTL": "600",
    "RECORD_TYPE_A": "A",
}


def write(directory: Path, text: str) -> Path:
    path = directory / "dns.ini"
    path.write_text(text)
    return path


def test_file_and_environment_become_settings(tmp_path: Path) -> None:
    """Name, TTL, interval, key, services, lists, limits and port are taken over; values lose their quotes."""
    settings = load_dns_ini(write(tmp_path, INI + STUN), ENVIRONMENT).settings
    (spec,) = build_names(load_dns_ini(write(tmp_path, INI + STUN), ENVIRONMENT))
    assert (spec.name.text, spec.ttl, spec.interval, spec.provider) == ("home.example.org", 600, 60.0, "gandi")
    assert settings.web.legacy_listen == ("0.0.0.0:51139",)
    assert settings.detect.http.services == ("https://ip.example.org/?format=text", "https://ip.example.net/")
    assert settings.detect.stun.lists == ("https://lists.example.org/udp.txt",)
    assert settings.detect.stun.tcp_lists == ("https://lists.example.org/tcp.txt",)
    assert (settings.detect.stun.udp_limit, settings.detect.stun.tcp_limit) == (4, 3)
    gandi = settings.providers["gandi"]
    assert isinstance(gandi, GandiSettings)
    assert (gandi.server, gandi.domain, gandi.api_key_env) == (
        "https://api.gandi.net/v5/livedns",
        "example.org",
        "API_KEY",
    )


def test_the_apex_is_written_as_an_at_sign(tmp_path: Path) -> None:
    """RECORD_NAME_ROOT=@ means the domain itself; a TTL below Gandi's least is raised to it."""
    loaded = load_dns_ini(write(tmp_path, INI), {**ENVIRONMENT, "RECORD_NAME_ROOT": "@", "RECORD_TTL": "60"})
    (spec,) = build_names(loaded)
    assert (spec.name.text, spec.ttl) == ("example.org", 300)


@pytest.mark.parametrize(("text", "stun", "http"), [(INI, False, True), (INI + STUN, True, True)])
def test_a_section_turns_its_method_on(tmp_path: Path, text: str, stun: bool, http: bool) -> None:
    """B3: a method whose section is missing is off."""
    detect = load_dns_ini(write(tmp_path, text), ENVIRONMENT).settings.detect
    assert (detect.stun.enabled, detect.http.enabled, detect.whoami.enabled) == (stun, http, False)


def test_messages_are_no_settings_and_other_keys_are_told(tmp_path: Path) -> None:
    """``msg_*`` keys are ignored silently; a key that ESDDNS does not know is told, and no error."""
    assert load_dns_ini(write(tmp_path, INI), ENVIRONMENT).notes == ()
    notes = load_dns_ini(write(tmp_path, INI + "colour = green\n"), ENVIRONMENT).notes
    assert notes == ("[ESDDNS] colour is not used by Homing",)


@pytest.mark.parametrize(
    ("text", "environment", "problem"),
    [
        (INI, {}, "TARGET_DOMAIN_FQDN"),
        (INI.replace("= API_KEY", "= hush"), ENVIRONMENT, "[gandi] api_key"),
        (INI.replace('{"svc": [', '{"svc": "https://a", "x": ['), ENVIRONMENT, "ip_check_services"),
        (INI + STUN.replace("udp_limit = 4", "udp_limit = -1"), ENVIRONMENT, "out of range"),
        (INI, {**ENVIRONMENT, "RECORD_TTL": "99999999999"}, "out of range"),
        (INI, {**ENVIRONMENT, "RECORD_TTL": "soon"}, "RECORD_TTL"),
        (INI.replace('{"svc": [', "["), ENVIRONMENT, "ip_check_services"),
        (INI.replace("= 60", "= often"), ENVIRONMENT, "daemon_thread_interval"),
        (INI[: INI.index("[WANIPState]")], ENVIRONMENT, "neither [WANIPState] nor [STUNConfig]"),
        ("[log]\n", ENVIRONMENT, "no section [gandi]"),
        ("no ini", ENVIRONMENT, "is not an INI file"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, environment: dict[str, str], problem: str) -> None:
    """File, key and remedy are told; the value of a secret is not."""
    with pytest.raises(ConfigError) as error:
        load_dns_ini(write(tmp_path, text), environment)
    assert problem in str(error.value)
    assert "hush" not in str(error.value)
