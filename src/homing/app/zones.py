"""From settings to the zones of the built-in server."""

from __future__ import annotations

from dataclasses import dataclass

from homing.app.dns.joined import Joined, read_joined
from homing.app.places import expanded
from homing.app.settings import Loaded, ZoneSettings
from homing.errors import ConfigError, ModelError
from homing.model.name import Name, parse_name
from homing.model.zone import Soa


@dataclass(frozen=True, slots=True)
class ZoneSpec:
    """A zone of the built-in server. ``ns`` are the names of its servers, ``ttl`` seconds of the apex records.

    With ``joined`` a master file gives them all.
    """

    origin: Name
    soa: Soa
    ns: tuple[Name, ...]
    ttl: int
    joined: Joined | None = None


def build_zones(loaded: Loaded) -> tuple[ZoneSpec, ...]:
    """The zones of the built-in server. Raises ConfigError."""
    found: dict[Name, ZoneSpec] = {}
    for text, settings in loaded.settings.zones.items():
        where = f"{loaded.origin}: zones.{text}"
        zone = _zone(text, settings, where) if not settings.file else _joined(text, settings, loaded, where)
        if zone.origin in found:
            raise ConfigError(where, "is given twice", "keep one of the two")
        found[zone.origin] = zone
    return tuple(found.values())


def _zone(text: str, zone: ZoneSettings, where: str) -> ZoneSpec:
    origin = domain_name(text, where)
    servers = tuple(domain_name(server, f"{where}.ns") for server in zone.ns) or (origin.prefixed("ns1"),)
    local, at, domain = zone.email.partition("@")
    try:
        rname = parse_name(domain).prefixed(local) if at else parse_name(zone.email or f"hostmaster.{origin}")
    except (ModelError, UnicodeError) as error:
        raise ConfigError(f"{where}.email", str(error), 'write it like "hostmaster@example.org"') from None
    soa = Soa(servers[0], rname, zone.refresh, zone.retry, zone.expire, zone.negative_ttl, zone.ttl)
    return ZoneSpec(origin, soa, servers, zone.ttl)


def _joined(text: str, zone: ZoneSettings, loaded: Loaded, where: str) -> ZoneSpec:
    here = set(zone.__struct_fields__) - {"file", "secondaries", "transfer"}
    extra = [key for key in sorted(here) if getattr(zone, key) != getattr(_DEFAULTS, key)]
    if extra:
        raise ConfigError(f"{where}.{extra[0]}", "does not go with a file", "write it into the master file")
    origin = domain_name(text, where)
    joined = read_joined(loaded.base / expanded(zone.file, f"{where}.file"), origin, f"{where}.file")
    return ZoneSpec(origin, joined.zone.soa, (), joined.zone.soa.ttl, joined)


_DEFAULTS = ZoneSettings()


def domain_name(text: str, where: str) -> Name:
    """A name as people write it; letters outside ASCII become A-labels (RFC 5891). Raises ConfigError."""
    try:
        if not text.isascii():
            import idna

            text = idna.encode(text, uts46=True).decode("ascii")
        return parse_name(text)
    except (ModelError, UnicodeError) as error:  # IDNAError is one
        raise ConfigError(where, f"is not a domain name: {error}", 'write it like "www.example.org"') from None
