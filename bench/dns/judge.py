"""What is asked of Homing beside its peers, and the tables of what was found."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.dns.loads import Round
from bench.dns.servers import ECHO

Rounds = Mapping[str, Mapping[str, Sequence[Round]]]
"""Rounds by load and server, in the order they ran; the same place is the same moment."""


@dataclass(frozen=True)
class Row:
    """One line of what is asked: at most ``asked``, or at least where ``at_least``."""

    what: str
    unit: str
    asked: float
    found: tuple[float, ...]
    judged: float
    at_least: bool = field(default=False)

    @property
    def met(self) -> bool:
        """Whether it is as asked."""
        return self.judged >= self.asked if self.at_least else self.judged <= self.asked

    @property
    def as_json(self) -> dict[str, Any]:
        """For the results."""
        return {
            "what": self.what,
            "unit": self.unit,
            "at least" if self.at_least else "at most": self.asked,
            "measured": rounded(self.judged),
            "met": self.met,
            "rounds": [rounded(value) for value in self.found],
        }


OF_PEERS = (
    ("hot", "Knot", 1.0),
    ("hot", ECHO, 1.35),
    ("resolver", "Knot", 1.5),
    ("random", "Knot", 1.5),
)
"""Load, peer, and the most that Homing may take of the peer's processor time for an answer."""

TIMES_BETTER = 5.0
"""How many times Homing's processor time CoreDNS takes, at least, in what resolvers send."""

OTHERS_P99 = 5.0
"""Milliseconds at p99 until another client's answer while random names are asked."""


def rows(rounds: Rounds, subject: str) -> Iterable[Row]:
    """The lines about processor time and other clients, of what was measured."""
    for load, peer, asked in OF_PEERS:
        yield from ratio(rounds, load, subject, peer, asked)
    yield from ratio(rounds, "resolver", "CoreDNS", subject, TIMES_BETTER, at_least=True)
    for load in ("random", "flood"):
        waits = tuple(item.others_p99 for item in rounds.get(load, {}).get(subject, ()))
        if waits:
            yield Row(f"{load}: other clients' answers, p99", "ms", OTHERS_P99, waits, statistics.median(waits))


def ratio(rounds: Rounds, load: str, of: str, to: str, asked: float, *, at_least: bool = False) -> Iterable[Row]:
    """Processor time of one to that of the other: the median of the ratios of each round, which saw the same moment."""
    found = rounds.get(load, {})
    ratios = tuple(a.microseconds / b.microseconds for a, b in zip(found.get(of, ()), found.get(to, ()), strict=False))
    if ratios:
        yield Row(f"{load}: {of} to {to}", "", asked, ratios, statistics.median(ratios), at_least)


def costs(rounds: Rounds) -> str:
    """Each server's processor time an answer by load, as a Markdown table; the spread is that of the rounds."""
    names = list(dict.fromkeys(name for found in rounds.values() for name in found))
    cells = [(name, *(_cost(found.get(name, ())) for found in rounds.values())) for name in names]
    return markdown([("µs an answer", *rounds), *cells]) if rounds else ""


def waits(rounds: Rounds) -> str:
    """How long the answers took, p50 and p99, as a Markdown table."""
    names = list(dict.fromkeys(name for found in rounds.values() for name in found))
    cells = [(name, *(_wait(found.get(name, ())) for found in rounds.values())) for name in names]
    return markdown([("ms until the answer: p50, p99; others", *rounds), *cells]) if rounds else ""


def _wait(found: Sequence[Round]) -> str:
    if not found:
        return ""
    p50, p99, others = (
        statistics.median(getattr(item, field) for item in found) for field in ("p50", "p99", "others_p99")
    )
    return f"{p50:.2f}, {p99:.2f}" + (f"; {others:.2f}" if others else "")


def _cost(found: Sequence[Round]) -> str:
    if not found:
        return ""
    values = [item.microseconds for item in found]
    text = f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
    faults = [
        f"lost {max(item.lost for item in found):.2%}" if any(item.lost for item in found) else "",
        f"WRONG {sum(item.wrong for item in found)}" if any(item.wrong for item in found) else "",
        f"busy {min(item.busy for item in found):.0%}" if any(item.busy < ON_CORE for item in found) else "",
    ]
    return "; ".join(filter(None, [text, *faults]))


ON_CORE = 0.8
"""The share of a good round that a server is on its core, at least; below it others were there, or too few queries."""


def as_json(rounds: Rounds) -> dict[str, Any]:
    """Rounds for the results, by load and server."""
    return {
        kind: {
            name: {
                "median microseconds": rounded(statistics.median(one.microseconds for one in items)),
                **{key: [rounded(asdict(one)[key]) for one in items] for key in asdict(items[0]) if key != "why"},
            }
            for name, items in by_server.items()
        }
        for kind, by_server in rounds.items()
    }


def rounded(value: float) -> float:
    """Four digits of it."""
    return float(f"{value:.4g}")


def verdicts(found: Iterable[Row]) -> str:
    """What is asked, what was measured and whether it is met, as a Markdown table."""
    lines: list[tuple[str, ...]] = [("number", "asked", "measured", "rounds", "")]
    for row in found:
        sign = "≥" if row.at_least else "≤"
        spread = f"{min(row.found):.3g}-{max(row.found):.3g}" if len(row.found) > 1 else ""
        asked, judged = (f"{value:.4g} {row.unit}".strip() for value in (row.asked, row.judged))
        lines.append((row.what, f"{sign} {asked}", judged, spread, "met" if row.met else "missed"))
    return markdown(lines) if lines[1:] else ""


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells, the first line being its head, aligned to read as text too."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])
