"""Settings: homing.toml as typed values. Nothing else in the house reads a setting.

Times are seconds. A wrong or unknown key is a ConfigError that names file, key and remedy.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import socket
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from homing.errors import ConfigError

StructType = typing.TypeVar("StructType", bound=Struct)

Seconds = Annotated[float, Meta(gt=0, le=7 * 86400)]
Ttl = Annotated[int, Meta(ge=1, le=604800)]
FamilyNumber = Literal[4, 6]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A table in which an unknown key is an error."""


class Observer(Strict, frozen=True):
    """An observer given with its operator: ``{ server = "stun.example:3478", operator = "Example" }``."""

    operator: str
    server: str = ""
    url: str = ""


class StunSettings(Strict, frozen=True):
    """[detect.stun]: STUN servers (RFC 8489). ``servers`` and ``lists`` take the place of the built-in list."""

    enabled: bool = True
    servers: tuple[str | Observer, ...] = ()
    tcp_servers: tuple[str | Observer, ...] = ()
    lists: tuple[str, ...] = ()
    tcp_lists: tuple[str, ...] = ()
    udp_limit: Annotated[int, Meta(ge=0, le=50)] = 10
    tcp_limit: Annotated[int, Meta(ge=0, le=50)] = 10


class HttpSettings(Strict, frozen=True):
    """[detect.http]: services that answer with the caller's address. ``services`` takes the place of the built-in."""

    enabled: bool = True
    services: tuple[str | Observer, ...] = ()


class WhoamiSettings(Strict, frozen=True):
    """[detect.whoami]: DNS servers that answer with the caller's address."""

    enabled: bool = True


class InterfaceSettings(Strict, frozen=True):
    """[detect.interface]: this machine's own addresses as an observer of the WAN address."""

    enabled: bool = True


class DetectSettings(Strict, frozen=True):
    """[detect]: how the WAN address is learnt."""

    quorum: Annotated[int, Meta(ge=1, le=20)] = 2
    interval: Seconds = 300.0
    probe_interval: Seconds = 15.0
    timeout: Annotated[float, Meta(ge=0.1, le=30)] = 5.0
    families: tuple[FamilyNumber, ...] = (4, 6)
    accept: tuple[str, ...] = ()
    stun: StunSettings = StunSettings()
    http: HttpSettings = HttpSettings()
    whoami: WhoamiSettings = WhoamiSettings()
    interface: InterfaceSettings = InterfaceSettings()


class TsigKeySettings(Strict, frozen=True, kw_only=True):
    """[[dns.keys]]: a key shared with secondaries (RFC 8945); the secret is base64."""

    name: str
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    secret_file: str = ""
    secret_env: str = ""


class DnsSettings(Strict, frozen=True):
    """[dns]: the built-in authoritative server.

    ``secondaries`` and ``transfer`` hold for all zones that do not say otherwise.
    """

    listen: tuple[str, ...] = ("127.0.0.1:5300",)
    secondaries: tuple[str, ...] = ()
    """``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``, with ``key NAME`` behind it where one is shared."""
    transfer: tuple[str, ...] = ()
    """Who else may transfer: ``ADDRESS``, ``NETWORK``, ``key NAME``, or one of the first two with the third."""
    keys: tuple[TsigKeySettings, ...] = ()
    catalog: str = ""
    """The catalog zone (RFC 9432) that lists the zones for the secondaries; empty for none."""
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    """Processes that answer over UDP; with 0 the main process does, which is plenty for a home."""
    nsid: str = ""
    """Told to clients that ask which server they reached (RFC 5001); empty for nothing."""
    version: str = ""
    identity: str = ""
    """What ``version.bind`` and ``id.server`` in class CHAOS tell; empty: REFUSED."""
    rate_limit: Annotated[float, Meta(ge=0, le=1e9)] = 200.0
    """Responses a second to one client network; 0 for no limit."""
    cookie_secret_file: str = ""
    """32 hexadecimal digits, the same for all servers that share an address (RFC 9018); empty: made at each start."""


class WebSettings(Strict, frozen=True):
    """[web]: the page, ``/raw``, health and metrics."""

    listen: tuple[str, ...] = ("127.0.0.1:8053",)
    legacy_listen: tuple[str, ...] = ()
    """Where only ``/`` and ``/raw`` are served, as a dns.ini opens them to the network."""
    token_file: str = ""
    """Holds the token that readers must give; empty: who reaches the page may read it."""
    token_for_metrics: bool = False
    """Whether ``/metrics`` asks for the token too; probes of health never do."""


