"""Spans of a turn, where they are asked for."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from homing.effects.clock import ManualClock
from homing.effects.metrics import Metrics
from homing.effects.trace import exemplar, span, tracing
from homing.errors import ProviderError, ProviderRefused
from homing.model.address import Family, parse_address
from homing.model.name import Name, parse_name
from homing.model.observation import Outcome, Verdict
from homing.sources import StaticSource, View
from homing.turn.memory import Memory
from homing.turn.names import NameSpec
from homing.turn.reconcile import Reconciler
from tests.app.fake_provider import FakeProvider
from tests.app.running import environment

WWW = parse_name("www.example.org")


async def turned(exporter: InMemorySpanExporter, metrics: Metrics, provider: FakeProvider) -> dict[str, ReadableSpan]:
    """The spans of one turn by name."""
    memory = Memory(None)
    spec = NameSpec(WWW, provider.name, StaticSource((parse_address("8.8.8.8"),)), 60, 300.0)
    made = Reconciler(provider, [spec], memory, clock=ManualClock(), chance=random.Random(1), metrics=metrics)
    async with tracing({}, exporter):
        await made.turn(View())
    memory.close()
    return {item.name: item for item in exporter.get_finished_spans()}


async def test_a_turn_is_a_trace_of_its_steps() -> None:
    """Want, read, plan, guard, apply, record; in apply an update for each name; its trace is beside its time."""
    metrics = Metrics("0")
    spans = await turned(InMemorySpanExporter(), metrics, FakeProvider())
    assert spans.keys() == {"turn", "want", "read", "plan", "guard", "apply", "update", "record"}
    turn = spans["turn"]
    assert turn.context is not None
    assert dict(turn.attributes or {}) == {"homing.provider": "fake", "homing.names": 1}
    for name in ("want", "read", "plan", "guard", "apply", "record"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == turn.context.span_id, name
    assert dict(spans["update"].attributes or {}) == {"homing.fqdn": WWW.text, "homing.provider": "fake"}
    text, kind = metrics.negotiated("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    shown = [
        sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert shown == [f"{turn.context.trace_id:032x}"]
    plain, kind = metrics.negotiated("text/html")
    assert kind.startswith("text/plain; version=0.0.4")
    assert b"trace_id" not in plain


async def test_a_failed_update_is_an_error_by_its_word() -> None:
    """The provider's word is told, its sentence is not; the turn itself went well."""
    provider = FakeProvider()

    def refuse(_: Name) -> ProviderError | None:
        return ProviderRefused("nohost", "hush") if provider.applied else None

    provider.fails = refuse
    spans = await turned(InMemorySpanExporter(), Metrics("0"), provider)
    assert (spans["update"].status.is_ok, spans["update"].status.description) == (False, "nohost")
    assert spans["turn"].status.is_ok
    assert "hush" not in "".join(item.to_json() for item in spans.values())


async def test_an_unexpected_error_is_told_by_its_kind() -> None:
    """Its text may hold anything."""
    exporter = InMemorySpanExporter()
    async with tracing({}, exporter):
        with pytest.raises(ValueError, match="hush"), span("work"):
            raise ValueError("hush")
    (found,) = exporter.get_finished_spans()
    assert found.status.description == "ValueError"
    assert "hush" not in found.to_json()


async def test_a_round_of_detection_is_a_span() -> None:
    """From its start to its verdict."""
    exporter = InMemorySpanExporter()
    async with tracing({}, exporter):
        Metrics("0").heard(Verdict(Family.V4, Outcome.DISPUTED, None, "two of two", 1000.0, 0.25))
    (found,) = exporter.get_finished_spans()
    assert (found.name, found.start_time, found.end_time) == ("observe", 999_750_000_000, 1_000_000_000_000)
    assert dict(found.attributes or {}) == {"homing.family": "IPv4", "homing.outcome": "disputed"}


async def test_without_a_collector_there_is_nothing() -> None:
    """No span, no exemplar."""
    async with tracing({}):
        with span("work", provider="fake"):
            assert exemplar() is None


def test_nothing_is_imported_unless_asked_for(tmp_path: Path) -> None:
    """Neither by the daemon nor by the operator."""
    code = (
        "import sys, homing.app.daemon, homing.app.cluster.process as process, asyncio\n"
        "from homing.effects.trace import tracing, span\n"
        "async def main():\n"
        "    async with tracing({}):\n"
        "        with span('work'): pass\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('opentelemetry', 'apprise')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"
