"""Domains of the Strato controller as Providers and Domains of homing.dev."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homing.app.migrate.migration import Manifest, Migration, guide, manifest, object_name
from homing.errors import ModelError
from homing.kube.kinds.strato import STRATO_GROUP, StratoDomain
from homing.model.address import parse_address, publishable

MAX_INTERVAL = 86_400
"""Seconds: the most that a Domain of homing.dev takes."""


def migrate_strato(domains: Sequence[StratoDomain]) -> Migration:
    """One Provider for each Secret, for the names that use it; one Domain for each name."""
    notes: list[str] = []
    manifests: list[Manifest] = []
    accounts: dict[tuple[str, str], list[str]] = {}
    for domain in domains:
        accounts.setdefault((domain.metadata.namespace, domain.spec.password.name), []).append(domain.spec.fqdn.lower())
    for (namespace, secret), names in accounts.items():
        spec = {
            "strato": {},
            "secretRef": {"name": secret, "key": "password"},
            "allowedDomains": sorted(set(names)),
        }
        manifests.append(manifest("Provider", _provider(secret), spec, namespace=namespace))
    manifests += [_domain(domain, notes) for domain in domains]
    if any(domain.spec.ip_address is None for domain in domains):
        notes.insert(0, "wan: {} publishes IPv6 too where Site default has it; wan: {families: [IPv4]} keeps to IPv4.")
    steps = guide("strato", old=f"domains.{STRATO_GROUP}")
    return Migration(_title(domains), steps, tuple(manifests), notes=tuple(notes))


def _title(domains: Sequence[StratoDomain]) -> str:
    return f"{len(domains)} Domain{'s' * (len(domains) != 1)} of the Strato controller, as Homing's own kinds"


def _provider(secret: str) -> str:
    return object_name(secret) if secret.startswith("strato") else object_name(f"strato-{secret}")


def _domain(domain: StratoDomain, notes: list[str]) -> Manifest:
    spec, where = domain.spec, f"{domain.metadata.namespace or 'default'}/{domain.metadata.name}"
    addresses: dict[str, Any] = {"wan": {}}
    more: dict[str, Any] = {}
    if spec.ip_address is not None:
        addresses = {"static": [spec.ip_address]}
        try:
            if not publishable(parse_address(spec.ip_address)):
                more["allowPrivate"] = True
                notes.append(f"{where}: {spec.ip_address} is no public address; published all the same (allowPrivate).")
        except ModelError as error:
            notes.append(f"{where}: {error}")
    if spec.password.namespace not in (None, "", domain.metadata.namespace):
        notes.append(f"{where}: password.namespace was never used; the Secret is read in the Domain's own namespace.")
    made = {
        "fqdn": spec.fqdn.lower(),
        "addresses": addresses,
        "providerRef": {"name": _provider(spec.password.name)},
        "intervalSeconds": min(max(spec.interval, 5) * 60, MAX_INTERVAL),
        **({} if spec.enabled else {"enabled": False}),
        **more,
    }
    return manifest("Domain", domain.metadata.name or object_name(spec.fqdn), made, namespace=domain.metadata.namespace)
