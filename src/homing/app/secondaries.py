"""From settings to who follows which zone, who may transfer it, and the keys they share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_network
from pathlib import Path

from homing.app.key_files import keys_in
from homing.app.places import expanded, parse_listen
from homing.app.settings import DnsSettings, Loaded, TsigKeySettings
from homing.app.zones import build_zones, domain_name
from homing.dns.transfers.policy import TransferPolicy, ZonePolicy
from homing.dns.transfers.secondary import Secondary
from homing.dns.transfers.transfer import Rule
from homing.dns.transfers.tsig import Key, tsig_key
from homing.effects.secret import Secret, secret_from_environment, secret_from_file
from homing.errors import ConfigError, ModelError
from homing.model.name import Name

ReadPolicy = Callable[[], TransferPolicy]
"""The policy with the secrets as they are now. Raises ConfigError when one cannot be read."""

_KEY = re.compile(r"(?:^|[\s,]+)key(?:=|\s+)(\S+)$")
"""The end of an entry that names a key: ``key NAME`` in settings, ``,key=NAME`` in flags; both are taken in both."""

_LIKE_SECONDARY = 'write it like "192.0.2.1", "[2001:db8::1]:53" or "192.0.2.1 key NAME"'
_LIKE_RULE = 'write it like "192.0.2.1", "2001:db8::/32", "key NAME" or "192.0.2.1 key NAME"'


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of ``secondaries`` or ``transfer``: what is before ``key``, and the key's name."""

    what: str
    key: Name | None
    where: str


