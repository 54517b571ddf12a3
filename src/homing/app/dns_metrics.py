"""The DNS server's counts as Prometheus metrics, read when they are asked for, so that counting stays cheap."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from homing.dns.stats import Stats
from homing.dns.transfers.follow import Following


class DnsCollector(Collector):
    """Shows what was counted at the moment of asking."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """The families ``homing_dns_queries_total`` and ``homing_dns_events_total``."""
        queries = CounterMetricFamily(
            "homing_dns_queries", "Queries to it.", labels=("transport", "type", "rcode", "zone")
        )
        for seen, count in self._stats.queries.items():
            rcode = "dropped" if seen.rcode is None else seen.rcode.name
            queries.add_metric((seen.transport.value, seen.type, rcode, seen.zone), count)
        yield queries
        events = CounterMetricFamily("homing_dns_events", "What else happened in the DNS server.", labels=("event",))
        for event, total in self._stats.events.items():
            events.add_metric((event.value,), total)
        yield events


class TransferCollector(Collector):
    """Shows how transfers ended and how far the secondaries are."""

    def __init__(self, following: Following) -> None:
        self._following = following

    def collect(self) -> Iterator[Metric]:
        """The families ``homing_dns_transfers_total``, ``homing_dns_secondary_serial`` and ``..._lag_seconds``."""
        transfers = CounterMetricFamily(
            "homing_dns_transfers", "Zone transfers to secondaries.", labels=("zone", "kind", "result")
        )
        for counted, count in self._following.transfers.items():
            transfers.add_metric((counted.zone, counted.kind, counted.ending.value), count)
        yield transfers
        labels = ("zone", "secondary")
        serials = GaugeMetricFamily("homing_dns_secondary_serial", "The serial a secondary has.", labels=labels)
        lags = GaugeMetricFamily("homing_dns_secondary_lag_seconds", "How long it has been behind.", labels=labels)
        for standing in self._following.standings():
            values = (standing.origin.text, str(standing.secondary))
            if standing.serial is not None:
                serials.add_metric(values, standing.serial)
            lags.add_metric(values, standing.lag)
        yield serials
        yield lags
