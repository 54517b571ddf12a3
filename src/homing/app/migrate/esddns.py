"""ESDDNS: its ConfigMap as Provider, Site and Domain; its dns.ini as a homing.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homing.app.cluster.esddns import read_config_map
from homing.app.migrate.migration import Manifest, Migration, guide, manifest, namespaced, object_name
from homing.app.migrate.toml import toml_of
from homing.app.settings import Loaded
from homing.operator.esddns import CONFIG, NAME, SECRET
from homing.operator.site_views import DEFAULT


def migrate_config_map(data: Mapping[str, str], namespace: str) -> Migration:
    """The data of ConfigMap ``esddns-config``. Raises ConfigError."""
    config = read_config_map(data)
    manifests: list[Manifest] = []
    if config.detect:
        manifests.append(manifest("Site", DEFAULT, {"detect": dict(config.detect)}))
    provider = {**config.provider, "allowedDomains": [config.domain]}
    manifests += [
        manifest("Provider", "gandi", provider, namespace=namespace),
        manifest("Domain", object_name(config.fqdn), config.domain_at("gandi"), namespace=namespace),
    ]
    steps = guide("esddns", where=namespaced(namespace), config=CONFIG, secret=SECRET, made=NAME)
    key = "Gandi retires API keys: make a personal access token, put it into the Secret, and remove `authentication`."
    families = "ESDDNS knew IPv4 only; remove `families` to publish IPv6 too."
    notes = (key, families) if config.authentication == "Apikey" else (families,)
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
