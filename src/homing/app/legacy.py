"""ESDDNS's dns.ini, read as it stands (SPEC B6): its file, its environment variables, its web port.

ESDDNS writes the *names* of environment variables as the values of [gandi] (``api_key = API_KEY``) and looks those up.
Values may be quoted; its messages (``msg_*``) and protocol constants are not settings and are ignored.
"""

from __future__ import annotations

import configparser
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from homing.app.settings import (
    DetectSettings,
    GandiSettings,
    HttpSettings,
    Loaded,
    LogSettings,
    NameSettings,
    Settings,
    StunSettings,
    WebSettings,
    WhoamiSettings,
    read_text,
)
from homing.errors import ConfigError

MIN_TTL = 300
"""Seconds: Gandi's least TTL."""

_KNOWN = {
    "gandi": {"api_key", "api_url_base", "target_domain_fqdn", "record_name_root", "record_ttl", "record_type_a"}
    | {"record_type_cname", "api_url_domains", "api_url_domains_ns", "api_url_domains_records"}
    | {"api_url_domains_records_create"},
    "WANIPState": {"ip_check_services", "retry_attempts", "retry_cooldown_seconds"},
    "STUNConfig": {"udp_host_list_url", "tcp_host_list_url", "bind_request", "magic_cookie", "xor_mapped_address"}
    | {"udp_limit", "tcp_limit", "retry_attempts", "retry_cooldown_seconds"},
    "log": {"log_file", "log_to_console"},
    "ESDDNS": {"daemon_thread_interval", "service_host", "service_port"},
}


class Ini:
    """A dns.ini whose values are read by section and key, without quotes."""

    def __init__(self, origin: str, text: str) -> None:
        """``origin`` is named in errors. Raises ConfigError."""
        self.origin = origin
        self._parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            self._parser.read_string(text)
        except configparser.Error as error:
            first = str(error).splitlines()[0]
            raise ConfigError(self.origin, f"is not an INI file: {first}", "compare it with ESDDNS's dns.ini") from None

    def has(self, section: str) -> bool:
        """Whether there is such a section."""
        return self._parser.has_section(section)

    def get(self, section: str, key: str, default: str = "") -> str:
        """A value without its quotes."""
        value = self._parser.get(section, key, fallback=default).strip()
        return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" else value

    def where(self, section: str, key: str) -> str:
        """The place of a key, for errors."""
        return f"{self.origin}: [{section}] {key}"

    def number(self, section: str, key: str, default: int) -> int:
        """A whole number. Raises ConfigError."""
        text = self.get(section, key, str(default))
        try:
            return int(text)
        except ValueError:
            raise ConfigError(self.where(section, key), f"{text!r} is not a whole number", f"write {default}") from None

    def notes(self) -> tuple[str, ...]:
        """What it says that nobody reads."""
        return tuple(
            f"[{section}] {key} is not used by Homing"
            for section in self._parser.sections()
            for key in self._parser[section]
            if key not in _KNOWN.get(section, set()) and not key.startswith("msg_")
        )


