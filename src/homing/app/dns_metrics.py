"""The DNS server's counts as Prometheus metrics, read when they are asked for, so that counting stays cheap."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from homing.dns.stats import Stats


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
