"""What operator and agent count, beside what every Homing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from homing.effects.metrics import Metrics

if TYPE_CHECKING:  # homing dns counts too, and starts sooner without all of the operator
    from homing.operator.runtime import Operator


class ClusterMetrics:
    """The API's latency, and turns by outcome."""

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = Histogram(
            "homing_kubernetes_request_duration_seconds",
            "How long the API server takes to answer.",
            ("verb", "resource", "code"),
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=metrics.registry,
        )
        self._turns = Counter(
            "homing_operator_turns", "Turns of Domains.", ("kind", "outcome"), registry=metrics.registry
        )

    def asked(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """The API server was asked."""
        self._seconds.labels(verb, resource, str(code)).observe(seconds)

    def turned(self, kind: str, outcome: str) -> None:
        """A Domain had a turn."""
        self._turns.labels(kind, outcome).inc()


def view_ages(ages: Mapping[str, float]) -> Metric:
    """How old what is known of the cluster is, by zone."""
    found = GaugeMetricFamily(
        "homing_zone_view_age_seconds", "Seconds since the API server's last word on the zone.", labels=("zone",)
    )
    for zone, age in ages.items():
        found.add_metric([zone], age)
    return found


class ZonesCollector(Collector):
    """The metrics of the Zones of a cluster, beside those of the server that has them."""

    def __init__(self, metrics: Metrics, leads: Callable[[], bool], ages: Callable[[], Mapping[str, float]]) -> None:
        self._metrics = metrics
        self._leads = leads
        self._ages = ages

    def collect(self) -> Iterator[Metric]:
        """All that begin with ``homing_``, whether this replica leads, and how old its view is."""
        leading = GaugeMetricFamily("homing_dns_leader", "Whether this replica leads.")
        leading.add_metric([], float(self._leads()))
        yield leading
        yield view_ages(self._ages())
        for metric in self._metrics.registry.collect():
            if metric.name.startswith("homing_") and metric.name != "homing_build":
                yield metric


class OperatorCollector(Collector):
    """What the operator is doing, looked up when it is asked for."""

    def __init__(self, operator: Callable[[], Operator | None], metrics: Metrics) -> None:
        self._operator = operator
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Leader, queue depth, Domains."""
        operator = self._operator()
        term = operator.term if operator is not None else None
        leading = GaugeMetricFamily("homing_operator_leader", "Whether this replica leads.")
        leading.add_metric([], float(term is not None))
        yield leading
        depth = GaugeMetricFamily(
            "homing_operator_queue_depth", "Domains and Providers that wait for a turn or have it."
        )
        depth.add_metric([], float(term.turns.depth if term is not None else 0))
        yield depth
        ready = GaugeMetricFamily(
            "homing_domain_ready", "Whether a Domain is Ready.", labels=("kind", "namespace", "name", "fqdn")
        )
        reports = dict(term.domains.reports) if term is not None else {}
        for which, report in reports.items():
            entry = term.domains.entries.get(which) if term is not None else None
            if entry is not None:
                ready.add_metric([*which, entry.name.text], float(report.ready))
        yield ready
        self._metrics.esddns_in_sync.set(all(report.ready for report in reports.values()))
        self._metrics.esddns_last_update.set(max((report.last_sync for report in reports.values()), default=0.0))
