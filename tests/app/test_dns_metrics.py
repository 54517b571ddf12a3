"""The DNS server's counts as metrics and as figures: names, bounds, sums."""

from __future__ import annotations

import random

import click
from prometheus_client import CollectorRegistry, generate_latest

from homing.app.dns.figures import NO_ZONE, SHOWN, SecondaryFigures, build_figures, secondary_figures
from homing.app.dns.report import figures_text
from homing.app.dns_metrics import MAX_ZONES, DnsCollector, TransferCollector, exposition
from homing.dns.authority import Authority
from homing.dns.message import Rcode
from homing.dns.stats import Event, Seen, Stats, Transport
from homing.dns.transfers.follow import Following
from homing.dns.transfers.notify import Told
from homing.dns.transfers.secondary import Secondary
from homing.dns.transfers.transfer import Kind
from homing.dns.transfers.turns import Transferred
from homing.effects.clock import ManualClock
from homing.model.name import parse_name
from homing.model.zone import zone
from tests.dns.zones import SOA


def serving(*origins: str) -> Authority:
    """An authority with these zones, their serials 1, 2, 3 ..."""
    authority = Authority()
    authority.replace(zone(parse_name(origin), number, SOA, ()) for number, origin in enumerate(origins, 1))
    return authority


SECONDARY = Secondary("192.0.2.1")


def followed(authority: Authority, clock: ManualClock) -> Following:
    """One secondary of all zones, which has none of them yet."""
    following = Following(authority, clock, random.Random(1))
    following.follow(lambda _: (SECONDARY,))
    return following


