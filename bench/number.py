"""A measured number, the table of them, and the JSON they are kept as."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from homing import __version__


@dataclass(frozen=True)
class Number:
    """What one thing took in every run. ``asked`` is the most that the worst run may take; None asks nothing."""

    name: str
    unit: str
    runs: tuple[float, ...]
    asked: float | None = None

    @property
    def worst(self) -> float:
        """The run that is judged."""
        return max(self.runs)

    @property
    def verdict(self) -> str:
        """``ok``, ``missed``, or nothing where nothing is asked."""
        if self.asked is None:
            return ""
        return "ok" if self.worst <= self.asked else "missed"


@dataclass(frozen=True)
class Result:
    """What one benchmark found; ``setting`` says under which conditions."""

    benchmark: str
    setting: str
    numbers: tuple[Number, ...]

    @property
    def missed(self) -> tuple[Number, ...]:
        """The numbers that are not as asked."""
        return tuple(number for number in self.numbers if number.verdict == "missed")


def as_json(result: Result, load: float) -> dict[str, Any]:
    """The form in which a result is kept; ``load`` is the machine's average over the minute before it began."""
    return {
        "benchmark": result.benchmark,
        "setting": result.setting,
        "homing": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "load before": _rounded(load)},
        "numbers": [
            {
                "name": number.name,
                "unit": number.unit,
                "asked": number.asked,
                "verdict": number.verdict or None,
                "min": _rounded(min(number.runs)),
                "median": _rounded(statistics.median(number.runs)),
                "max": _rounded(number.worst),
                "runs": [_rounded(run) for run in number.runs],
            }
            for number in result.numbers
        ],
    }


def write(path: Path, what: object) -> None:
    """Write JSON, with each list of runs on one line."""
    text = json.dumps(what, indent=2)
    short = re.sub(r"\[\s+([-\d.,\s]+?)\s+\]", lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(short + "\n")


def machine() -> dict[str, str | int]:
    """What of the machine bears on the numbers, and nothing that tells which machine it is."""
    kernel = re.match(r"[\d.]+", platform.release())
    return {
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {kernel[0] if kernel else ''}".strip(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def table(results: Iterable[Result]) -> str:
    """What was asked, what was measured, and whether that is good enough."""
    rows: list[tuple[str, ...]] = [("number", "runs", "asked", "min", "median", "max", "unit", "")]
    for result in results:
        rows += [
            (
                f"{result.benchmark}: {number.name}",
                str(len(number.runs)),
                "" if number.asked is None else f"{number.asked:g}",
                *(f"{value:.4g}" for value in (min(number.runs), statistics.median(number.runs), number.worst)),
                number.unit,
                number.verdict,
            )
            for number in result.numbers
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if 1 <= column <= 5 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
