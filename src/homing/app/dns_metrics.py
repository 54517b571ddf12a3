"""The DNS server's counts as Prometheus metrics, read when they are asked for, so that counting stays cheap.

The names are listed in docs/metrics.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from homing import __version__
from homing.dns.authority import Authority
from homing.dns.stats import Event, Stats
from homing.dns.transfers.follow import Following

MAX_ZONES = 100
"""Zones with a label of their own: those that were busiest when first asked for, then those that came next."""

OTHER = "other"

MAX_STANDINGS = 300
"""Secondaries of zones whose serial and lag are told."""

_PLAIN = {
    Event.CACHE_HIT: ("homing_dns_cache_hits", "Queries answered by their octets alone."),
    Event.SEND_FAILED: ("homing_dns_send_failures", "Responses that the kernel did not take."),
    Event.CONNECTION_REFUSED: ("homing_dns_tcp_refused", "TCP connections closed at once, for the limits."),
    Event.CONNECTION_EVICTED: ("homing_dns_tcp_evicted", "TCP connections closed for being slow or idle."),
    Event.WORKER_REPLACED: ("homing_dns_worker_restarts", "Worker processes that ended or hung and were replaced."),
}
_LABELLED = {
    ("homing_dns_rate_limited", "Responses held back by rate limiting.", "action"): {
        Event.RATE_LIMITED: "drop",
        Event.SLIPPED: "slip",
    },
    ("homing_dns_forwarded", "Queries that a worker hands to the main process.", "result"): {
        Event.FORWARDED: "passed",
        Event.FORWARD_DROPPED: "dropped",
    },
}


class _Labels:
    """The zones that have a label of their own."""

    def __init__(self) -> None:
        self.given: dict[str, None] = {}

    def of(self, zone: str) -> str:
        """The zone itself, or ``other`` once enough zones have a label; one that has it keeps it."""
        if not zone or zone in self.given:
            return zone
        if len(self.given) >= MAX_ZONES:
            return OTHER
        self.given[zone] = None
        return zone


class DnsCollector(Collector):
    """Shows what was counted at the moment of asking. ``broken`` says how many zone files are wrong."""

    def __init__(
        self,
        stats: Callable[[], Stats],
        authority: Authority,
        *,
        workers: Callable[[], int] = lambda: 0,
        connections: Callable[[], int] = lambda: 0,
        broken: Callable[[], int] = lambda: 0,
    ) -> None:
        self._stats = stats
        self._authority = authority
        self._gauges: tuple[tuple[str, str, Callable[[], int]], ...] = (
            ("homing_dns_zones", "Zones served.", lambda: len(authority.zones.loaded)),
            ("homing_dns_zone_file_errors", "Zone files that are wrong; their last good content is served.", broken),
            ("homing_dns_workers", "Worker processes that run.", workers),
            ("homing_dns_tcp_connections", "TCP connections open.", connections),
        )
        self._labels = _Labels()

    def collect(self) -> Iterator[Metric]:
        """All families ``homing_dns_*``, and ``homing_zone_serial``."""
        yield self._queries()
        yield from self._events()
        for name, text, value in self._gauges:
            yield GaugeMetricFamily(name, text, value=value())
        serials = GaugeMetricFamily("homing_zone_serial", "The serial of a zone.", labels=("zone",))
        loaded = self._authority.zones.loaded
        for zone in loaded.values():
            # Of too many zones only those that are asked for: the others must not take the labels first.
            if zone.origin.text in self._labels.given or (
                len(loaded) <= MAX_ZONES and self._labels.of(zone.origin.text) != OTHER
            ):
                serials.add_metric((zone.origin.text,), zone.serial)
        yield serials

    def _queries(self) -> Metric:
        family = CounterMetricFamily(
            "homing_dns_queries", "Queries to it.", labels=("transport", "type", "rcode", "zone")
        )
        counted = self._stats().queries.copy()
        busiest: Counter[str] = Counter()
        for seen, count in counted.items():
            busiest[seen.zone] += count
        for zone, _ in busiest.most_common(MAX_ZONES):
            self._labels.of(zone)
        sums: Counter[tuple[str, ...]] = Counter()
        for seen, count in counted.items():
            rcode = "dropped" if seen.rcode is None else seen.rcode.name
            sums[seen.transport.value, seen.type, rcode, self._labels.of(seen.zone)] += count
        for labels, count in sums.items():
            family.add_metric(labels, count)
        return family

    def _events(self) -> Iterator[Metric]:
        events = self._stats().events
        for event, (name, text) in _PLAIN.items():
            yield CounterMetricFamily(name, text, value=events[event])
        for (name, text, label), members in _LABELLED.items():
            family = CounterMetricFamily(name, text, labels=(label,))
            for event, value in members.items():
                family.add_metric((value,), events[event])
            yield family


class TransferCollector(Collector):
    """Shows how transfers ended and how far the secondaries are, those that are behind the most first."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._labels = _Labels()

    def collect(self) -> Iterator[Metric]:
        """The families ``homing_dns_transfers_total``, ``homing_dns_secondary_serial`` and ``..._lag_seconds``."""
        transfers = CounterMetricFamily(
            "homing_dns_transfers", "Zone transfers to secondaries.", labels=("zone", "kind", "result")
        )
        sums: Counter[tuple[str, ...]] = Counter()
        for counted, count in self._following.transfers.items():
            sums[self._labels.of(counted.zone), counted.kind, counted.ending.value] += count
        for values, count in sums.items():
            transfers.add_metric(values, count)
        yield transfers
        labels = ("zone", "secondary")
        serials = GaugeMetricFamily("homing_dns_secondary_serial", "The serial a secondary has.", labels=labels)
        lags = GaugeMetricFamily("homing_dns_secondary_lag_seconds", "How long it has been behind.", labels=labels)
        standings = sorted(self._following.standings(), key=lambda standing: -standing.lag)
        for standing in standings[:MAX_STANDINGS]:
            values = (standing.origin.text, str(standing.secondary))
            if standing.serial is not None:
                serials.add_metric(values, standing.serial)
            lags.add_metric(values, standing.lag)
        yield serials
        yield lags


def exposition(
    stats: Callable[[], Stats],
    authority: Authority,
    *,
    workers: Callable[[], int],
    connections: Callable[[], int],
    broken: Callable[[], int],
    more: tuple[Collector, ...] = (),
) -> Callable[[], bytes]:
    """The metrics of a server without names to keep right, in Prometheus' text format; ``more`` collectors beside."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Info("homing_build", "The running Homing.", registry=registry).info({"version": __version__})
    registry.register(DnsCollector(stats, authority, workers=workers, connections=connections, broken=broken))
    for collector in more:
        registry.register(collector)
    return lambda: generate_latest(registry)
