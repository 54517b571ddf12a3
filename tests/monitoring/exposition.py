"""What a process gives at /metrics, held against the page of metrics and against promtool."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.families import families, listed, listed_labels
from tests.monitoring.rules import promtool

OF_HISTOGRAMS = {"le"}


def check_exposition(process: str, text: str) -> None:
    """It has the metrics that the page lists for such a process, with the labels listed; promtool finds no fault."""
    assert families(text) == listed()[process]
    labels = listed_labels()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name if sample.name in labels else family.name
            assert sample.labels.keys() - OF_HISTOGRAMS == labels[name], sample
    assert not promtool("check", "metrics", told=text)