class _Keys(dict[Name, Callable[[], Key]]):
    """The keys known, each read when called; ``place`` is where more are added."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def put(self, name: Name, read: Callable[[], Key], where: str) -> None:
        """Add one. Raises ConfigError when it is there."""
        if name in self:
            raise ConfigError(where, f"key {name.text} is given twice", "keep one of the two")
        self[name] = read


def transfer_policy(loaded: Loaded) -> ReadPolicy:
    """Who follows and who may transfer, by the settings. Raises ConfigError; what it returns does for secrets only."""
    dns = loaded.settings.dns or DnsSettings()
    keys = _keys(dns.keys, loaded)
    here = f"{loaded.origin}: dns"
    common = _Lists(
        _entries(dns.secondaries, f"{here}.secondaries", keys), _entries(dns.transfer, f"{here}.transfer", keys)
    )
    zones = {
        spec.origin: _Lists(
            common.secondaries
            if given.secondaries is None
            else _entries(given.secondaries, f"{loaded.origin}: zones.{text}.secondaries", keys),
            common.others
            if given.transfer is None
            else _entries(given.transfer, f"{loaded.origin}: zones.{text}.transfer", keys),
        )
        for spec, (text, given) in zip(build_zones(loaded), loaded.settings.zones.items(), strict=True)
    }
    catalog = _catalog(dns.catalog, f"{here}.catalog")
    if catalog is not None and catalog in zones:
        raise ConfigError(f"{here}.catalog", f"{catalog.text} is a zone itself", 'name it like "catalog.invalid"')
    return _reader(keys, common, zones, catalog)


def flags_policy(
    secondaries: Iterable[str], transfer: Iterable[str], key_files: Iterable[Path], catalog: str
) -> ReadPolicy:
    """The same by the flags of ``homing dns``, which hold for all zones."""
    keys = _Keys("a file of --key")
    for path in key_files:
        secret = secret_from_file(path, f"--key {path}", private=True)
        for name in keys_in(secret):
            keys.put(name, functools.partial(_key_in, secret, name), f"--key {path}")
    common = _Lists(_entries(secondaries, "--secondary", keys), _entries(transfer, "--transfer", keys))
    return _reader(keys, common, {}, _catalog(catalog, "--catalog"))


@dataclass(frozen=True, slots=True)
class _Lists:
    """``secondaries`` and ``transfer`` as given."""

    secondaries: tuple[_Entry, ...]
    others: tuple[_Entry, ...]

    def policy(self, keys: Mapping[Name, Key]) -> ZonePolicy:
        """With these keys. Raises ConfigError."""
        secondaries = dict.fromkeys(_secondary(entry, keys) for entry in self.secondaries)
        return ZonePolicy(tuple(secondaries), tuple(map(_rule, self.others)))


def _reader(keys: _Keys, common: _Lists, zones: Mapping[Name, _Lists], catalog: Name | None) -> ReadPolicy:
    for lists in (common, *zones.values()):
        lists.policy({})  # what is wrong but for the secrets is told now

    def read() -> TransferPolicy:
        known = {name: key() for name, key in keys.items()}
        policies = {name: lists.policy(known) for name, lists in zones.items()}
        return TransferPolicy(tuple(known.values()), common.policy(known), policies, catalog)

    return read


def _catalog(text: str, where: str) -> Name | None:
    if not text:
        return None
    name = domain_name(text, where)
    if len(name.wire) + len(b"\x20" + b"x" * 32 + b"\x05zones") > 255:
        raise ConfigError(where, "is too long to have the zones' names below it", 'name it like "catalog.invalid"')
    return name


def _keys(given: Iterable[TsigKeySettings], loaded: Loaded) -> _Keys:
    found = _Keys("[[dns.keys]]")
    for index, settings in enumerate(given):
        where = f"{loaded.origin}: dns.keys[{index}] ({settings.name})"
        name = domain_name(settings.name, f"{where}.name")
        if bool(settings.secret_file) == bool(settings.secret_env):
            problem = "more than one secret is given" if settings.secret_file else "no secret is given"
            raise ConfigError(where, problem, 'give one: secret_file = "FILE" or secret_env = "VARIABLE"')
        if settings.secret_file:
            path = loaded.base / expanded(settings.secret_file, f"{where}.secret_file")
            secret = secret_from_file(path, f"{where}.secret_file")
        else:
            secret = secret_from_environment(settings.secret_env, f"{where}.secret_env")
        found.put(name, functools.partial(_key, settings, secret, where), where)
    return found


def _key(settings: TsigKeySettings, secret: Secret, where: str) -> Key:
    try:
        return tsig_key(settings.name, settings.algorithm, secret.reveal())
    except ModelError as error:
        remedy = f"write the base64 secret of at least 16 octets into {secret.origin}"
        raise ConfigError(where, str(error), remedy) from None


def _key_in(secret: Secret, name: Name) -> Key:
    found = keys_in(secret).get(name)
    if found is None:
        raise ConfigError(secret.origin, f"key {name.text} is gone from it", "start again without it, or put it back")
    return found


def _entries(texts: Iterable[str], where: str, keys: _Keys) -> tuple[_Entry, ...]:
    return tuple(_entry(text, f"{where}[{index}]", keys) for index, text in enumerate(texts))


def _entry(text: str, where: str, keys: _Keys) -> _Entry:
    found = _KEY.search(text.strip())
    if found is None:
        return _Entry(text.strip(), None, where)
    key = domain_name(found[1], where)
    if key not in keys:
        known = ", ".join(name.text for name in keys) or "none"
        raise ConfigError(where, f"no key {key.text!r}", f"add it to {keys.place}, or one of: {known}")
    return _Entry(text.strip()[: found.start()], key, where)


def _rule(entry: _Entry) -> Rule:
    try:
        network = ip_network(entry.what) if entry.what else None
        first = network.network_address if isinstance(network, IPv6Network) else None
        if first is not None and (first.scope_id or first.ipv4_mapped):
            raise ValueError  # clients are known without a scope, and by IPv4 where that is inside IPv6
        return Rule(() if network is None else (network,), entry.key)
    except (ValueError, ModelError):
        raise ConfigError(entry.where, f"{entry.what!r} is not an address or a network", _LIKE_RULE) from None


def _secondary(entry: _Entry, keys: Mapping[Name, Key]) -> Secondary:
    text = entry.what if entry.what.count(":") < 2 or "[" in entry.what else f"[{entry.what}]"
    try:
        host, port = parse_listen(text, entry.where, 53)
    except ConfigError:
        host, port = "", 0
    if not host or not port:
        raise ConfigError(entry.where, f"{entry.what!r} is not the address of a server", _LIKE_SECONDARY)
    return Secondary(host, port, keys.get(entry.key) if entry.key is not None else None)
