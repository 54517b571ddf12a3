"""The guide docs/kubernetes.md says what is."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from homing.app.cluster.metrics import ClusterMetrics, OperatorCollector
from homing.app.cluster.settings import ClusterSettings
from homing.effects.metrics import Metrics
from homing.operator.own import _REASONS as EVENTS
from homing.operator.strato import _REASONS as STRATO_EVENTS
from homing.operator.telling import _REASONS

GUIDE = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text()


def test_every_metric_exists() -> None:
    """Each metric that the guide names is one of operator and agent."""
    metrics = Metrics("0")
    ClusterMetrics(metrics)
    metrics.registry.register(OperatorCollector(lambda: None, metrics))
    there = set(re.findall(r"^# HELP (\S+)", metrics.exposition().decode(), re.MULTILINE))
    named = set(re.findall(r"`((?:homing|esddns)_[a-z0-9_]+)`", GUIDE))
    assert {name for name in named if name.startswith("homing_")} >= {"homing_domain_ready", "homing_operator_leader"}
    assert named - there == set()


def test_every_setting_is_told() -> None:
    """The table of settings has every key of the file, and no flag that there is not."""
    table = GUIDE.partition("## Settings")[2].partition("## Metrics")[0]
    flags = set(re.findall(r"--([a-z][a-z-]+)", table)) - {"config"}
    plural = {"watch-namespaces": "watch-namespace"}
    keys = {field.encode_name for field in msgspec.structs.fields(ClusterSettings)}
    assert flags == {plural.get(key, key) for key in keys}


def test_every_reason_is_told() -> None:
    """Reasons of conditions and events are in the guide."""
    reasons = {*_REASONS.values(), *EVENTS.values(), *STRATO_EVENTS.values()} - {""}
    assert {reason for reason in reasons if f"`{reason}`" not in GUIDE} == set()
