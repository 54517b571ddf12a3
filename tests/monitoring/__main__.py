"""``python -m tests.monitoring``: write what is generated from the alerting rules."""

from __future__ import annotations

from tests.monitoring.rules import OBJECT, prometheus_rule

OBJECT.write_text(prometheus_rule(), encoding="utf-8")
