"""What a check found. Values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from homing.effects.printable import printable


class Level(enum.Enum):
    """How bad it is. An error is something that does not work; a warning may stop working, or works for some."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: which check, how bad, what was found, and what to do about it (empty when nothing is to be done).

    ``text`` and ``remedy`` are made safe for a terminal and cut, since strangers write parts of them. A remedy may
    have several lines.
    """

    check: str
    level: Level
    text: str
    remedy: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(self.text))
        object.__setattr__(self, "remedy", "\n".join(map(printable, self.remedy.splitlines()[:12])))


def told(error: Exception) -> tuple[str, str]:
    """The two halves of an error of ours: what happened, and what to do next."""
    happened, _, remedy = str(error).partition("; ")
    kept = [part for part in remedy.split("; ") if part and not part.startswith(("updates stay paused", "it is tried"))]
    return happened, "; ".join(kept)


def many(found: list[str], most: int = 3) -> str:
    """The first few of a list, and how many more there are."""
    return "; ".join(found[:most]) + (f"; and {len(found) - most} more" if len(found) > most else "")
