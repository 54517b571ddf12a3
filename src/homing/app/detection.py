"""``homing detect``: every observer's answer as it arrives, then the verdict."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from homing.app.observe import build_observing
from homing.app.settings import Loaded
from homing.detect.round import run_rounds
from homing.effects.clock import SystemClock
from homing.effects.http import HttpClient
from homing.model.address import Family
from homing.model.observation import Method, Observation, Outcome, Verdict

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

STATUS = {Outcome.AGREED: 0, Outcome.DISPUTED: 3, Outcome.UNKNOWN: 4}
"""Exit statuses."""


def exit_status(verdicts: Mapping[Family, Verdict]) -> int:
    """The best outcome counts: most homes have one family only."""
    return min((STATUS[verdict.outcome] for verdict in verdicts.values()), default=STATUS[Outcome.UNKNOWN])


async def show(loaded: Loaded, methods: tuple[str, ...], family: int | None, *, as_json: bool) -> dict[Family, Verdict]:
    """Ask everyone and print: JSON, a live table on a terminal, or a line an answer."""
    clock = SystemClock()
    async with HttpClient() as http:
        observing = build_observing(
            loaded,
            http,
            clock=clock,
            chance=random.SystemRandom(),
            methods=frozenset(Method(method) for method in methods),
        )
        if observing.lists is not None:
            await observing.lists.refresh()
        families = (Family(family),) if family else observing.settings.families
        display: _Lines | _Table = _Table() if sys.stdout.isatty() and not as_json else _Lines(quiet=as_json)
        with display:
            verdicts = await run_rounds(
                observing.observers(),
                observing.ask,
                clock=clock,
                families=families,
                settings=replace(observing.settings.round, complete=True),
                on_observation=display.add,
            )
    if as_json:
        click.echo(json.dumps({"verdicts": [_verdict(verdict) for verdict in verdicts.values()]}, indent=2))
    else:
        for verdict in verdicts.values():
            colour = {Outcome.AGREED: "green", Outcome.DISPUTED: "red"}.get(verdict.outcome, "yellow")
            word = click.style(verdict.outcome.value, fg=colour, bold=True)
            address = f" {verdict.address}" if verdict.address else ""
            click.echo(f"{verdict.family}: {word}{address} after {verdict.elapsed * 1000:.0f} ms ({verdict.reason})")
    return verdicts


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "family": verdict.family.value,
        "outcome": verdict.outcome.value,
        "address": str(verdict.address) if verdict.address else None,
        "reason": verdict.reason,
        "seconds": round(verdict.elapsed, 4),
        "observations": [
            {
                "observer": item.observer,
                "operator": item.operator,
                "method": item.method.value,
                "address": str(item.address) if item.address else None,
                "counts": item.counts,
                "failure": item.failure or None,
                "seconds": round(item.elapsed, 4),
            }
            for item in verdict.observations
        ],
    }


class _Lines:
    """A line an answer, for pipes and logs."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def add(self, item: Observation) -> None:
        """Print one answer."""
        if not self._quiet:
            told = item.failure or str(item.address)
            click.echo(f"{item.family}  {item.elapsed * 1000:6.0f} ms  {item.operator:<14}  {item.observer}  {told}")


class _Table:
    """A table that grows on a terminal."""

    def __init__(self) -> None:
        self._seen: list[Observation] = []
        self._live: Live | None = None

    def __enter__(self) -> None:
        from rich.live import Live

        self._live = Live(self._table(), refresh_per_second=12, transient=False)
        self._live.__enter__()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
            self._live.__exit__(None, None, None)

    def add(self, item: Observation) -> None:
        """Add one answer."""
        self._seen.append(item)
        if self._live is not None:
            self._live.update(self._table())

    def _table(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        table = Table("family", "operator", "observer", "answer", "took", box=None, header_style="bold")
        for item in sorted(self._seen, key=lambda item: (item.family, not item.counts, item.elapsed)):
            answer = f"[green]{item.address}" if item.counts else f"[dim]{escape(item.failure)}"
            took = f"{item.elapsed * 1000:.0f} ms"
            table.add_row(str(item.family), escape(item.operator), escape(item.observer), answer, took)
        return table
