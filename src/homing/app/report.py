"""State and history for a terminal: the same as on the page, in tables that fit its width.

Without a terminal there is no colour, and nothing is cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from homing.effects.printable import printable
from homing.web.page import QUIET, Look, ago
from homing.web.view import ChangeView, FamilyView, NameView, StateView, ZoneView

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

PIPE_WIDTH = 132
"""Columns where there is no terminal and ``COLUMNS`` says nothing."""

_STYLES = {
    "in-sync": "green",
    "agreed": "green",
    "failed": "red",
    "locked": "red",
    "disputed": "red",
    "disabled": "dim",
}

_WHOLE = frozenset(("WAN", "verdict", "state", "next turn", "serial"))
_ADDRESSES = frozenset(("address", "published", "wanted"))
_IPV4 = len("255.255.255.255")


def console() -> Console:
    """Where tables are printed: standard output, as wide as its terminal."""
    from rich.console import Console

    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return Console(highlight=False)
    return Console(highlight=False, width=PIPE_WIDTH, color_system=None)


def status(view: StateView, now: float, daemon: int | None) -> RenderableType:
    """Addresses with their votes, names, providers, zones and trouble; ``daemon`` is the process that holds the state.

    ``now`` is Unix seconds: next turns and pauses are told from there.
    """
    from rich.console import Group

    parts: list[RenderableType] = [_headline(view, now, daemon)]
    parts += [_text(f"trouble: {sentence}", "red") for sentence in view.trouble]
    parts += ["", _families(view.addresses, now), *_disagreements(view.addresses)]
    for site in view.sites:
        parts += ["", _text(f"site {site.name}, seen by {site.by or 'nobody'}", "bold"), _families(site.addresses, now)]
    if view.names:
        parts += ["", _names(view.names, now), *_problems(view.names)]
    if view.providers:
        parts += ["", _providers(view, now)]
    if view.zones:
        parts += ["", _zones(view.zones)]
    return Group(*parts)


def essence(view: StateView) -> object:
    """What a person would call a change: all but the times and the votes of each round."""
    return (
        [(item.family, item.address, item.outcome) for item in view.addresses],
        [(item.fqdn, item.provider, item.wanted, item.published, item.state, item.detail) for item in view.names],
        [(item.name, item.lockouts) for item in view.providers],
        [(item.origin, item.serial, [(each.server, each.serial) for each in item.secondaries]) for item in view.zones],
        [
            (item.name, item.by, [(each.family, each.address, each.outcome) for each in item.addresses])
            for item in view.sites
        ],
        view.leader,
        view.trouble,
    )


def history_text(changes: Sequence[ChangeView]) -> str:
    """A line a change, newest first."""
    if not changes:
        return "Nothing has changed yet."
    return "\n".join(
        f"{_when(change.at)}  {click.style(change.kind, fg=None if change.ok else 'red'):<14}  "
        f"{printable(change.subject)}  {printable(change.detail, 2000)}"
        for change in changes
    )


def _headline(view: StateView, now: float, daemon: int | None) -> Text:
    """As the page has it: red when a person must act, yellow when time will do."""
    look = Look(view)
    head = f"{look.right} of {look.total} names right" if look.total else "no names"
    if look.disputed:
        head += f", observers disagree about {' and '.join(look.disputed)}"
    bad = look.disputed or look.needs_somebody or view.trouble
    told = _text(head, "bold red" if bad else "bold yellow" if look.right < look.total else "bold green")
    by = f"process {daemon}" if daemon is not None else "no daemon runs"
    led = f", led by {view.leader}" if view.leader else ""
    return told.append(
        printable(f"  on {view.host}, seen {ago(view.at, now)} ({_when(view.at)}), {by}{led}"), "default"
    )


def _families(families: Iterable[FamilyView], now: float) -> Table:
    table = _table("WAN", "address", "verdict", "since", "votes")
    for item in families:
        counted = [vote for vote in item.votes if vote.address and not vote.failure]
        same = sum(vote.address == item.address for vote in counted)
        told = f"{same} of {len(item.votes)}, {ago(item.at, now)}" if item.votes else ""
        since = _when(item.since) if item.since else ""
        table.add_row(f"IPv{item.family}", _text(item.address or "not known"), _state(item.outcome), since, told)
    return table


def _disagreements(families: Iterable[FamilyView]) -> Iterator[Text]:
    for item in families:
        if item.outcome != "agreed":
            yield _text(f"  IPv{item.family}: {item.reason}", _STYLES.get(item.outcome, "yellow"))
        for vote in item.votes:
            if vote.address and (vote.address != item.address or vote.failure):
                why = f", {vote.failure}" if vote.failure else ""
                yield _text(f"  {vote.observer} ({vote.operator}) says {vote.address}{why}", "yellow")


def _names(names: Iterable[NameView], now: float) -> Table:
    names = tuple(names)
    # What is not published yet is shown beside what is, and only then.
    differ = any(name.wanted and name.wanted != name.published for name in names)
    table = _table("name", "published", *(("wanted",) if differ else ()), "state", "next turn", "provider")
    for name in names:
        wanted = [_list(name.wanted if name.wanted != name.published else ())] if differ else []
        published = _list(name.published) if name.published else _text("nothing", "dim")
        if name.observed_at and set(name.observed) != set(name.published):
            published.append(f"\nread: {printable(', '.join(name.observed)) or 'nothing'}", "yellow")
        turn = ago(name.next_turn, now) if name.next_turn and name.state != "disabled" else ""
        turn = "now" if turn.endswith(" ago") else turn
        table.add_row(_text(name.fqdn), published, *wanted, _state(name.state), turn, _text(name.provider))
    return table


def _problems(names: Iterable[NameView]) -> Iterator[RenderableType]:
    """Why names are not right, and what to do, below the table."""
    from rich.padding import Padding

    for name in names:
        if name.state not in QUIET and name.detail:
            style = _STYLES.get(name.state, "yellow")
            yield Padding(_text(f"{name.fqdn}: {name.detail}", style, 1000), (0, 0, 0, 2))


def _providers(view: StateView, now: float) -> Table:
    table = _table("provider", "type", "pause")
    for item in view.providers:
        pauses = _text("none" if not item.lockouts else "", "dim")
        for number, pause in enumerate(item.lockouts):
            until = f"until {_when(pause.until)} ({ago(pause.until, now)})" if pause.until else "until you act"
            host = f" for {pause.host}" if pause.host else ""
            pauses.append("\n" if number else "").append(printable(f"{pause.code}{host}, {until}"), "red")
        table.add_row(_text(item.name), _text(item.type), pauses)
    return table


def _zones(zones: Iterable[ZoneView]) -> Table:
    table = _table("zone", "serial", "records", "secondaries")
    for item in zones:
        told = _text("")
        for number, each in enumerate(item.secondaries):
            behind = (
                "not heard" if each.behind is None else "up to date" if not each.behind else f"{each.behind} behind"
            )
            style = "green" if each.behind == 0 else "yellow"
            told.append("\n" if number else "").append(printable(f"{each.server} {each.serial or '-'} {behind}"), style)
        table.add_row(_text(item.origin), str(item.serial), f"{item.records:,}", told)
    return table


def _table(*heads: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head in _WHOLE, min_width=_IPV4 if head in _ADDRESSES else None)
    return table


def _state(word: str) -> Text:
    return _text(word, _STYLES.get(word, "yellow"))


def _list(values: Iterable[str]) -> Text:
    return _text("\n".join(map(printable, values)), lines=True)


def _text(text: str, style: str = "", longest: int = 400, *, lines: bool = False) -> Text:
    """Text that is no markup and says nothing to the terminal."""
    from rich.text import Text

    return Text(text if lines else printable(text, longest), style)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
