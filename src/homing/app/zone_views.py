"""The zones that are served, as people see them. Light: ``homing dns`` loads no provider for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from homing.app.dns.figures import missing_serials, told_text
from homing.dns.authority import Authority
from homing.dns.transfers.follow import Standing
from homing.dns.transfers.notify import Told
from homing.dns.transfers.secondary import Secondary
from homing.model.name import Name
from homing.web.view import SecondaryView, ZoneView

SHOWN_ZONES = 100
SHOWN_SECONDARIES = 20
"""Of one zone, those that are behind the longest."""


def zone_views(
    authority: Authority,
    standings: Iterable[Standing],
    told: Mapping[tuple[Secondary, Name], Told],
) -> tuple[ZoneView, ...]:
    """The zones that are served and how far their secondaries are; so many of each that a person may read them."""
    zones = list(itertools.islice(authority.zones.loaded.values(), SHOWN_ZONES))
    behind: dict[Name, list[SecondaryView]] = {zone.origin: [] for zone in zones}
    for standing in sorted(standings, key=lambda one: -one.lag):
        zone = authority.zone(standing.origin)
        found = behind.get(standing.origin)
        if zone is None or found is None or len(found) >= SHOWN_SECONDARIES:
            continue
        last = told.get((standing.secondary, standing.origin))
        lacks = missing_serials(standing.serial, zone.serial)
        found.append(SecondaryView(str(standing.secondary), standing.serial, lacks, standing.lag, told_text(last)))
    return tuple(ZoneView(zone.origin.text, zone.serial, zone.records, tuple(behind[zone.origin])) for zone in zones)
