"""From settings to who follows which zone, who may transfer it, and the keys they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_network

from homing.app.build import build_zones, domain_name, expanded, parse_listen
from homing.app.settings import DnsSettings, Loaded, TsigKeySettings
from homing.dns.transfers.policy import TransferPolicy, ZonePolicy
from homing.dns.transfers.secondary import Secondary
from homing.dns.transfers.transfer import Rule
from homing.dns.transfers.tsig import Key, tsig_key
from homing.effects.secret import Secret, secret_from_environment, secret_from_file
from homing.errors import ConfigError, ModelError
from homing.model.name import Name

ReadPolicy = Callable[[], TransferPolicy]
"""The policy with the secrets as they are now. Raises ConfigError when one cannot be read."""

_LIKE_SECONDARY = 'write it like "192.0.2.1", "[2001:db8::1]:53" or "192.0.2.1 key NAME"'
_LIKE_RULE = 'write it like "192.0.2.1", "2001:db8::/32", "key NAME" or "192.0.2.1 key NAME"'


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of ``secondaries`` or ``transfer``: what is before ``key``, and the key's name."""

    what: str
    key: Name | None
    where: str


def catalog_name(loaded: Loaded) -> Name | None:
    """The name of the catalog zone. Raises ConfigError."""
    dns = loaded.settings.dns
    if dns is None or not dns.catalog:
        return None
    where = f"{loaded.origin}: dns.catalog"
    name = domain_name(dns.catalog, where)
    for zone in build_zones(loaded):
        if name == zone.origin:
            raise ConfigError(where, f"{name.text} is a zone itself", 'name it like "catalog.invalid"')
    if len(name.wire) + len(b"\x20" + b"x" * 32 + b"\x05zones") > 255:
        raise ConfigError(where, "is too long to have the zones' names below it", 'name it like "catalog.invalid"')
    return name


def transfer_policy(loaded: Loaded) -> ReadPolicy:
    """Who follows and who may transfer. Raises ConfigError; so does what it returns, for secrets only."""
    dns = loaded.settings.dns or DnsSettings()
    keys = _keys(dns.keys, loaded)
    here = f"{loaded.origin}: dns"
    common = (
        _entries(dns.secondaries, f"{here}.secondaries", keys),
        _entries(dns.transfer, f"{here}.transfer", keys),
    )
    zones = {
        spec.origin: (
            common[0]
            if given.secondaries is None
            else _entries(given.secondaries, f"{loaded.origin}: zones.{text}.secondaries", keys),
            common[1]
            if given.transfer is None
            else _entries(given.transfer, f"{loaded.origin}: zones.{text}.transfer", keys),
        )
        for spec, (text, given) in zip(build_zones(loaded), loaded.settings.zones.items(), strict=True)
    }
    catalog = catalog_name(loaded)
    others = {name: tuple(map(_rule, entries)) for name, (_, entries) in zones.items()}
    for secondaries, _ in (common, *zones.values()):
        for entry in secondaries:
            _secondary(entry, {})
    common_rules = tuple(map(_rule, common[1]))

    def read() -> TransferPolicy:
        known = {name: _key(settings, secret, where) for name, (settings, secret, where) in keys.items()}
        return TransferPolicy(
            tuple(known.values()),
            ZonePolicy(_secondaries(common[0], known), common_rules),
            {name: ZonePolicy(_secondaries(given, known), others[name]) for name, (given, _) in zones.items()},
            catalog,
        )

    return read


_Keys = dict[Name, tuple[TsigKeySettings, Secret, str]]


def _keys(given: Iterable[TsigKeySettings], loaded: Loaded) -> _Keys:
    found: _Keys = {}
    for index, settings in enumerate(given):
        where = f"{loaded.origin}: dns.keys[{index}] ({settings.name})"
        name = domain_name(settings.name, f"{where}.name")
        if name in found:
            raise ConfigError(where, "is given twice", "keep one of the two")
        if bool(settings.secret_file) == bool(settings.secret_env):
            problem = "more than one secret is given" if settings.secret_file else "no secret is given"
            raise ConfigError(where, problem, 'give one: secret_file = "FILE" or secret_env = "VARIABLE"')
        if settings.secret_file:
            path = loaded.base / expanded(settings.secret_file, f"{where}.secret_file")
            secret = secret_from_file(path, f"{where}.secret_file")
        else:
            secret = secret_from_environment(settings.secret_env, f"{where}.secret_env")
        found[name] = settings, secret, where
    return found


def _key(settings: TsigKeySettings, secret: Secret, where: str) -> Key:
    try:
        return tsig_key(settings.name, settings.algorithm, secret.reveal())
    except ModelError as error:
        remedy = f"write the base64 secret of at least 16 octets into {secret.origin}"
        raise ConfigError(where, str(error), remedy) from None


def _entries(texts: Iterable[str], where: str, keys: _Keys) -> tuple[_Entry, ...]:
    return tuple(_entry(text, f"{where}[{index}]", keys) for index, text in enumerate(texts))


def _entry(text: str, where: str, keys: _Keys) -> _Entry:
    words = text.split()
    key: Name | None = None
    if len(words) >= 2 and words[-2] == "key":
        key = domain_name(words[-1], where)
        if key not in keys:
            known = ", ".join(name.text for name in keys) or "none"
            raise ConfigError(where, f"no key {key.text!r}", f"add it to [[dns.keys]], or one of: {known}")
        words = words[:-2]
    return _Entry(" ".join(words), key, where)


def _rule(entry: _Entry) -> Rule:
    try:
        network = ip_network(entry.what) if entry.what else None
        first = network.network_address if isinstance(network, IPv6Network) else None
        if first is not None and (first.scope_id or first.ipv4_mapped):
            raise ValueError  # clients are known without a scope, and by IPv4 where that is inside IPv6
        return Rule(() if network is None else (network,), entry.key)
    except (ValueError, ModelError):
        raise ConfigError(entry.where, f"{entry.what!r} is not an address or a network", _LIKE_RULE) from None


def _secondaries(entries: Iterable[_Entry], keys: dict[Name, Key]) -> tuple[Secondary, ...]:
    return tuple(dict.fromkeys(_secondary(entry, keys) for entry in entries))


def _secondary(entry: _Entry, keys: dict[Name, Key]) -> Secondary:
    text = entry.what if entry.what.count(":") < 2 or "[" in entry.what else f"[{entry.what}]"
    try:
        host, port = parse_listen(text, entry.where, 53)
    except ConfigError:
        host, port = "", 0
    if not host or not port:
        raise ConfigError(entry.where, f"{entry.what!r} is not the address of a server", _LIKE_SECONDARY)
    return Secondary(host, port, keys.get(entry.key) if entry.key is not None else None)
