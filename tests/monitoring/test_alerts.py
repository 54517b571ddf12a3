"""Every alert fires when it should, keeps silent when it should, and says what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.monitoring.cases import CASES
from tests.monitoring.families import listed_labels
from tests.monitoring.rules import ALERTS, OBJECT, alerts, prometheus_rule, promtool, used

GUIDE = Path(__file__).parents[2] / "docs" / "monitoring.md"


@pytest.mark.peers
def test_alerts_fire_and_keep_silent(tmp_path: Path) -> None:
    """promtool evaluates each expression over series as Prometheus would have scraped them."""
    tests = [
        {
            "name": f"{case.alert}: {case.what}",
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}}) or vector(0)',
                    "eval_time": case.at,
                    "exp_samples": [{"labels": "{}", "value": int(case.fires)}],
                }
            ],
        }
        for case in CASES
    ]
    file = tmp_path / "tests.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}), encoding="utf-8"
    )
    promtool("check", "rules", str(ALERTS))
    promtool("test", "rules", str(file))


@pytest.mark.parametrize("fires", [True, False])
def test_every_alert_has_a_case(fires: bool) -> None:
    """One in which it fires, and one in which it does not."""
    assert {alert.name for alert in alerts()} == {case.alert for case in CASES if case.fires is fires}


def test_alerts_use_metrics_that_there_are() -> None:
    """Every metric of an expression is on the page of metrics, with the labels that are matched."""
    labels = listed_labels()
    for alert in alerts():
        for metric, matched in used(alert.expr):
            assert matched <= labels[metric] | {"job", "instance", "namespace"}, (alert.name, metric)


def test_alerts_say_what_to_do() -> None:
    """Each has a severity, a summary, a description, and a place in the guide that tells more."""
    headings = re.findall(r"^### (\w+)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [alert.name for alert in alerts()]
    for alert in alerts():
        assert alert.severity in ("critical", "warning")
        assert alert.annotations.keys() == {"summary", "description", "runbook_url"}
        assert alert.annotations["runbook_url"] == f"docs/monitoring.md#{alert.name.lower()}"


def test_the_object_for_the_operator_has_the_same_rules() -> None:
    """``python -m tests.monitoring`` writes it."""
    assert OBJECT.read_text(encoding="utf-8") == prometheus_rule()


def test_alerts_and_monitors_name_the_same_jobs() -> None:
    """Each monitor gives its targets a job that an alert watches, and each such job but the daemon's has a monitor."""
    told = "".join(alert.expr for alert in alerts())
    watched = {job for text in re.findall(r'job=~?"([^"]+)"', told) for job in text.split("|")}
    monitors = list(yaml.safe_load_all((ALERTS.parent / "servicemonitor.yaml").read_text(encoding="utf-8")))
    given: set[str] = set()
    for monitor in monitors:
        (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
        given |= {item["replacement"] for item in endpoint["relabelings"]}
        assert monitor["metadata"]["name"] in given
    assert watched == given | {"homing"}