class ZoneSettings(Strict, frozen=True):
    """[zones."example.org"]: a zone of the built-in server. Times in seconds.

    ``file`` is a master file that gives SOA, NS and all that follows no address; of the other keys only
    ``secondaries`` and ``transfer`` go with it.
    """

    file: str = ""
    ns: tuple[str, ...] = ()
    email: str = ""
    ttl: Ttl = 30
    refresh: Ttl = 3600
    retry: Ttl = 900
    expire: Ttl = 86400
    negative_ttl: Ttl = 30
    secondaries: tuple[str, ...] | None = None
    transfer: tuple[str, ...] | None = None


class ProviderSettings(Strict, frozen=True, kw_only=True):
    """[providers.KEY]: keys that every type knows."""

    type: str
    timeout: Annotated[float, Meta(ge=0.5, le=60)] = 20.0
    ca_file: str = ""


class Dyndns2Settings(ProviderSettings, frozen=True, kw_only=True):
    """A dyndns2 service: ``type`` is a preset such as ``strato``, or ``dyndns2`` with a ``server``."""

    server: str = ""
    user: str = ""
    password_file: str = ""
    password_env: str = ""
    cooldown: Annotated[float, Meta(ge=0, le=86400)] = 60.0


class GandiSettings(ProviderSettings, frozen=True, kw_only=True):
    """Gandi LiveDNS: a personal access token, or the deprecated API key."""

    server: str = ""
    domain: str = ""
    token_file: str = ""
    token_env: str = ""
    api_key_file: str = ""
    api_key_env: str = ""


class Rfc2136Settings(ProviderSettings, frozen=True, kw_only=True):
    """Dynamic updates (RFC 2136) signed with TSIG (RFC 8945); ``key_file`` holds the base64 secret."""

    server: str
    zone: str = ""
    key_name: str
    key_algorithm: str = "hmac-sha256"
    key_file: str = ""
    key_env: str = ""
    public: bool = True
    """Whether the world reads this server: then only globally reachable addresses go there."""


class NameSettings(Strict, frozen=True, kw_only=True):
    """[[names]]: one name, what it should hold, and where it is published."""

    fqdn: str
    source: Literal["wan", "interface", "static"] = "wan"
    provider: str = "zone"
    addresses: tuple[str, ...] = ()
    families: tuple[FamilyNumber, ...] = (4, 6)
    ttl: Ttl = 60
    interval: Annotated[float, Meta(ge=10, le=7 * 86400)] = 300.0
    ipv6_host_id: str = ""
    allow_private: bool = False
    enabled: bool = True


class LogSettings(Strict, frozen=True):
    """[log]."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file: str = ""


class Settings(Strict, frozen=True):
    """A whole configuration."""

    detect: DetectSettings = DetectSettings()
    dns: DnsSettings | None = None
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    zones: dict[str, ZoneSettings] = {}
    providers: dict[str, ProviderSettings] = {}
    names: tuple[NameSettings, ...] = ()
    second_look: Seconds = 600.0


class Loaded(Struct, frozen=True):
    """Settings, where they came from, the folder that relative paths start from, and notes for the user."""

    settings: Settings
    origin: str
    base: Path
    notes: tuple[str, ...] = ()


def default_settings(host: str | None = None) -> Loaded:
    """What Homing does without a configuration: this machine's names in ``home.arpa.`` (RFC 8375)."""
    label = re.sub(r"[^a-z0-9-]+", "-", (host or socket.gethostname()).split(".")[0].lower())[:60].strip("-") or "host"
    if label in ("wan", "ns1"):
        label += "-host"
    names = (
        NameSettings(fqdn=f"{label}.home.arpa", source="interface", ttl=30, allow_private=True),
        NameSettings(fqdn="wan.home.arpa", source="wan", ttl=30),
    )
    settings = Settings(dns=DnsSettings(), zones={"home.arpa": ZoneSettings()}, names=names)
    return Loaded(settings, "built-in defaults", Path.cwd())


