"""The Grafana dashboard, as Prometheus meets it."""

from __future__ import annotations

import json
from typing import Any

from tests.monitoring.rules import FOLDER

BOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))

OF_A_CLUSTER = {
    *(
        "homing_domain_ready",
        "homing_site_disputed",
        "homing_site_detected_timestamp_seconds",
        "homing_operator_leader",
    ),
    *("homing_dns_leader", "homing_agent_leader", "homing_kubernetes_request_duration_seconds_bucket"),
    *("homing_operator_queue_depth", "homing_zone_view_age_seconds"),
    *("homing_check_targets", "homing_check_unhealthy", "homing_check_blind", "homing_check_probes_total"),
}
"""Metrics that there are in a cluster only, so a query of nothing else is rightly empty without one."""

WHEN_ALL_IS_WELL = {"homing_internal_faults_total"}
"""Metrics that begin with the first fault."""


def queries(window: str) -> list[str]:
    """Every query of the dashboard, with what Grafana puts in: all jobs, and a window for rates."""
    found = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())]
    found += [item["expr"] for item in BOARD["annotations"]["list"]]
    return [expr.replace("$__rate_interval", window).replace("$job", "homing.*") for expr in found]
