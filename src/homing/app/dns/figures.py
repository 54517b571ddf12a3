"""What the DNS server counts, summed up for people: for ``homing dns stats`` and as JSON at ``/dns``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from homing import __version__
from homing.dns.authority import Authority
from homing.dns.stats import Event, Stats
from homing.dns.transfers.follow import Standing
from homing.dns.transfers.notify import Told
from homing.dns.transfers.secondary import Secondary
from homing.model.name import Name, parse_name
from homing.model.zone import serial_gt

SHOWN = 100
"""Zones, broken files and secondaries told one by one; the busiest zones, the first of the others."""

OTHER = "other"
NO_ZONE = "(none)"
"""Stands for queries outside the zones served."""


class SecondaryFigures(Struct, frozen=True):
    """How far a secondary is: ``serial`` is what it last said to have, ``behind`` how many serials it lacks.

    None stands for what is not known.
    """

    server: str
    zone: str
    served: int
    serial: int | None = None
    behind: int | None = None
    told: str = ""
    """How the last NOTIFY went."""


class DnsFigures(Struct, frozen=True):
    """Counts since the start, all at one moment; times are Unix seconds."""

    started: float
    at: float
    version: str = __version__
    listen: tuple[str, ...] = ()
    workers: int = 0
    zones: int = 0
    connections: int = 0
    """TCP connections open now."""
    queries: int = 0
    types: dict[str, int] = {}
    rcodes: dict[str, int] = {}
    """By response code; ``dropped`` are packets that got no response."""
    transports: dict[str, int] = {}
    by_zone: dict[str, int] = {}
    events: dict[str, int] = {}
    transfers: dict[str, int] = {}
    """Transfers handed over, by kind: ``axfr``, ``ixfr``."""
    serials: dict[str, int] = {}
    broken: tuple[str, ...] = ()
    """What is wrong with zone files, a sentence each."""
    secondaries: tuple[SecondaryFigures, ...] = ()


def build_figures(
    stats: Stats,
    authority: Authority,
    *,
    started: float,
    at: float,
    listen: Iterable[str] = (),
    workers: int = 0,
    connections: int = 0,
    broken: Iterable[str] = (),
    secondaries: Iterable[SecondaryFigures] = (),
) -> DnsFigures:
    """Sum up what was counted."""
    types: Counter[str] = Counter()
    rcodes: Counter[str] = Counter()
    transports: Counter[str] = Counter()
    zones: Counter[str] = Counter()
    transfers: Counter[str] = Counter()
    for seen, count in stats.queries.items():
        rcode = "dropped" if seen.rcode is None else seen.rcode.name
        types[seen.type] += count
        rcodes[rcode] += count
        transports[seen.transport.value] += count
        zones[seen.zone or NO_ZONE] += count
        if seen.type in ("AXFR", "IXFR") and rcode == "NOERROR":
            transfers[seen.type.lower()] += count
    by_zone = dict(zones.most_common(SHOWN))
    if len(zones) > SHOWN:
        by_zone[OTHER] = zones.total() - sum(by_zone.values())
    loaded = authority.zones.loaded
    shown = loaded if len(loaded) <= SHOWN else [parse_name(text) for text in by_zone if text not in (NO_ZONE, OTHER)]
    return DnsFigures(
        started=started,
        at=at,
        listen=tuple(listen),
        workers=workers,
        zones=len(loaded),
        connections=connections,
        queries=stats.queries.total(),
        types=dict(types.most_common()),
        rcodes=dict(rcodes.most_common()),
        transports=dict(transports.most_common()),
        by_zone=by_zone,
        events={event.value: stats.events[event] for event in Event},
        transfers=dict(transfers),
        serials={origin.text: loaded[origin].serial for origin in shown if origin in loaded},
        broken=tuple(broken)[:SHOWN],
        secondaries=tuple(secondaries)[:SHOWN],
    )


def secondary_figures(
    standings: Iterable[Standing], told: Mapping[tuple[Secondary, Name], Told], authority: Authority
) -> list[SecondaryFigures]:
    """How far secondaries are, those that are behind the longest first."""
    found: list[SecondaryFigures] = []
    for standing in sorted(standings, key=lambda standing: -standing.lag)[:SHOWN]:
        zone = authority.zone(standing.origin)
        if zone is None:
            continue
        lacks = missing_serials(standing.serial, zone.serial)
        last = told_text(told.get((standing.secondary, standing.origin)))
        found.append(
            SecondaryFigures(str(standing.secondary), zone.origin.text, zone.serial, standing.serial, lacks, last)
        )
    return found


def missing_serials(serial: int | None, served: int) -> int | None:
    """How many serials one that is at ``serial`` lacks; None while that is not known, 0 when it is ahead."""
    if serial is None:
        return None
    return 0 if serial_gt(serial, served) else (served - serial) % 2**32


def told_text(last: Told | None) -> str:
    """How a NOTIFY went."""
    if last is None or not last.attempts:
        return ""
    if last.rcode is None:
        return f"no answer to {last.attempts}"
    return "acknowledged" if last.is_acknowledged else f"answered {last.rcode}"
