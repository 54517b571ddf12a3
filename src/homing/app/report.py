"""State and history as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from homing.web.page import ago
from homing.web.view import ChangeView, StateView

_COLOURS = {"in-sync": "green", "agreed": "green", "failed": "red", "locked": "red", "disputed": "red"}


def status_text(view: StateView) -> str:
    """Addresses, names, pauses and trouble; colour only where click finds a terminal."""
    lines = [f"as of {_when(view.at)} on {view.host}"]
    for family in view.addresses:
        word = click.style(family.outcome, fg=_COLOURS.get(family.outcome, "yellow"))
        since = f", since {_when(family.since)}" if family.since else ""
        lines.append(f"IPv{family.family}  {family.address or 'not known':<40} {word}{since}")
        if family.outcome != "agreed":
            lines.append(f"      {family.reason}")
    if view.names:
        lines.append("")
    width = max((len(name.fqdn) for name in view.names), default=0)
    for name in view.names:
        word = click.style(f"{name.state:<8}", fg=_COLOURS.get(name.state, "yellow"))
        lines.append(f"{name.fqdn:<{width}}  {word}  {', '.join(name.published) or 'nothing'}  ({name.provider})")
        if name.detail:
            lines.append(f"{'':<{width}}  {name.detail}")
        if name.state != "in-sync" and name.next_turn:
            lines.append(f"{'':<{width}}  next look {ago(name.next_turn, view.at)}")
    lines += [f"zone {zone.origin} serial {zone.serial}, {zone.records} records" for zone in view.zones]
    lines += [click.style(f"trouble: {sentence}", fg="red") for sentence in view.trouble]
    return "\n".join(lines)


def history_text(changes: Sequence[ChangeView]) -> str:
    """A line a change, newest first."""
    if not changes:
        return "Nothing has changed yet."
    return "\n".join(
        f"{_when(change.at)}  {click.style(change.kind, fg=None if change.ok else 'red'):<14}  "
        f"{change.subject}  {change.detail}"
        for change in changes
    )


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
