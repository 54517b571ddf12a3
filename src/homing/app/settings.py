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
    """Whether STUN servers are asked."""
    servers: tuple[str | Observer, ...] = ()
    """`HOST:PORT` over UDP, or `{ server = ..., operator = ... }`; in place of the built-in list."""
    tcp_servers: tuple[str | Observer, ...] = ()
    """The same over TCP."""
    lists: tuple[str, ...] = ()
    """Files or URLs of lists over UDP, one `host:port` a line."""
    tcp_lists: tuple[str, ...] = ()
    """The same over TCP."""
    udp_limit: Annotated[int, Meta(ge=0, le=50)] = 10
    """How many servers of the lists over UDP are asked in a round."""
    tcp_limit: Annotated[int, Meta(ge=0, le=50)] = 10
    """The same over TCP."""


class HttpSettings(Strict, frozen=True):
    """[detect.http]: services that answer with the caller's address. ``services`` takes the place of the built-in."""

    enabled: bool = True
    """Whether HTTP services are asked."""
    services: tuple[str | Observer, ...] = ()
    """URLs that answer with the caller's address, as text or JSON; in place of the built-in list."""


class WhoamiSettings(Strict, frozen=True):
    """[detect.whoami]: DNS servers that answer with the caller's address."""

    enabled: bool = True
    """Whether DNS whoami servers are asked."""


class InterfaceSettings(Strict, frozen=True):
    """[detect.interface]: this machine's own addresses as an observer of the WAN address."""

    enabled: bool = True
    """Whether the interfaces of this machine are asked."""


class DetectSettings(Strict, frozen=True):
    """[detect]: how the WAN address is learnt."""

    quorum: Annotated[int, Meta(ge=1, le=20)] = 2
    """Operators that must say the same address, and more than half of those that answered."""
    interval: Seconds = 300.0
    """Between two full rounds."""
    probe_interval: Seconds = 15.0
    """Between two single packets that notice a change early."""
    timeout: Annotated[float, Meta(ge=0.1, le=30)] = 5.0
    """How long an observer may take."""
    families: tuple[FamilyNumber, ...] = (4, 6)
    """4 for IPv4, 6 for IPv6."""
    accept: tuple[str, ...] = ()
    """Networks that count as globally reachable, for closed networks only."""
    stun: StunSettings = StunSettings()
    http: HttpSettings = HttpSettings()
    whoami: WhoamiSettings = WhoamiSettings()
    interface: InterfaceSettings = InterfaceSettings()


class TsigKeySettings(Strict, frozen=True, kw_only=True):
    """[[dns.keys]]: a key shared with secondaries (RFC 8945); the secret is base64."""

    name: str
    """Name of the key, the same on both sides."""
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    """Of the key."""
    secret_file: str = ""
    """File with the key in Base64."""
    secret_env: str = ""
    """Environment variable with it instead."""


class DnsSettings(Strict, frozen=True):
    """[dns]: the built-in authoritative server.

    ``secondaries`` and ``transfer`` hold for all zones that do not say otherwise.
    """

    listen: tuple[str, ...] = ("127.0.0.1:5300",)
    """`ADDRESS:PORT`; `:53` is every address of the machine, as they come and go."""
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
    """What ``version.bind`` in class CHAOS tells; empty: REFUSED."""
    identity: str = ""
    """What ``id.server`` in class CHAOS tells (RFC 4892); empty: REFUSED."""
    rate_limit: Annotated[float, Meta(ge=0, le=1e9)] = 200.0
    """Responses a second to one client network; 0 for no limit."""
    cookie_secret_file: str = ""
    """32 hexadecimal digits, the same for all servers that share an address (RFC 9018); empty: made at each start."""


class WebSettings(Strict, frozen=True):
    """[web]: the page, ``/raw``, health and metrics."""

    listen: tuple[str, ...] = ("127.0.0.1:8053",)
    """`ADDRESS:PORT` of page, health and metrics."""
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
    """A master file for all that follows no address."""
    ns: tuple[str, ...] = ()
    """Names of the servers; the first is the primary. Left out: `ns1` in the zone."""
    email: str = ""
    """Who is responsible. Left out: `hostmaster` at the zone."""
    ttl: Ttl = 30
    """Of SOA, NS and glue."""
    refresh: Ttl = 3600
    """How often a secondary looks for a new version by itself."""
    retry: Ttl = 900
    """How soon it looks again when that failed."""
    expire: Ttl = 86400
    """How long it serves the zone without reaching the primary."""
    negative_ttl: Ttl = 30
    """How long resolvers may keep it that a name does not exist."""
    secondaries: tuple[str, ...] | None = None
    """In place of those of [dns]."""
    transfer: tuple[str, ...] | None = None
    """In place of that of [dns]."""


