"""The DNS server's figures as text: totals, and rates from two looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import click

from homing.app.dns.figures import DnsFigures

LINES = 10
"""Lines of one table; what is less is summed up in a last one."""

_EVENTS = {
    "rate-limited": "responses held back by rate limiting",
    "slipped": "responses cut to TC by rate limiting",
    "forwarded": "queries handed to the main process",
    "forward-dropped": "the same, dropped",
    "send-failed": "responses the kernel did not take",
    "connection-refused": "TCP connections refused at a limit",
    "connection-evicted": "TCP connections closed as slow or idle",
    "worker-replaced": "workers replaced",
}
_BAD = frozenset(("forward-dropped", "send-failed", "worker-replaced"))


def figures_text(now: DnsFigures, before: DnsFigures | None = None) -> str:
    """Totals since the start and, with an earlier look at the same process, what happens a second.

    Colour only where click finds a terminal.
    """
    same = before is not None and before.started == now.started and now.at > before.at
    rate = _rates(now.at - before.at) if before is not None and same else _no_rate
    old = before if before is not None and same else DnsFigures(now.started, now.started)
    where = ", ".join(now.listen) or "no address"
    lines = [
        click.style(f"{now.zones:,} zone{'s' if now.zones != 1 else ''}", bold=True)
        + f" on {where}, {_workers(now.workers)}, up {_span(now.at - now.started)}",
        "",
        f"{'':<28}{'a second':>12}{'in all':>16}",
        _line("queries", now.queries, rate(now.queries, old.queries)),
    ]
    hits = now.events.get("cache-hit", 0)
    share = f"{100 * hits / now.queries:.0f} %" if now.queries and hits else ""
    if hits:
        lines.append(_line("from the cache", hits, rate(hits, old.events.get("cache-hit", 0)), share))
    tables = (
        ("type", now.types, old.types),
        ("response code", now.rcodes, old.rcodes),
        ("transport", now.transports, old.transports),
        ("zone", now.by_zone, old.by_zone),
        ("transfers", now.transfers, old.transfers),
    )
    for title, counts, earlier in tables:
        if counts:
            lines += ["", click.style(title, bold=True), *_table(counts, earlier, rate)]
    lines += _happened(now, old, rate)
    for one in now.secondaries:
        lag = "not known" if one.behind is None else "up to date" if one.behind == 0 else f"{one.behind} behind"
        told = f", {one.told}" if one.told else ""
        word = click.style(lag, fg="green" if one.behind == 0 else "yellow")
        lines.append(f"secondary {one.server}  {one.zone}  serial {one.serial or '-'} of {one.served}  {word}{told}")
    lines += [click.style(sentence, fg="red") for sentence in now.broken]
    return "\n".join(lines)


def _happened(now: DnsFigures, old: DnsFigures, rate: Callable[[int, int], str]) -> Iterator[str]:
    counted = [(event, text) for event, text in _EVENTS.items() if now.events.get(event)]
    if now.connections or counted:
        yield ""
    if now.connections:
        yield _line("TCP connections open", now.connections, "")
    for event, text in counted:
        line = _line(text, now.events[event], rate(now.events[event], old.events.get(event, 0)))
        yield click.style(line, fg="yellow") if event in _BAD else line


def _table(counts: Mapping[str, int], earlier: Mapping[str, int], rate: Callable[[int, int], str]) -> Iterator[str]:
    total = sum(counts.values())
    ordered = sorted(counts, key=lambda key: (key == "other", -counts[key]))
    shown, rest = (ordered, []) if len(ordered) <= LINES else (ordered[: LINES - 1], ordered[LINES - 1 :])
    for key in shown:
        yield _line(
            f"  {key}", counts[key], rate(counts[key], earlier.get(key, 0)), f"{100 * counts[key] / total:.0f} %"
        )
    if rest:
        count, was = sum(counts[key] for key in rest), sum(earlier.get(key, 0) for key in rest)
        yield _line(f"  {len(rest)} others", count, rate(count, was), f"{100 * count / total:.0f} %")


def _line(what: str, count: int, rate: str, share: str = "") -> str:
    return f"{what:<28}{rate:>12}{count:>16,}{share:>7}".rstrip()


def _rates(seconds: float) -> Callable[[int, int], str]:
    def rate(now: int, before: int) -> str:
        # What is shown one by one changes with who is busiest: a row that is new has no rate yet.
        value = max(0, now - before) / seconds
        return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"

    return rate


def _no_rate(now: int, before: int) -> str:
    return "-"


def _workers(count: int) -> str:
    return "one process" if not count else "1 worker" if count == 1 else f"{count} workers"


def _span(seconds: float) -> str:
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 2:
        return f"{days:.0f} days"
    return f"{hours:.0f} h" if hours >= 2 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"
