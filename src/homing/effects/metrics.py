"""The one metric registry: names after Prometheus' conventions, labels bounded, base units (seconds)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import choose_encoder

from homing.effects.trace import past
from homing.model.lockout import Lockout
from homing.model.observation import Outcome, Verdict

disable_created_metrics()  # type: ignore[no-untyped-call]


OVERDUE = 1200.0
"""Seconds after which a turn that was due and has not ended is a trouble of its own."""


class Metrics:
    """All metrics of one Homing. The ``esddns_*`` ones are those that ESDDNS's dashboards and alerts know."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.refresh: Callable[[], None] = lambda: None
        """Called before each exposition, by whoever holds what is looked up then."""
        own = self.registry
        ProcessCollector(registry=own)
        Info("homing_build", "The running Homing.", registry=own).info({"version": version})
        self.wan_address = Gauge(
            "homing_wan_address_info", "The last agreed WAN address (always 1).", ("family", "address"), registry=own
        )
        self.verdict = Gauge(
            "homing_wan_verdict", "What the last round made of it: 1 for the outcome, else 0.", ("family", "outcome"),
            registry=own,
        )  # fmt: skip
        self.wan_changes = Counter(
            "homing_wan_address_changes", "Changes of the WAN address.", ("family",), registry=own
        )
        self.wan_confirmed = Gauge(
            "homing_wan_address_confirmed_timestamp_seconds", "When the WAN address was last agreed on.", ("family",),
            registry=own,
        )  # fmt: skip
        self.observations = Counter("homing_observations", "Answers of observers.", ("method", "result"), registry=own)
        self.round_seconds = Histogram(
            "homing_detection_round_duration_seconds", "From the start of a round to its verdict.", ("family",),
            buckets=(0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10), registry=own,
        )  # fmt: skip
        self.updates = Counter(
            "homing_provider_updates", "Requests that change records.", ("provider", "result"), registry=own
        )
        self.update_seconds = Histogram(
            "homing_provider_update_duration_seconds", "How long such a request takes.", ("provider",),
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20), registry=own,
        )  # fmt: skip
        self.in_sync = Gauge(
            "homing_name_in_sync", "Whether a name holds what it should.", ("fqdn", "provider"), registry=own
        )
        self.lockouts = Gauge("homing_provider_lockouts", "Pauses in force.", ("provider",), registry=own)
        self.lockout_until = Gauge(
            "homing_provider_lockout_until_timestamp_seconds",
            "When the last of its pauses ends; +Inf: when a person did what it asks for.", ("provider",), registry=own,
        )  # fmt: skip
        self.last_turn = Gauge(
            "homing_last_turn_timestamp_seconds", "When names at this provider were last looked at.", ("provider",),
            registry=own,
        )  # fmt: skip
        self.overdue = Gauge(
            "homing_turn_overdue_seconds", "How long the turn that is due has been waiting or under way.", registry=own
        )
        self.held = Gauge("homing_plan_held_changes", "Changes that the guard holds back.", ("provider",), registry=own)
        self.store_errors = Counter("homing_store_errors", "Writes to the state directory that failed.", registry=own)
        self.faults = Counter(
            "homing_internal_faults", "Faults of Homing itself that it went on after.", ("part",), registry=own
        )
        self.messages = Counter(
            "homing_messages", "Messages to people, by what they tell and how that ended.", ("kind", "result"),
            registry=own,
        )  # fmt: skip
        self.pings = Counter("homing_pings", "Signs of life sent to the dead man's switch.", ("result",), registry=own)
        self.esddns_updates = Counter("esddns_dns_updates", "Successful DNS updates.", registry=own)
        self.esddns_failures = Counter("esddns_dns_update_failures", "Failed DNS updates.", registry=own)
        self.esddns_last_update = Gauge(
            "esddns_last_dns_update_timestamp", "When DNS was last updated or found right (Unix time).", registry=own
        )
        self.esddns_wan_ip = Gauge(
            "esddns_current_wan_ip_info", "The current WAN IPv4 address (always 1).", ("ip",), registry=own
        )
        self.esddns_in_sync = Gauge("esddns_state_in_sync", "Whether every name holds what it should.", registry=own)
        self.esddns_health = Gauge("esddns_service_health", "Whether the service runs as it should.", registry=own)

    def lives(self, overdue: float, trouble: str = "") -> None:
        """Count how long the turn that is due has been so (seconds), and whether all runs as it should."""
        self.overdue.set(overdue)
        self.esddns_health.set(overdue < OVERDUE and not trouble)

    def forget_names(self) -> None:
        """Drop what was counted for names and providers that a new configuration may not have."""
        for gauge in (self.in_sync, self.lockouts, self.lockout_until, self.held, self.last_turn):
            gauge.clear()

    def without_names(self) -> None:
        """Leave out what only who publishes names can count; a zero would say that none was right."""
        names = (self.in_sync, self.updates, self.update_seconds, self.held, self.last_turn, self.overdue)
        pauses = (self.lockouts, self.lockout_until, self.messages, self.pings, self.store_errors)
        esddns = (self.esddns_updates, self.esddns_failures, self.esddns_last_update, self.esddns_in_sync)
        for one in (*names, *pauses, *esddns):
            self.registry.unregister(one)

    def forget_wan(self) -> None:
        """Drop what was seen of the WAN address: somebody else looks now."""
        for gauge in (self.wan_address, self.verdict, self.wan_confirmed, self.esddns_wan_ip):
            gauge.clear()

    def locked(self, provider: str, lockouts: Iterable[Lockout]) -> None:
        """Count a provider's pauses."""
        ends = [float("inf") if one.until is None else one.until for one in lockouts]
        self.lockouts.labels(provider).set(len(ends))
        if ends:
            self.lockout_until.labels(provider).set(max(ends))
        else:
            self.lockout_until.remove_by_labels({"provider": provider})

    def heard(self, verdict: Verdict, new: bool = False) -> None:
        """Count a round that ended; ``new`` tells whether its address is."""
        family = str(verdict.family)
        for outcome in Outcome:
            self.verdict.labels(family, outcome.value).set(outcome is verdict.outcome)
        self.round_seconds.labels(family).observe(verdict.elapsed)
        past("observe", verdict.at - verdict.elapsed, verdict.at, family=family, outcome=verdict.outcome.value)
        for item in verdict.observations:
            self.observations.labels(item.method.value, "answer" if item.counts else "failure").inc()
        if new:
            self.wan_changes.labels(family).inc()
        if verdict.outcome is Outcome.AGREED:
            self.wan_is(family, str(verdict.address))
            self.wan_confirmed.labels(family).set(verdict.at)

    def wan_is(self, family: str, address: str) -> None:
        """Count the WAN address of a family as this one."""
        self.wan_address.remove_by_labels({"family": family})
        self.wan_address.labels(family, address).set(1)
        if family == "IPv4":
            self.esddns_wan_ip.clear()
            self.esddns_wan_ip.labels(address).set(1)

    def exposition(self) -> bytes:
        """All of them in Prometheus' text format."""
        self.refresh()
        return generate_latest(self.registry)

    def negotiated(self, accept: str) -> tuple[bytes, str]:
        """All of them in the format that a header Accept asks for, and its name; OpenMetrics has exemplars."""
        self.refresh()
        encode, kind = choose_encoder(accept)
        return encode(self.registry), kind
