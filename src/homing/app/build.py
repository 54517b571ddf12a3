"""From settings to the parts of the house: names, zones, providers. Cross-checks between tables are made here."""

from __future__ import annotations

import ssl
from ipaddress import ip_network
from typing import TYPE_CHECKING

from homing.app.dns.joined import refuse_conflicts
from homing.app.places import expanded
from homing.app.settings import (
    Dyndns2Settings,
    GandiSettings,
    Loaded,
    NameSettings,
    ProviderSettings,
    Rfc2136Settings,
    Settings,
    WebSettings,
)
from homing.app.zones import build_zones, domain_name
from homing.effects.http import HttpClient
from homing.effects.secret import Secret, secret_from_environment, secret_from_file
from homing.errors import ConfigError, ModelError
from homing.model.address import Family, Network, parse_address, parse_host_id
from homing.model.name import Name, is_host_name
from homing.providers.base import Provider
from homing.sources import InterfaceSource, Source, StaticSource, WanSource
from homing.turn.names import NameSpec

if TYPE_CHECKING:
    from homing.web.access import Access

OWN = "zone"
"""The provider that is built in: the own zones."""

EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def accepted_networks(loaded: Loaded) -> tuple[Network, ...]:
    """``detect.accept``: networks whose addresses count as globally reachable."""
    found: list[Network] = []
    for text in loaded.settings.detect.accept:
        try:
            found.append(ip_network(text))
        except ValueError:
            where = f"{loaded.origin}: detect.accept"
            raise ConfigError(where, f"{text!r} is not a network", 'write it like "10.0.0.0/8"') from None
    return tuple(found)


def build_names(loaded: Loaded) -> tuple[NameSpec, ...]:
    """The names; two that claim the same name at the same provider are an error (law 2)."""
    zones = {zone.origin: zone for zone in build_zones(loaded)}
    origins = tuple(zones)
    accepted = accepted_networks(loaded)
    specs: dict[tuple[str, Name], NameSpec] = {}
    for index, entry in enumerate(loaded.settings.names):
        where = f"{loaded.origin}: names[{index}] ({entry.fqdn})"
        spec = _name(entry, where, loaded.settings, origins, accepted)
        own = max((o for o in origins if spec.name.is_within(o)), key=lambda o: len(o.labels), default=None)
        if spec.provider == OWN and own is not None and (joined := zones[own].joined) is not None:
            refuse_conflicts(joined, spec.name, spec.source.families, where)
        if spec.key in specs:
            raise ConfigError(where, f"is claimed twice at provider {entry.provider!r}", "keep one of the two")
        specs[spec.key] = spec
    return tuple(specs.values())


def _name(
    entry: NameSettings, where: str, settings: Settings, origins: tuple[Name, ...], accepted: tuple[Network, ...]
) -> NameSpec:
    name = domain_name(entry.fqdn, f"{where}.fqdn")
    if not is_host_name(Name(name.labels[1:]) if name.labels[:1] == (b"*",) else name):
        remedy = "letters, digits and hyphens, with at least one dot"
        raise ConfigError(f"{where}.fqdn", "is not a host name", remedy)
    if entry.provider != OWN and entry.provider not in settings.providers:
        known = ", ".join([*settings.providers, OWN])
        raise ConfigError(
            f"{where}.provider",
            f"no provider {entry.provider!r}",
            f"add [providers.{entry.provider}], or one of: {known}",
        )
    if entry.provider == OWN and not any(name.is_within(origin) for origin in origins):
        raise ConfigError(
            f"{where}.provider", "no zone of the built-in server holds it", f'add [zones."{name.parent().text}"]'
        )
    if entry.allow_private:
        accepted = EVERYWHERE
    return NameSpec(
        name, entry.provider, _source(entry, where, accepted), entry.ttl, entry.interval, accepted, entry.enabled
    )


