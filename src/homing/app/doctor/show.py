"""Findings for a terminal, a pipe, or a program."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import click

from homing.app.doctor.finding import Finding, Level

_SIGNS = {Level.OK: "✓", Level.NOTE: "·", Level.WARNING: "!", Level.ERROR: "✗", Level.SKIPPED: "-"}
_COLOURS = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.ERROR: "red", Level.SKIPPED: None}

CHECK_WIDTH = 16
"""Columns for the name of a check; longer names push their text on."""


class Printer:
    """Prints each finding when it comes; signs only on a terminal that can show them, words elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._signs = self._terminal and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"

    def __call__(self, finding: Finding) -> None:
        """Print one."""
        click.echo(self.line(finding))

    def silently(self, finding: Finding) -> None:
        """Print nothing: all of it is told at the end."""

    def line(self, finding: Finding) -> str:
        """One finding; its remedy below it, or behind it where lines are for programs."""
        word = _SIGNS[finding.level] if self._signs else f"{finding.level.value:<7}"
        mark = click.style(word, fg=_COLOURS[finding.level], bold=finding.level is Level.ERROR)
        head = f"{finding.check:<{CHECK_WIDTH}}  {finding.text}"
        remedy = finding.remedy.splitlines()
        if not self._terminal:
            return f"{word}  {head}" + (f"; {' | '.join(remedy)}" if remedy else "")
        indent = " " * (len(word) + CHECK_WIDTH + 4)
        width = max(50, shutil.get_terminal_size().columns - 1)
        lines = textwrap.wrap(head, width - len(word) - 2, subsequent_indent=" " * (CHECK_WIDTH + 2))
        text = f"{mark}  " + f"\n{' ' * (len(word) + 2)}".join(lines or [head])
        for number, part in enumerate(remedy):
            first = f"{indent}→ " if self._signs and not number else f"{indent}> " if not number else f"{indent}  "
            # What is to be copied stays as it is.
            told = (
                textwrap.wrap(part, width, initial_indent=first, subsequent_indent=f"{indent}  ")
                if len(remedy) == 1
                else [first + part]
            )
            text += "\n" + "\n".join(told)
        return text


def summary(findings: Sequence[Finding]) -> str:
    """How many of each, the worst first."""
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    named = [(Level.ERROR, "error"), (Level.WARNING, "warning"), (Level.NOTE, "note")]
    told = [f"{counts[level]} {word}{'s' if counts[level] != 1 else ''}" for level, word in named if counts[level]]
    rest = f"{counts[Level.OK]} fine" + (f", {counts[Level.SKIPPED]} skipped" if counts[Level.SKIPPED] else "")
    return ", ".join([*told, rest]) if told else f"nothing is wrong: {rest}"


def as_data(findings: Sequence[Finding]) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "ok": not any(finding.level is Level.ERROR for finding in findings),
        "findings": [
            {"check": item.check, "level": item.level.value, "text": item.text, "remedy": item.remedy}
            for item in findings
        ],
    }