def exposed(stats: Stats, authority: Authority, following: Following | None = None) -> dict[str, float]:
    """All metrics by name and labels."""
    more = () if following is None else (TransferCollector(following),)
    told = exposition(lambda: stats, authority, workers=lambda: 2, connections=lambda: 3, broken=lambda: 1, more=more)()
    lines = (line.rpartition(" ") for line in told.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_queries_are_counted_by_transport_type_code_and_zone() -> None:
    """A packet that got no response is ``dropped``; one outside the zones has an empty zone."""
    stats = Stats()
    stats.queries[Seen(Transport.UDP, "A", Rcode.NOERROR, "a.test")] = 5
    stats.queries[Seen(Transport.TCP, "other", None)] = 1
    found = exposed(stats, serving("a.test"))
    assert found['homing_dns_queries_total{rcode="NOERROR",transport="udp",type="A",zone="a.test"}'] == 5
    assert found['homing_dns_queries_total{rcode="dropped",transport="tcp",type="other",zone=""}'] == 1


def test_every_event_has_a_metric_of_its_own() -> None:
    """What happens in the server is found under a name that says it."""
    names = {
        Event.CACHE_HIT: "homing_dns_cache_hits_total",
        Event.RATE_LIMITED: 'homing_dns_rate_limited_total{action="drop"}',
        Event.SLIPPED: 'homing_dns_rate_limited_total{action="slip"}',
        Event.FORWARDED: 'homing_dns_forwarded_total{result="passed"}',
        Event.FORWARD_DROPPED: 'homing_dns_forwarded_total{result="dropped"}',
        Event.SEND_FAILED: "homing_dns_send_failures_total",
        Event.CONNECTION_REFUSED: "homing_dns_tcp_refused_total",
        Event.CONNECTION_EVICTED: "homing_dns_tcp_evicted_total",
        Event.WORKER_REPLACED: "homing_dns_worker_restarts_total",
    }
    assert set(names) == set(Event)
    stats = Stats()
    for number, event in enumerate(Event, 1):
        stats.events[event] = number
    found = exposed(stats, serving())
    assert {event: found[name] for event, name in names.items()} == dict(stats.events)


def test_gauges_tell_what_is_served_now() -> None:
    """Zones and their serials, files that are wrong, workers, connections."""
    found = exposed(Stats(), serving("a.test", "b.test"))
    assert found['homing_zone_serial{zone="b.test"}'] == 2
    gauges = ("homing_dns_zones", "homing_dns_zone_file_errors", "homing_dns_workers", "homing_dns_tcp_connections")
    assert [found[name] for name in gauges] == [2, 1, 2, 3]


def test_only_so_many_zones_have_a_label() -> None:
    """The busiest when first asked for; a zone keeps its label, later ones share ``other``, nothing is lost."""
    stats = Stats()
    authority = serving(*(f"z{number}.test" for number in range(300)))
    for number in range(300):
        stats.queries[Seen(Transport.UDP, "A", Rcode.NOERROR, f"z{number}.test")] = number + 1
    registry = CollectorRegistry()
    registry.register(DnsCollector(lambda: stats, authority))

    def counted() -> dict[str, float]:
        lines = [line for line in generate_latest(registry).decode().splitlines() if "queries_total{" in line]
        return {line.partition('zone="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}

    first = counted()
    assert len(first) == MAX_ZONES + 1
    assert (first["z299.test"], "z0.test" in first) == (300, False)
    assert sum(first.values()) == stats.queries.total()
    stats.queries[Seen(Transport.UDP, "A", Rcode.NOERROR, "z0.test")] += 1000
    second = counted()
    assert second.keys() == first.keys()
    assert second["other"] == first["other"] + 1000
    assert generate_latest(registry).count(b"homing_zone_serial{") == MAX_ZONES


def transfer(authority: Authority) -> Transferred:
    """The secondary fetched the one zone."""
    (version,) = authority.zones.loaded.values()
    return Transferred(version.origin, SECONDARY.host, None, Kind.WHOLE, None, version.serial)


async def test_secondaries_are_told_with_their_serial_and_lag() -> None:
    """One that has nothing lags since it could; one that fetched the zone does not."""
    authority, clock = serving("a.test"), ManualClock()
    following = followed(authority, clock)
    await clock.advance(60)
    labels = '{secondary="192.0.2.1:53",zone="a.test"}'
    found = exposed(Stats(), authority, following)
    assert found[f"homing_dns_secondary_lag_seconds{labels}"] == 60
    assert f"homing_dns_secondary_serial{labels}" not in found
    (figures,) = secondary_figures(following.standings(), {}, authority)
    assert (figures.server, figures.serial, figures.behind, figures.told) == ("192.0.2.1:53", None, None, "")
    following.transferred(transfer(authority))
    found = exposed(Stats(), authority, following)
    (version,) = authority.zones.loaded.values()
    assert found[f"homing_dns_secondary_serial{labels}"] == version.serial
    assert found[f"homing_dns_secondary_lag_seconds{labels}"] == 0
    assert found['homing_dns_transfers_total{kind="axfr",result="done",zone="a.test"}'] == 1
    told = {(SECONDARY, version.origin): Told(version.serial, 2, 0)}
    (figures,) = secondary_figures(following.standings(), told, authority)
    assert (figures.serial, figures.behind, figures.told) == (version.serial, 0, "acknowledged")


def test_figures_sum_up_and_stay_small() -> None:
    """By type, code, transport and zone; the rest of many zones is one line."""
    stats = Stats()
    stats.queries[Seen(Transport.UDP, "A", Rcode.NXDOMAIN)] = 7
    stats.queries[Seen(Transport.TCP, "AXFR", Rcode.NOERROR, "z1.test")] = 2
    for number in range(300):
        stats.queries[Seen(Transport.UDP, "AAAA", Rcode.NOERROR, f"z{number}.test")] = number + 1
    authority = serving(*(f"z{number}.test" for number in range(300)))
    found = build_figures(stats, authority, started=10.0, at=20.0, broken=["x"] * 300)
    assert found.queries == stats.queries.total() == sum(found.by_zone.values()) == sum(found.types.values())
    assert found.types["A"] == found.rcodes["NXDOMAIN"] == 7
    assert found.transports["tcp"] == found.transfers["axfr"] == 2
    assert len(found.by_zone) == SHOWN + 1
    assert len(found.broken) == SHOWN
    assert found.serials["z299.test"] == 300
    assert build_figures(stats, serving(), started=0, at=1).by_zone.keys() >= {"other"}
    few = Stats()
    few.queries[Seen(Transport.UDP, "A", Rcode.REFUSED)] = 1
    assert build_figures(few, serving(), started=0, at=1).by_zone == {NO_ZONE: 1}


def test_rates_come_from_two_looks_at_one_process() -> None:
    """A process that was started again meanwhile has totals, but no rate yet."""
    stats = Stats()
    stats.queries[Seen(Transport.UDP, "A", Rcode.NOERROR, "a.test")] = 1000
    stats.events[Event.WORKER_REPLACED] = 1
    before = build_figures(stats, serving("a.test"), started=10.0, at=20.0, workers=2)
    stats.queries[Seen(Transport.UDP, "A", Rcode.NOERROR, "a.test")] = 3000
    now = build_figures(stats, serving("a.test"), started=10.0, at=22.0, workers=2)
    lines = {line.split()[0]: line.split()[1:] for line in figures_text(now, before).splitlines() if line.split()}
    assert lines["queries"] == ["1,000", "3,000"]
    assert lines["a.test"] == ["1,000", "3,000", "100", "%"]
    assert "workers replaced" in figures_text(now, before)
    again = build_figures(stats, serving("a.test"), started=21.0, at=22.0)
    assert "queries                                -           3,000" in figures_text(again, before)


def test_secondaries_that_lag_are_told() -> None:
    """What is not known is said to be so."""
    up = SecondaryFigures("192.0.2.53", "a.test", 7, 7, 0)
    late = SecondaryFigures("192.0.2.54", "a.test", 7, 5, 2, "no answer to NOTIFY")
    unknown = SecondaryFigures("192.0.2.55", "a.test", 7)
    text = click.unstyle(
        figures_text(build_figures(Stats(), serving(), started=0, at=1, secondaries=(up, late, unknown)))
    )
    assert "serial 7 of 7  up to date" in text
    assert "serial 5 of 7  2 behind, no answer to NOTIFY" in text
    assert "serial - of 7  not known" in text