def _source(entry: NameSettings, where: str, accepted: tuple[Network, ...]) -> Source:
    families = frozenset(Family(number) for number in entry.families)
    if not families:
        raise ConfigError(f"{where}.families", "is empty", "write [4], [6] or [4, 6]")
    if (entry.source == "static") != bool(entry.addresses):
        remedy = 'addresses = ["..."] goes with source = "static", and only with it'
        raise ConfigError(f"{where}.addresses", "does not fit the source", remedy)
    if entry.ipv6_host_id and (entry.source != "wan" or Family.V6 not in families):
        raise ConfigError(
            f"{where}.ipv6_host_id", 'goes with source = "wan" and family 6', "remove it, or change those"
        )
    try:
        if entry.source == "static":
            return StaticSource(tuple(dict.fromkeys(parse_address(text) for text in entry.addresses)))
        if entry.source == "interface":
            return InterfaceSource(families, entry.provider != OWN, accepted)
        return WanSource(families, parse_host_id(entry.ipv6_host_id) if entry.ipv6_host_id else None)
    except ModelError as error:
        raise ConfigError(where, str(error), "correct it") from None


def build_provider(key: str, settings: ProviderSettings, loaded: Loaded, http: HttpClient) -> Provider:
    """One provider by its settings. Raises ConfigError; secrets are read when first used."""
    where = f"{loaded.origin}: providers.{key}"
    match settings:
        case Dyndns2Settings():
            from homing.providers.dyndns2 import Dyndns2
            from homing.providers.presets import GENERIC, PRESETS

            if settings.cooldown < 60 and not settings.server:
                raise ConfigError(f"{where}.cooldown", "is under 60 s", "services ban hosts that ask more often")
            return Dyndns2(
                key,
                PRESETS.get(settings.type, GENERIC),
                http=http,
                password=secret_of(settings, loaded, where),
                user=settings.user,
                server=settings.server,
                cooldown=settings.cooldown,
                timeout=settings.timeout,
            )
        case GandiSettings():
            from homing.providers.gandi import Gandi

            token = bool(settings.token_file or settings.token_env)
            return Gandi(
                key,
                http=http,
                token=secret_of(settings, loaded, where),
                scheme="Bearer" if token else "Apikey",
                domain=domain_name(settings.domain, f"{where}.domain") if settings.domain else None,
                server=settings.server,
                timeout=settings.timeout,
            )
        case Rfc2136Settings():
            from homing.providers.rfc2136 import Rfc2136

            return Rfc2136(
                key,
                server=settings.server,
                zone=domain_name(settings.zone, f"{where}.zone") if settings.zone else None,
                key_name=settings.key_name,
                algorithm=settings.key_algorithm,
                key=secret_of(settings, loaded, where),
                timeout=settings.timeout,
                public=settings.public,
            )
        case _:
            raise ConfigError(f"{where}.type", f"unknown provider type {settings.type!r}")


_SECRETS: dict[type[ProviderSettings], tuple[str, ...]] = {
    Dyndns2Settings: ("password",),
    GandiSettings: ("token", "api_key"),
    Rfc2136Settings: ("key",),
}


def secret_of(settings: ProviderSettings, loaded: Loaded, where: str) -> Secret:
    """The one secret that the settings name, by file or by environment variable. Raises ConfigError."""
    kinds = _SECRETS[type(settings)]
    given = [
        (f"{kind}_{way}", way, value)
        for kind in kinds
        for way in ("file", "env")
        if (value := getattr(settings, f"{kind}_{way}"))
    ]
    options = " or ".join(f"{kind}_file" for kind in kinds)
    if len(given) != 1:
        problem = "more than one secret is given" if given else "no secret is given"
        raise ConfigError(where, problem, f'give one: {options} = "FILE" (or ..._env = "VARIABLE")')
    key, way, value = given[0]
    if way == "file":
        return secret_from_file(loaded.base / expanded(value, f"{where}.{key}"), f"{where}.{key}")
    return secret_from_environment(value, f"{where}.{key}")


def web_access(loaded: Loaded, web: WebSettings) -> Access | None:
    """Who may read the page; None for everybody who reaches it. Raises ConfigError."""
    if not web.token_file:
        return None
    from homing.web.access import Access

    where = f"{loaded.origin}: web.token_file"
    return Access(loaded.base / expanded(web.token_file, where), where, metrics=web.token_for_metrics)


def http_client(loaded: Loaded, ca_file: str, where: str) -> HttpClient:
    """A client that trusts ``ca_file`` beside the system's authorities. Raises ConfigError."""
    if not ca_file:
        return HttpClient()
    path = loaded.base / expanded(ca_file, f"{where}.ca_file")
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one too
        reason = error.strerror or "no certificate in it"
        raise ConfigError(
            f"{where}.ca_file", f"cannot use {path}: {reason}", "name a file of PEM certificates"
        ) from None
    return HttpClient(ca_file=path)