def find_configuration(given: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The configuration file: the one given, else the user's, else the system's, else none (XDG Base Directory)."""
    if given is not None:
        return given
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    for path in (Path(home) / "homing" / "homing.toml", Path("/etc/homing/homing.toml")):
        with contextlib.suppress(OSError):  # a folder that may not be looked into has nothing for this user
            if path.is_file():
                return path
    return None


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            str(path), f"cannot read it: {error.strerror}", "homing init writes a commented one"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8 text", "save it as UTF-8") from None


def load_toml(path: Path) -> Loaded:
    """Read a homing.toml. Raises ConfigError."""
    text = read_text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not TOML: {error}", "homing init writes a valid example") from None
    return Loaded(parse(data, str(path)), str(path), path.resolve().parent)


def parse(data: dict[str, Any], origin: str) -> Settings:
    """Settings from parsed TOML. Raises ConfigError; cross-checks between tables are made in ``build``."""
    rest = {key: value for key, value in data.items() if key != "providers"}
    tables = data.get("providers", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{origin}: providers", "is not a table", "write [providers.NAME] and its keys below")
    named = typing.cast("dict[str, object]", tables)
    if "zone" in named:
        raise ConfigError(f"{origin}: providers.zone", "is the built-in server's name", "choose another name")
    providers = {key: _provider(value, origin, key) for key, value in named.items()}
    settings = msgspec.structs.replace(_convert(rest, Settings, origin, ""), providers=providers)
    if settings.dns is None and settings.zones:
        settings = msgspec.structs.replace(settings, dns=DnsSettings())
    return settings


def provider_types() -> dict[str, type[ProviderSettings]]:
    """Every provider type and the keys it takes."""
    from homing.providers.presets import PRESETS

    dyndns2: dict[str, type[ProviderSettings]] = dict.fromkeys(("dyndns2", *PRESETS), Dyndns2Settings)
    return {**dyndns2, "gandi": GandiSettings, "rfc2136": Rfc2136Settings}


def _provider(value: object, origin: str, key: str) -> ProviderSettings:
    where = f"providers.{key}"
    if not isinstance(value, dict):
        raise ConfigError(f"{origin}: {where}", "is not a table", f"write [{where}] and its keys below")
    kinds = provider_types()
    table = typing.cast("dict[str, Any]", value)
    kind = table.get("type", key if key in kinds else None)
    if kind not in kinds:
        near = difflib.get_close_matches(str(kind), kinds, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"known types: {', '.join(kinds)}"
        problem = f"unknown provider type {kind!r}" if kind else "has no type"
        raise ConfigError(f"{origin}: {where}.type", problem, hint)
    return _convert({**table, "type": kind}, kinds[kind], origin, where)


_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
_PATH = re.compile(r"(?P<problem>.*?)(?: - at (?P<what>key in )?`\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)


def _convert(data: object, kind: type[StructType], origin: str, prefix: str) -> StructType:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        unknown = _UNKNOWN.match(text)
        if unknown:
            key, path = unknown.group(1), unknown.group(2) or ""
            raise ConfigError(
                f"{origin}: {_join(prefix, path, key)}", "unknown key", _suggestion(kind, path, key)
            ) from None
        match = _PATH.match(text)
        problem, path = (match["problem"], match["path"] or "") if match else (text, "")
        raise ConfigError(f"{origin}: {_join(prefix, path)}", _plain(problem), _missing_remedy(problem)) from None


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part).replace(".[", "[") or "the file"


def _suggestion(kind: type[Struct], path: str, key: str) -> str:
    fields = _fields_at(kind, path)
    near = difflib.get_close_matches(key, fields, 1, 0.6)
    return f'did you mean "{near[0]}"?' if near else f"known keys: {', '.join(fields)}"


def _fields_at(kind: type[Struct], path: str) -> tuple[str, ...]:
    """The keys of the table that a path such as ``detect.stun`` or ``names[0]`` leads to."""
    here: Any = msgspec.inspect.type_info(kind)
    for step in re.findall(r"[^.\[\]]+|\[[^\]]*\]", path):
        if isinstance(here, msgspec.inspect.UnionType):
            here = next(item for item in here.types if isinstance(item, msgspec.inspect.StructType))
        if isinstance(here, msgspec.inspect.StructType):
            here = next((field.type for field in here.fields if field.encode_name == step), here)
        elif isinstance(here, msgspec.inspect.DictType):
            here = here.value_type
        else:
            here = getattr(here, "item_type", here)
    if isinstance(here, msgspec.inspect.UnionType):
        here = next((item for item in here.types if isinstance(item, msgspec.inspect.StructType)), here)
    return tuple(field.encode_name for field in here.fields) if isinstance(here, msgspec.inspect.StructType) else ()


def _plain(problem: str) -> str:
    """msgspec's sentence in the words of TOML."""
    for theirs, ours in (
        ("Object missing required field", "misses the key"),
        ("`str`", "text in quotes"),
        ("`int`", "a whole number"),
        ("`float`", "a number"),
        ("`array`", "a list"),
        ("`object`", "a table"),
        ("`bool`", "true or false"),
        ("Invalid enum value", "has a value that is not known:"),
        ("Expected", "must be"),
    ):
        problem = problem.replace(theirs, ours)
    return problem


def _missing_remedy(problem: str) -> str:
    missing = re.search(r"missing required field `([^`]*)`", problem)
    return f"add {missing.group(1)} = ..." if missing else ""
