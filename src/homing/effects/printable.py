"""Text that came from outside, made safe for a terminal."""

from __future__ import annotations

LONGEST = 400
"""Characters of a text that are shown."""


def printable(text: str, longest: int = LONGEST) -> str:
    """The text with all that could speak to a terminal written out, and no longer than ``longest``."""
    return escaped(text if len(text) <= longest else f"{text[: longest - 4]} ...")


def escaped(text: str) -> str:
    """The whole text with all that could speak to a terminal written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
