"""The state as people see it, put together from what the parts know."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from msgspec import structs

from homing import __version__
from homing.app.reconcile import Reconciler
from homing.dns.authority import Authority
from homing.model.address import Address, Family
from homing.model.observation import Outcome, Verdict
from homing.store import AddressChange, Event, Update
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
    reconciler: Reconciler,
    verdicts: Mapping[Family, Verdict],
    families: tuple[Family, ...],
    authority: Authority,
    *,
    origin: str,
    started: float,
    now: float,
    types: Mapping[str, str],
    own: tuple[Address, ...],
    changes: tuple[ChangeView, ...],
    dns_listen: tuple[str, ...],
    web_listen: tuple[str, ...],
    demo: bool,
) -> StateView:
    """Everything at one moment."""
    memory = reconciler.memory
    return StateView(
        version=__version__,
        host=socket.gethostname(),
        origin=origin,
        started=started,
        at=now,
        addresses=tuple(_family(family, reconciler, verdicts.get(family)) for family in families),
        own_addresses=tuple(str(address) for address in own),
        names=tuple(_names(reconciler, now)),
        providers=tuple(_providers(reconciler, types, now)),
        zones=tuple(
            ZoneView(str(zone.origin), zone.serial, sum(len(item.rdatas) for item in zone.rrsets()) + 1)
            for zone in authority.zones.loaded.values()
        ),
        changes=changes,
        dns_listen=dns_listen,
        web_listen=web_listen,
        demo=demo,
        trouble=(memory.trouble,) if memory.trouble else (),
    )


def _family(family: Family, reconciler: Reconciler, verdict: Verdict | None) -> FamilyView:
    good = reconciler.memory.good.get(family)
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


def _names(reconciler: Reconciler, now: float) -> list[NameView]:
    views: list[NameView] = []
    for spec in reconciler.names:
        state = reconciler.states[spec.key]
        word, detail = reconciler.status(spec)
        published = [
            value for key, item in reconciler.memory.published.items() if key[:2] == spec.key for value in item.values
        ]
        views.append(
            NameView(
                fqdn=spec.name.text,
                provider=spec.provider,
                source=spec.source.kind,
                ttl=spec.ttl,
                wanted=tuple(value for item in state.wanted for value in item.values),
                published=tuple(published),
                state=word,
                detail=detail,
                last_sync=state.last_sync,
                next_turn=reconciler.next_turn(spec, now) if spec.enabled else 0.0,
            )
        )
    return views


def _providers(reconciler: Reconciler, types: Mapping[str, str], now: float) -> list[ProviderView]:
    return [
        ProviderView(
            name,
            types.get(name, name),
            provider.traits.readable,
            tuple(
                LockoutView(item.host, item.code, item.reason, item.since, item.until or 0.0)
                for item in reconciler.memory.lockouts
                if item.provider == name and (item.until is None or item.until > now)
            ),
        )
        for name, provider in reconciler.providers.items()
    ]


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
    found += [ChangeView(item.at, item.kind, item.subject, item.detail, item.kind == "recovered") for item in events]
    return tuple(sorted(found, key=lambda item: item.at, reverse=True)[:limit])
