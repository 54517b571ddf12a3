"""ESDDNS: its ConfigMap as Provider, Site and Domain; its dns.ini as a homing.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homing.app.cluster.esddns import read_config_map
from homing.app.migrate.migration import Manifest, Migration, guide, manifest, namespaced, object_name
from homing.app.migrate.toml import toml_of
from homing.app.settings import Loaded
from homing.operator.esddns import CONFIG, NAME, SECRET, SECRET_KEY
from homing.operator.sites import DEFAULT


def migrate_config_map(data: Mapping[str, str], namespace: str) -> Migration:
    """The data of ConfigMap ``esddns-config``. Raises ConfigError."""
    config = read_config_map(data)
    gandi = {
        "authentication": "Apikey",
        "domain": config.domain,
        **({"server": config.server} if config.server else {}),
    }
    secret = {"name": SECRET, "key": SECRET_KEY}
    domain = {
        "fqdn": config.fqdn,
        "addresses": {"wan": {"families": ["IPv4"]}},
        "providerRef": {"name": "gandi"},
        "ttlSeconds": config.ttl,
        "intervalSeconds": config.interval,
    }
    manifests: list[Manifest] = []
    if config.detect:
        manifests.append(manifest("Site", DEFAULT, {"detect": dict(config.detect)}))
    manifests += [
        manifest("Provider", "gandi", {"gandi": gandi, "secretRef": secret, "allowedDomains": [config.domain]},
                 namespace=namespace),
        manifest("Domain", object_name(config.fqdn), domain, namespace=namespace),
    ]  # fmt: skip
    steps = guide("esddns", where=namespaced(namespace), config=CONFIG, secret=SECRET, made=NAME)
    notes = (
        "Gandi retires API keys: make a personal access token, put it into the Secret, and remove `authentication`.",
        "ESDDNS knew IPv4 only; remove `families` to publish IPv6 too.",
    )
    return Migration(f"ESDDNS's ConfigMap {CONFIG}, as Homing's own kinds", steps, tuple(manifests), notes=notes)


def migrate_ini(loaded: Loaded) -> Migration:
    """The settings of a dns.ini as a homing.toml."""
    gandi: Any = loaded.settings.providers["gandi"]
    steps = guide("dns-ini", variable=gandi.api_key_env, fqdn=loaded.settings.names[0].fqdn)
    notes = (
        "Not needed at all: homing up -c dns.ini reads it as it stands.",
        "IPv4 only, as before: remove `families` in both places to publish IPv6 too.",
        *loaded.notes,
    )
    return Migration(f"{loaded.origin}, as a homing.toml", steps, file=toml_of(loaded.settings), notes=notes)