def load_dns_ini(path: Path, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read a dns.ini. Raises ConfigError; no value of a secret is ever in its text."""
    ini = Ini(str(path), read_text(path))
    if not ini.has("gandi"):
        raise ConfigError(ini.origin, "has no section [gandi]", "add it, or write a homing.toml: homing init")
    if not ini.has("WANIPState") and not ini.has("STUNConfig"):
        raise ConfigError(
            ini.origin, "has neither [WANIPState] nor [STUNConfig]", "add one, else there is no way to see the address"
        )
    domain = _variable(ini, "target_domain_fqdn", "TARGET_DOMAIN_FQDN", environ).rstrip(".")
    record = _variable(ini, "record_name_root", "RECORD_NAME_ROOT", environ, default="@")
    ttl = _variable(ini, "record_ttl", "RECORD_TTL", environ, default=str(MIN_TTL))
    if not ttl.isascii() or not ttl.isdigit():
        raise ConfigError(ini.where("gandi", "record_ttl"), "is not a number of seconds", "set RECORD_TTL=300")
    if not environ.get(ini.get("gandi", "api_key", "API_KEY"), "").strip():
        # The value is not told: it may be the key itself.
        remedy = "write api_key = API_KEY and set the environment variable API_KEY to the key"
        raise ConfigError(ini.where("gandi", "api_key"), "does not name an environment variable that is set", remedy)
    interval = float(max(10, ini.number("ESDDNS", "daemon_thread_interval", 300)))
    settings = Settings(
        detect=detection(ini, interval),
        web=_web(ini),
        log=LogSettings(file="" if ini.get("log", "log_to_console") == "True" else ini.get("log", "log_file")),
        providers={
            "gandi": GandiSettings(
                type="gandi",
                server=base_url(ini),
                domain=domain,
                api_key_env=ini.get("gandi", "api_key", "API_KEY"),
            )
        },
        names=(
            NameSettings(
                fqdn=domain if record == "@" else f"{record}.{domain}",
                provider="gandi",
                families=(4,),
                ttl=max(MIN_TTL, int(ttl)),
                interval=interval,
            ),
        ),
    )
    for part in (settings.detect, settings.web, *settings.names):
        _check_ranges(part, ini.origin)
    return Loaded(settings, str(path), path.resolve().parent, ini.notes())


def _check_ranges(part: msgspec.Struct, origin: str) -> None:
    """Numbers in a dns.ini have the same bounds as in a homing.toml. Raises ConfigError."""
    try:
        msgspec.convert(msgspec.to_builtins(part), type(part))
    except msgspec.ValidationError as error:
        raise ConfigError(origin, f"a number is out of range: {error}", "compare it with ESDDNS's dns.ini") from None


def _variable(ini: Ini, key: str, usual: str, environ: Mapping[str, str], default: str = "") -> str:
    variable = ini.get("gandi", key, usual)
    value = environ.get(variable, "").strip() or default
    if not value:
        remedy = f"set the environment variable {usual}"
        raise ConfigError(ini.where("gandi", key), "names an environment variable that is not set", remedy)
    return value


def base_url(ini: Ini) -> str:
    """LiveDNS's base, where ESDDNS names the host and the path of its list of domains."""
    base = ini.get("gandi", "api_url_base", "https://api.gandi.net").rstrip("/")
    return base + ini.get("gandi", "api_url_domains", "/v5/livedns/domains").removesuffix("/domains")


def detection(ini: Ini, interval: float) -> DetectSettings:
    """How the address is learnt: a method whose section is missing is off (SPEC B3). Raises ConfigError."""
    stun, http = StunSettings(enabled=False), HttpSettings(enabled=False)
    if ini.has("STUNConfig"):
        stun = StunSettings(
            lists=_given(ini.get("STUNConfig", "udp_host_list_url")),
            tcp_lists=_given(ini.get("STUNConfig", "tcp_host_list_url")),
            udp_limit=min(50, ini.number("STUNConfig", "udp_limit", 5)),
            tcp_limit=min(50, ini.number("STUNConfig", "tcp_limit", 5)),
        )
    if ini.has("WANIPState"):
        http = HttpSettings(services=_services(ini))
    return DetectSettings(interval=interval, families=(4,), stun=stun, http=http, whoami=WhoamiSettings(enabled=False))


def _given(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _services(ini: Ini) -> tuple[str, ...]:
    where = ini.where("WANIPState", "ip_check_services")
    remedy = 'write {"svc": ["https://api.ipify.org/?format=text"]}'
    try:
        found: Any = json.loads(ini.get("WANIPState", "ip_check_services", '{"svc": []}'))
        services = tuple(str(url) for url in found["svc"])
        if not isinstance(found["svc"], list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(where, "is not the JSON that ESDDNS knows", remedy) from None
    return services


def _web(ini: Ini) -> WebSettings:
    port = ini.number("ESDDNS", "service_port", 51339)
    host = ini.get("ESDDNS", "service_host", "127.0.0.1")
    return WebSettings(legacy_listen=(f"[{host}]:{port}" if ":" in host else f"{host}:{port}",))