class ProviderSettings(Strict, frozen=True, kw_only=True):
    """[providers.KEY]: keys that every type knows."""

    type: str
    """`strato`, `noip` and others, `dyndns2`, `gandi` or `rfc2136`."""
    timeout: Annotated[float, Meta(ge=0.5, le=60)] = 20.0
    """How long a request may take."""
    ca_file: str = ""
    """Authorities beside the system's."""


class Dyndns2Settings(ProviderSettings, frozen=True, kw_only=True):
    """A dyndns2 service: ``type`` is a preset such as ``strato``, or ``dyndns2`` with a ``server``."""

    server: str = ""
    """Its update URL; needed for type `dyndns2`."""
    user: str = ""
    """Left out: the name itself, as Strato has it."""
    password_file: str = ""
    """File with the password."""
    password_env: str = ""
    """Environment variable with it instead."""
    cooldown: Annotated[float, Meta(ge=0, le=86400)] = 60.0
    """Between two requests for one host; services ban hosts that ask more often."""


class GandiSettings(ProviderSettings, frozen=True, kw_only=True):
    """Gandi LiveDNS: a personal access token, or the deprecated API key."""

    server: str = ""
    """Another URL of LiveDNS."""
    domain: str = ""
    """The domain at Gandi. Left out: found by asking."""
    token_file: str = ""
    """File with a personal access token."""
    token_env: str = ""
    """Environment variable with it instead."""
    api_key_file: str = ""
    """File with an API key, which Gandi retires."""
    api_key_env: str = ""
    """Environment variable with it instead."""


class Rfc2136Settings(ProviderSettings, frozen=True, kw_only=True):
    """Dynamic updates (RFC 2136) signed with TSIG (RFC 8945); ``key_file`` holds the base64 secret."""

    server: str
    """`ADDRESS` or `HOST`, with `:PORT` behind it where it is not 53."""
    zone: str = ""
    """The zone. Left out: found by asking."""
    key_name: str
    """Name of the TSIG key."""
    key_algorithm: str = "hmac-sha256"
    """Of the key."""
    key_file: str = ""
    """File with the key in Base64."""
    key_env: str = ""
    """Environment variable with it instead."""
    public: bool = True
    """Whether the world reads this server: then only globally reachable addresses go there."""


class NameSettings(Strict, frozen=True, kw_only=True):
    """[[names]]: one name, what it should hold, and where it is published."""

    fqdn: str
    """The name."""
    source: Literal["wan", "interface", "static"] = "wan"
    """`wan`: the WAN address; `interface`: this machine's own; `static`: `addresses`."""
    provider: str = "zone"
    """The key of a provider, or `zone` for the built-in server."""
    addresses: tuple[str, ...] = ()
    """For source `static`."""
    families: tuple[FamilyNumber, ...] = (4, 6)
    """4 for IPv4, 6 for IPv6."""
    ttl: Ttl = 60
    """How long resolvers may keep it."""
    interval: Annotated[float, Meta(ge=10, le=7 * 86400)] = 300.0
    """How often drift is looked for, where the provider can be read."""
    ipv6_host_id: str = ""
    """Low 64 bits of another machine in the WAN address's /64, like `::10`."""
    allow_private: bool = False
    """Publish addresses that are not globally reachable, too."""
    enabled: bool = True
    """`false` pauses the name; what is published stays."""


class MessagesSettings(Strict, frozen=True):
    """[messages]: who is told what, through apprise, and the dead man's switch. URLs are secrets: files hold them."""

    urls_file: str = ""
    """A file of apprise URLs, one a line; read anew for each message."""
    urls_env: str = ""
    """The same in an environment variable."""
    ping_file: str = ""
    """A file with the URL that is asked for after each good turn, at most once a minute; after a bad one with /fail."""
    ping_env: str = ""
    """The same in an environment variable."""
    kinds: tuple[Literal["address", "disputed", "lockout", "failed", "drift", "fault", "recovered"], ...] = (
        "address",
        "disputed",
        "lockout",
        "failed",
        "drift",
        "fault",
        "recovered",
    )
    """What is told."""
    gather: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """Seconds in which news become one message."""
    repeat: Seconds = 3600.0
    """Seconds in which the same kind about the same subject is told once."""
    failed_after: Seconds = 900.0
    """Seconds that a name has to fail before it is told."""


class LogSettings(Strict, frozen=True):
    """[log]: what is told, and where."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged."""
    format: Literal["text", "json"] = "text"
    """For people, or for programs."""
    file: str = ""
    """To the end of this file in place of standard error."""


class Settings(Strict, frozen=True):
    """A whole configuration."""

    detect: DetectSettings = DetectSettings()
    dns: DnsSettings | None = None
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    messages: MessagesSettings = MessagesSettings()
    zones: dict[str, ZoneSettings] = {}
    providers: dict[str, ProviderSettings] = {}
    names: tuple[NameSettings, ...] = ()
    second_look: Seconds = 600.0
    """After which a plan that was held is applied, if it still says the same."""


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
