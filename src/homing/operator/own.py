"""The Domain of homing.dev, for the turn that all Domains take."""

from __future__ import annotations

from typing import Any

from homing.errors import ModelError
from homing.kube.kinds import DOMAINS
from homing.kube.kinds.domain import Addresses as Wanted
from homing.kube.kinds.domain import Domain
from homing.kube.objects import Condition, ObjectMeta, ObjectReference
from homing.model.address import Address, Family, parse_address, parse_host_id
from homing.model.name import Name, is_host_name, parse_name
from homing.model.rrset import MAX_TTL
from homing.operator.conditions import condition, condition_data, moment, seconds_of
from homing.operator.entry import EVERYWHERE, ROOT, Entry, Known, ProviderId, Report, Which
from homing.sources import NodesSource, ServiceSource, Source, StaticSource, WanSource

RECONCILE = "homing.dev/reconcile"
"""An annotation; another value than before asks for a turn now."""

ACCEPT = "homing.dev/accept-plan"
"""An annotation: the hash of a held plan that a person approves."""

INTERVALS = (60, 86_400)
"""Seconds: the least and the most that the API server takes as ``intervalSeconds``."""

MAX_ADDRESSES = 64
"""Addresses that the status takes; a name may hold more."""

_FAMILIES = {"IPv4": Family.V4, "IPv6": Family.V6}

_REASONS = {
    "updated": "Updated",
    "failed": "UpdateFailed",
    "unknown": "AddressUnknown",
    "skipped": "",
    "locked": "Locked",
    "held": "Held",
    "disabled": "Disabled",
    "conflict": "Conflict",
    "removed": "RecordRemoved",
    "retained": "RecordRetained",
    "drift": "DriftFound",
}


class OwnAdapter:
    """Translates Domains of homing.dev."""

    resource = DOMAINS

    def entry(self, found: Domain) -> Entry:
        """A Domain as the operator sees it."""
        spec, meta, status = found.spec, found.metadata, found.status
        problem, name, mode, site = "", ROOT, "", ""
        source: Source = StaticSource(())
        try:
            name = parse_name(spec.fqdn)
            if not is_host_name(Name(name.labels[1:]) if name.labels[:1] == (b"*",) else name):
                raise ModelError(f"{spec.fqdn[:253]!r} is not a host name")
            if not 0 < spec.ttl_seconds <= MAX_TTL:
                raise ModelError(f"ttlSeconds {spec.ttl_seconds} is not between 1 and {MAX_TTL}")
            source, mode, site = _source(spec.addresses, meta.namespace)
        except ModelError as error:
            problem = str(error)
        published = status.provider_ref
        known = Known(
            fqdn=status.fqdn or "",
            provider=_provider(published.kind, meta.namespace, published.name) if published else None,
            addresses=addresses_of(status.addresses),
            ttl=min(max(status.ttl_seconds or 0, 0), MAX_TTL),
            synced=any(item.type == "Synced" and item.status == "True" for item in status.conditions),
            last_sync=seconds_of(status.last_sync),
            last_attempt=seconds_of(status.last_attempt),
            retries=max(status.retries, 0),
            conditions=tuple(status.conditions),
        )
        return Entry(
            which=Which("Domain", meta.namespace, meta.name),
            ref=reference(DOMAINS.kind, DOMAINS.api_version, meta),
            generation=meta.generation,
            created=meta.creation_timestamp or "",
            deleted=meta.deletion_timestamp or "",
            name=name,
            source=source,
            mode=mode,
            site=site,
            provider=_provider(spec.provider_ref.kind, meta.namespace, spec.provider_ref.name),
            ttl=min(max(spec.ttl_seconds, 1), MAX_TTL),
            interval=float(min(max(spec.interval_seconds, INTERVALS[0]), INTERVALS[1])),
            enabled=spec.enabled,
            deletes=spec.deletion_policy == "Delete",
            accepted=EVERYWHERE if spec.allow_private else (),
            finalizers=tuple(meta.finalizers),
            resource_version=meta.resource_version,
            asked=meta.annotations.get(RECONCILE, ""),
            accept=meta.annotations.get(ACCEPT, ""),
            problem=problem,
            known=known,
        )

    def status(self, entry: Entry, report: Report) -> dict[str, Any]:
        """The status; what is None goes."""
        where = report.published_at
        return {
            "addresses": [str(address) for address in report.addresses[:MAX_ADDRESSES]],
            "mode": entry.mode or None,
            "fqdn": entry.name.text if where else None,
            "providerRef": {"kind": where.kind, "name": where.name} if where else None,
            "ttlSeconds": report.ttl or None,
            "lastSync": moment(report.last_sync),
            "lastAttempt": moment(report.last_attempt),
            "nextSync": moment(report.next_at),
            "retries": report.retries,
            "observedGeneration": entry.generation,
            "conditions": [condition_data(item) for item in conditions_of(entry, report)],
        }

    def reason(self, word: str) -> str:
        """The reason of an event; empty for what is not worth one."""
        return _REASONS.get(word, word)


def conditions_of(entry: Entry, report: Report) -> tuple[Condition, ...]:
    """Ready, Synced, Locked and Conflict."""
    before, at, generation = entry.known.conditions, report.at, entry.generation

    def made(kind: str, status: bool, reason: str, message: str) -> Condition:
        return condition(before, kind, status, reason, message, at=at, generation=generation)

    return (
        made("Ready", report.ready, report.reason, report.message),
        made("Synced", report.synced, report.reason, report.message),
        made("Locked", bool(report.locked), "Locked" if report.locked else "NotLocked", report.locked),
        made("Conflict", bool(report.conflict), "Conflict" if report.conflict else "NoConflict", report.conflict),
    )


def reference(kind: str, api_version: str, meta: ObjectMeta) -> ObjectReference:
    """What events are about."""
    return ObjectReference(kind=kind, api_version=api_version, namespace=meta.namespace, name=meta.name, uid=meta.uid)


def addresses_of(texts: tuple[str, ...]) -> tuple[Address, ...]:
    """The addresses of a status; what cannot be read is left out."""
    found: list[Address] = []
    for text in texts:
        try:
            found.append(parse_address(text))
        except ModelError:
            continue
    return tuple(found)


def _provider(kind: str, namespace: str, name: str) -> ProviderId:
    """One of the two kinds there are, whatever stands there: no other reaches beyond the namespace."""
    return (
        ProviderId("ClusterProvider", "", name)
        if kind == "ClusterProvider"
        else ProviderId("Provider", namespace, name)
    )


def _source(wanted: Wanted, namespace: str) -> tuple[Source, str, str]:
    """The source, the mode's word, and the Site where there is one. Raises ModelError."""
    if wanted.wan is not None:
        families = frozenset(_FAMILIES[family] for family in wanted.wan.families if family in _FAMILIES)
        host = wanted.wan.ipv6_host_id
        return WanSource(families, parse_host_id(host) if host else None), "WAN", wanted.wan.site
    if wanted.nodes is not None:
        return NodesSource(wanted.nodes.area), "Nodes", ""
    if wanted.service is not None:
        return ServiceSource(namespace, wanted.service.name), "Service", ""
    return StaticSource(tuple(dict.fromkeys(parse_address(text) for text in wanted.static or ()))), "Static", ""
