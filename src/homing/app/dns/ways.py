"""How the DNS server answers apart from its zones, from settings and from flags: NSID, CHAOS, cookies, rate limit."""

from __future__ import annotations

from dataclasses import replace

from homing.app.places import expanded
from homing.app.settings import DnsSettings, Loaded
from homing.dns.cookie import SECRET_SIZE
from homing.dns.engine.limit import RateLimit
from homing.dns.engine.setup import Setup
from homing.effects.secret import Secret, secret_from_file
from homing.errors import ConfigError, ModelError


def settings_setup(loaded: Loaded) -> Setup:
    """What [dns] says. Raises ConfigError."""
    dns = loaded.settings.dns or DnsSettings()
    where = f"{loaded.origin}: dns"
    secret: Secret | None = None
    if dns.cookie_secret_file:
        key = f"{where}.cookie_secret_file"
        secret = secret_from_file(loaded.base / expanded(dns.cookie_secret_file, key), key)
    return server_setup(where, dns.nsid, dns.version, dns.identity, dns.rate_limit, secret)


def server_setup(
    where: str, nsid: str, version: str, identity: str, rate_limit: float, cookie_secret: Secret | None
) -> Setup:
    """A server's setup; an empty text is not told. Without a secret for cookies one is made. Raises ConfigError."""
    setup = Setup(nsid=nsid.encode(), version=version or None, identity=identity or None, limit=RateLimit(rate_limit))
    if cookie_secret is not None:
        setup = replace(setup, cookie_secret=_octets(cookie_secret, where))
    try:
        setup.manner  # noqa: B018 - it refuses what is too long
    except ModelError as error:
        raise ConfigError(where, str(error), "shorten it") from None
    return setup


def _octets(secret: Secret, where: str) -> bytes:
    try:
        octets = bytes.fromhex(secret.reveal())
    except ValueError:
        octets = b""
    if len(octets) != SECRET_SIZE:
        remedy = "write one with: openssl rand -hex 16"
        raise ConfigError(where, f"the secret for cookies in {secret.origin} is not 32 hex digits", remedy)
    return octets
