"""The Domain of the Strato DynDNS controller, for the turn that all Domains take (SPEC A1-A9)."""

from __future__ import annotations

from typing import Any

from homing.errors import ModelError
from homing.kube.kinds import STRATO_DOMAINS
from homing.kube.kinds.strato import StratoDomain
from homing.model.address import Family, family_of, parse_address
from homing.model.name import parse_name
from homing.operator.accounts import LOCKOUTS
from homing.operator.conditions import condition_data, moment, seconds_of
from homing.operator.entry import ROOT, Entry, Known, ProviderId, Report, Which
from homing.operator.own import ACCEPT, RECONCILE, addresses_of, conditions_of, reference
from homing.operator.providers import STRATO
from homing.sources import Source, StaticSource, WanSource

_REASONS = {
    "updated": "DynDnsUpdateCompleted",
    "failed": "DynDnsUpdateFailed",
    "unknown": "RetrieveExternalIpFailed",
    "skipped": "DynDnsUpdateSkipped",
    "locked": "DynDnsUpdateLocked",
    "held": "DynDnsUpdateHeld",
    "conflict": "Conflict",
    "disabled": "Disabled",
    "removed": "RecordRemoved",
    "retained": "RecordRetained",
    "drift": "DriftFound",
}


class StratoAdapter:
    """Translates Domains of dyndns.contrib.strato.com: each brings its own account, named by its Secret."""

    resource = STRATO_DOMAINS

    def entry(self, found: StratoDomain) -> Entry:
        """A Domain as the operator sees it: Manual with an address, else Dynamic, with IPv6 where the host has it."""
        spec, meta, status = found.spec, found.metadata, found.status
        problem, name = "", ROOT
        source: Source = WanSource(frozenset(Family))
        try:
            name = parse_name(spec.fqdn)
            if spec.ip_address is not None:
                source = StaticSource((parse_address(spec.ip_address),))
        except ModelError as error:
            problem = str(error)
        manual = spec.ip_address is not None
        provider = ProviderId(STRATO, meta.namespace, spec.password.name)
        held = addresses_of(tuple(text for text in (status.ip_address, status.ipv6_address) if text))
        if not (
            status.observed_generation == meta.generation or (not status.observed_generation and status.last_result)
        ):
            held = ()  # published under a name or an account that the spec may no longer have
        known = Known(
            fqdn=name.text if held else "",
            provider=provider if held else None,
            addresses=held,
            synced=bool(status.last_result),
            last_sync=seconds_of(status.last_loop) if status.last_result else 0.0,
            conditions=tuple(status.conditions),
        )
        return Entry(
            which=Which("StratoDomain", meta.namespace, meta.name),
            ref=reference(STRATO_DOMAINS.kind, STRATO_DOMAINS.api_version, meta),
            generation=meta.generation,
            created=meta.creation_timestamp or "",
            deleted=meta.deletion_timestamp or "",
            name=name,
            source=source,
            mode="Manual" if manual else "Dynamic",
            site="" if manual else "default",
            provider=provider,
            ttl=0,
            interval=0.0 if manual else spec.interval * 60.0,
            enabled=spec.enabled,
            deletes=False,
            finalizers=tuple(meta.finalizers),
            resource_version=meta.resource_version,
            asked=meta.annotations.get(RECONCILE, ""),
            accept=meta.annotations.get(ACCEPT, ""),
            lockouts=meta.annotations.get(LOCKOUTS, ""),
            problem=problem,
            known=known,
        )

    def status(self, entry: Entry, report: Report) -> dict[str, Any]:
        """The seed's status and the conditions; the addresses change only by a successful update."""
        by_family = {family_of(address): str(address) for address in report.addresses}
        status: dict[str, Any] = {
            "enabled": entry.enabled,
            "ipAddress": by_family.get(Family.V4),
            "ipv6Address": by_family.get(Family.V6),
            "mode": entry.mode,
            "lastLoop": moment(report.at),
            "observedGeneration": entry.generation,
            "conditions": [condition_data(item) for item in conditions_of(entry, report)],
        }
        if report.ok is not None:
            status["lastResult"] = report.ok
        return status

    def reason(self, word: str) -> str:
        """The seed's reasons where it has one."""
        return _REASONS.get(word, word)
