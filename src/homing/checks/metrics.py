"""What checks count. No label holds an address."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class CheckMetrics:
    """The metrics of a process, whichever ``Checker`` runs in it now."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._probes = Counter("homing_check_probes", "Probes of published addresses.", ("kind", "result"),
                               registry=registry)  # fmt: skip
        self._targets = Gauge("homing_check_targets", "Addresses that are probed, with each check.", registry=registry)
        self._unhealthy = Gauge("homing_check_unhealthy", "Those that fail or turned too often.", registry=registry)
        self._blind = Gauge(
            "homing_check_blind", "Ways (IP version and kind of probe) on which nothing answers.", registry=registry
        )

    def probed(self, kind: str, result: str) -> None:
        """A probe ended."""
        self._probes.labels(kind, result).inc()

    def watch(self, targets: Callable[[], float], unhealthy: Callable[[], float], blind: Callable[[], float]) -> None:
        """Look these up when metrics are asked for."""
        self._targets.set_function(targets)
        self._unhealthy.set_function(unhealthy)
        self._blind.set_function(blind)
