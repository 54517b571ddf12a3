"""The state as people see it, put together from what the parts know."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from msgspec import structs

from homing import __version__
from homing.model.address import Address, Family
from homing.model.observation import Outcome, Verdict
from homing.providers.gandi import Gandi
from homing.store import AddressChange, Event, Update
from homing.turn.memory import Memory
from homing.turn.names import NameSpec
from homing.turn.reconcile import Reconciler
from homing.web.view import (
    ChangeView,
    FamilyView,
    LockoutView,
    NameView,
    ProviderView,
    StateView,
    VoteView,
    ZoneView,
)

SHOWN_CHANGES = 20


def build_state(
    reconcilers: Mapping[str, Reconciler],
    specs: Iterable[NameSpec],
    memory: Memory,
    verdicts: Mapping[Family, Verdict],
    families: tuple[Family, ...],
    *,
    origin: str,
    started: float,
    now: float,
    types: Mapping[str, str],
    own: tuple[Address, ...],
    zones: tuple[ZoneView, ...],
    changes: tuple[ChangeView, ...],
    dns_listen: tuple[str, ...],
    web_listen: tuple[str, ...],
    demo: bool,
) -> StateView:
    """Everything at one moment."""
    return StateView(
        version=__version__,
        host=socket.gethostname(),
        origin=origin,
        started=started,
        at=now,
        addresses=tuple(_family(family, memory, verdicts.get(family)) for family in families),
        own_addresses=tuple(str(address) for address in own),
        names=tuple(_name(spec, reconcilers[spec.provider], now) for spec in specs),
        providers=tuple(_provider(reconciler, types, now) for reconciler in reconcilers.values()),
        zones=zones,
        changes=changes,
        dns_listen=dns_listen,
        web_listen=web_listen,
        demo=demo,
        trouble=(memory.trouble,) if memory.trouble else (),
    )


def _family(family: Family, memory: Memory, verdict: Verdict | None) -> FamilyView:
    good = memory.good.get(family)
    known = FamilyView(
        family=family.value,
        address=str(good.address) if good else "",
        since=good.since if good else 0.0,
        confirmed=good.confirmed if good else 0.0,
        outcome=Outcome.UNKNOWN.value,
        reason="the first round has not ended yet",
        at=0.0,
        seconds=0.0,
        votes=(),
    )
    if verdict is None:
        return known
    votes = (
        VoteView(
            item.observer,
            item.operator,
            item.method.value,
            str(item.address or ""),
            item.failure,
            item.elapsed,
            item.at,
        )
        for item in verdict.observations
    )
    return structs.replace(
        known,
        outcome=verdict.outcome.value,
        reason=verdict.reason,
        at=verdict.at,
        seconds=verdict.elapsed,
        votes=tuple(votes),
    )


def _name(spec: NameSpec, reconciler: Reconciler, now: float) -> NameView:
    state = reconciler.states[spec.name]
    word, detail = reconciler.status(spec)
    published = (item for key, item in reconciler.memory.published.items() if key[:2] == spec.key)
    provider = reconciler.provider
    record, href = (provider.link(spec.name) if isinstance(provider, Gandi) else None) or ("", "")
    values = tuple(value for item in published for value in item.values)
    seen = state.last_read if provider.traits.readable else 0.0
    return NameView(
        fqdn=spec.name.text,
        provider=spec.provider,
        source=spec.source.kind,
        ttl=spec.ttl,
        wanted=tuple(value for item in state.wanted for value in item.values),
        published=values,
        observed=values if seen else (),
        observed_at=seen,
        state=word,
        detail=detail,
        last_sync=state.last_sync,
        next_turn=reconciler.next_turn(spec, now) if spec.enabled else 0.0,
        record=record,
        href=href,
    )


def _provider(reconciler: Reconciler, types: Mapping[str, str], now: float) -> ProviderView:
    name = reconciler.provider.name
    lockouts = (
        LockoutView(item.host, item.code, item.reason, item.since, item.until or 0.0)
        for item in reconciler.restraint.lockouts
        if item.until is None or item.until > now
    )
    return ProviderView(name, types.get(name, name), reconciler.provider.traits.readable, tuple(lockouts))


def change_views(
    addresses: list[AddressChange], updates: list[Update], events: list[Event], limit: int = SHOWN_CHANGES
) -> tuple[ChangeView, ...]:
    """One history of the three kinds, newest first."""
    found = [
        ChangeView(
            item.at,
            "address",
            f"WAN {item.family}",
            f"{item.before or 'none'} -> {item.after} ({item.reason})",
            ok=True,
        )
        for item in addresses
    ]
    found += [
        ChangeView(
            item.at,
            "update" if item.ok else "failed update",
            f"{item.fqdn} @ {item.provider}",
            item.change if item.ok else f"{item.change}: {item.detail}" if item.change != "read" else item.detail,
            item.ok,
        )
        for item in updates
    ]
    found += [
        ChangeView(item.at, item.kind, item.subject, item.detail, item.kind in ("recovered", "zone")) for item in events
    ]
    return tuple(sorted(found, key=lambda item: item.at, reverse=True)[:limit])
