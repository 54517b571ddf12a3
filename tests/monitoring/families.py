"""The metrics that each process has, as its registry tells them, and as docs/metrics.md lists them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from prometheus_client import generate_latest

from homing import __version__
from homing.app.cluster.metrics import (
    AgentCollector,
    ClusterMetrics,
    CredentialCollector,
    OperatorCollector,
    ZonesCollector,
)
from homing.app.daemon import Daemon, Options
from homing.app.dns_metrics import TransferCollector, exposition
from homing.app.settings import default_settings
from homing.checks import CheckMetrics
from homing.dns.authority import Authority
from homing.dns.stats import Stats
from homing.dns.transfers.follow import Following
from homing.effects.clock import ManualClock
from homing.effects.metrics import Metrics
from homing.kube.credentials import Credentials

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

PROCESSES = ("up", "operator", "agent", "dns", "dns-kubernetes")
"""As the column ``in`` of the page has them."""


def families(text: str) -> set[str]:
    """The names of the metrics of an exposition, with and without samples."""
    return set(re.findall(r"^# HELP (\w+) ", text, re.MULTILINE))


def listed() -> dict[str, set[str]]:
    """What the page lists for each process."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {process: {metric for metric, where in rows if process in where.split(", ")} for process in PROCESSES}


def listed_labels() -> dict[str, set[str]]:
    """The labels that the page lists for each metric."""
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {metric: _names(text) for metric, text in rows}


def _names(text: str) -> set[str]:
    """Labels of a row: those before the first ``=``, and those with one behind them; the others are values."""
    return set(re.findall(r"`(\w+)`(?= =)", text)) | set(re.findall(r"`(\w+)`", text.partition("=")[0]))


def registered(process: str) -> set[str]:
    """What a process of this kind has in its registry from the start."""
    metrics = Metrics(__version__)
    if process == "up":
        daemon = Daemon(Options(Path(), default_settings))
        daemon.metrics.registry.register(TransferCollector(_following(daemon.authority)))
        return families(generate_latest(daemon.metrics.registry).decode())
    if process in ("operator", "agent"):
        ClusterMetrics(metrics, turns=process == "operator")
        metrics.registry.register(CredentialCollector(cast("Credentials", SimpleNamespace(ends={}))))
        collector = OperatorCollector if process == "operator" else AgentCollector
        metrics.registry.register(collector(lambda: None, metrics))
        return families(metrics.exposition().decode())
    authority = Authority()
    more: Iterable[object] = (TransferCollector(_following(authority)),)
    if process == "dns-kubernetes":
        ClusterMetrics(metrics)
        CheckMetrics(metrics.registry)
        more = (*more, ZonesCollector(metrics, lambda: True, dict, dict))
    told = exposition(Stats, authority, workers=int, connections=int, broken=int, more=tuple(more))  # type: ignore[arg-type]
    return families(told().decode())


def _following(authority: Authority) -> Following:
    return Following(authority, ManualClock(), random.Random(1))
