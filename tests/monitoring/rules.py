"""The alerting rules: read, written as a PrometheusRule, and asked by promtool."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"

ALERTS, OBJECT = FOLDER / "alerts.yaml", FOLDER / "prometheusrule.yaml"

HEAD = "# Written by: python -m tests.monitoring. The rules of alerts.yaml for the Prometheus Operator.\n"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule."""

    name: str
    expr: str
    seconds: float
    severity: str
    annotations: dict[str, str]


def groups() -> list[dict[str, Any]]:
    """The rule groups as they are in the file."""
    found: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return found


def alerts() -> list[Alert]:
    """All alerts."""
    return [
        Alert(
            rule["alert"], rule["expr"], seconds(rule.get("for", "0s")), rule["labels"]["severity"], rule["annotations"]
        )
        for group in groups()
        for rule in group["rules"]
    ]


def prometheus_rule() -> str:
    """The object for the Prometheus Operator."""
    body = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "homing", "namespace": "homing", "labels": {"app.kubernetes.io/name": "homing"}},
        "spec": {"groups": groups()},
    }
    return HEAD + yaml.safe_dump(body, sort_keys=False, width=120)


def seconds(text: str) -> float:
    """A duration as Prometheus writes it."""
    number, unit = re.fullmatch(r"(\d+)([smhd])", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def used(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Homing's metrics in an expression, each with the labels that are matched."""
    for metric, matchers in re.findall(r"\b((?:homing|esddns)_\w+)(?:\{([^}]*)\})?", expr):
        yield metric, set(re.findall(r"(\w+)\s*[!=]=?~?\s*\"", matchers))


def promtool(*words: str, told: str = "") -> str:
    """What promtool says; it must be content."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed: tests/install-peers promtool")
    done = subprocess.run([program, *words], input=told, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
