"""What operator and agent count, beside what every Homing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from homing.effects.metrics import Metrics

if TYPE_CHECKING:  # homing dns counts too, and starts sooner without all of the operator
    from homing.kube.credentials import Credentials
    from homing.operator.agent import Agent
    from homing.operator.runtime import Operator, Term

MAX_SITES = 100
"""Sites that are told of."""


class ClusterMetrics:
    """The API's latency, and turns by outcome where there are ``turns``."""

    def __init__(self, metrics: Metrics, *, turns: bool = True) -> None:
        self._seconds = Histogram(
            "homing_kubernetes_request_duration_seconds",
            "How long the API server takes to answer.",
            ("verb", "resource", "code"),
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=metrics.registry,
        )
        self._turns = Counter(
            "homing_operator_turns", "Turns of Domains.", ("kind", "outcome"),
            registry=metrics.registry if turns else None,
        )  # fmt: skip

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


OF_OBSERVING = (
    "homing_build",
    "homing_wan_",
    "homing_detection_",
    "homing_observations",
    "homing_provider_lockout",
    "homing_messages",
    "homing_pings",
)
"""What only processes that observe, or publish elsewhere, count."""


class ZonesCollector(Collector):
    """The metrics of the Zones of a cluster, beside those of the server that has them."""

    def __init__(
        self,
        metrics: Metrics,
        leads: Callable[[], bool],
        ages: Callable[[], Mapping[str, float]],
        ends: Callable[[], Mapping[str, float]],
    ) -> None:
        self._metrics = metrics
        self._leads = leads
        self._ages = ages
        self._ends = ends

    def collect(self) -> Iterator[Metric]:
        """All that begin with ``homing_``, whether this replica leads, and how old its view is."""
        self._metrics.refresh()
        leading = GaugeMetricFamily("homing_dns_leader", "Whether this replica leads.")
        leading.add_metric([], float(self._leads()))
        yield leading
        yield view_ages(self._ages())
        yield credential_ends(self._ends())
        for metric in self._metrics.registry.collect():
            if metric.name.startswith("homing_") and not metric.name.startswith(OF_OBSERVING):
                yield metric


def credential_ends(ends: Mapping[str, float]) -> Metric:
    """When the credentials for the API server end."""
    found = GaugeMetricFamily(
        "homing_kubernetes_credential_expiry_timestamp_seconds",
        "When the client's certificate or token for the API server ends, where that can be told.",
        labels=("kind",),
    )
    for kind, end in ends.items():
        found.add_metric([kind], end)
    return found


class CredentialCollector(Collector):
    """When the credentials in use end, looked up when it is asked for."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def collect(self) -> Iterator[Metric]:
        """One family."""
        yield credential_ends(self._credentials.ends)


class AgentCollector(Collector):
    """What an agent is doing, looked up when it is asked for."""

    def __init__(self, agent: Callable[[], Agent | None], metrics: Metrics) -> None:
        self._agent = agent
        self._metrics = metrics
        metrics.refresh = self._refresh
        metrics.without_names()

    def collect(self) -> Iterator[Metric]:
        """Whether it observes."""
        leading = GaugeMetricFamily("homing_agent_leader", "Whether this agent is the one that observes for its Site.")
        leading.add_metric([], float(self._leads))
        yield leading

    @property
    def _leads(self) -> bool:
        agent = self._agent()
        return agent is not None and agent.election is not None and agent.election.is_leading

    def _refresh(self) -> None:
        if not self._leads:
            self._metrics.forget_wan()


class OperatorCollector(Collector):
    """What the operator is doing, looked up when it is asked for."""

    def __init__(self, operator: Callable[[], Operator | None], metrics: Metrics) -> None:
        self._operator = operator
        self._metrics = metrics
        metrics.refresh = self._refresh

    @property
    def _term(self) -> Term | None:
        operator = self._operator()
        return operator.term if operator is not None else None

    def _refresh(self) -> None:
        """Set what ESDDNS's dashboards know; who does not lead tells nothing of names and addresses."""
        term, metrics = self._term, self._metrics
        if term is None:
            metrics.forget_names()
            metrics.forget_wan()
        elif term.home is None or not term.home.is_observing:
            for gauge in (metrics.verdict, metrics.wan_confirmed):
                gauge.clear()
        reports = list(term.domains.reports.values()) if term is not None else []
        metrics.esddns_in_sync.set(all(report.ready for report in reports))
        right = (report.at if report.ready else report.last_sync for report in reports)
        metrics.esddns_last_update.set(max(right, default=0.0))
        metrics.lives(term.turns.overdue if term is not None else 0.0)

    def collect(self) -> Iterator[Metric]:
        """Leader, queue depth, Domains, Sites."""
        term = self._term
        leading = GaugeMetricFamily("homing_operator_leader", "Whether this replica leads.")
        leading.add_metric([], float(term is not None))
        yield leading
        depth = GaugeMetricFamily(
            "homing_operator_queue_depth", "Domains and Providers that wait for a turn or have it."
        )
        depth.add_metric([], float(term.turns.depth if term is not None else 0))
        yield depth
        yield self._domains(term)
        yield from self._sites(term)

    def _domains(self, term: Term | None) -> Metric:
        ready = GaugeMetricFamily(
            "homing_domain_ready", "Whether a Domain is Ready.", labels=("kind", "namespace", "name", "fqdn")
        )
        for which, report in dict(term.domains.reports).items() if term is not None else ():
            entry = term.domains.entries.get(which) if term is not None else None
            if entry is not None:
                ready.add_metric([*which, entry.name.text], float(report.ready))
        return ready

    def _sites(self, term: Term | None) -> Iterator[Metric]:
        from homing.operator.sites import detected_at

        disputed = GaugeMetricFamily(
            "homing_site_disputed", "Whether the last round of a Site saw different addresses.", labels=("site",)
        )
        detected = GaugeMetricFamily(
            "homing_site_detected_timestamp_seconds", "When the last round of a Site ended.", labels=("site",)
        )
        for site in list(term.world.sites.values())[:MAX_SITES] if term is not None else ():
            told = any(item.type == "Disputed" and item.status == "True" for item in site.status.conditions)
            disputed.add_metric([site.metadata.name], float(told))
            if detected_at(site):
                detected.add_metric([site.metadata.name], detected_at(site))
        yield disputed
        yield detected
