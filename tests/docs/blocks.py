"""The blocks of the guides: what a reader copies, with the language it is in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = ("README.md", "CONTRIBUTING.md", "deploy/helm/homing/README.md", *sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")
))  # fmt: skip
"""The pages whose blocks are meant; docs/reference is made of the code."""

_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?$")


@dataclass(frozen=True)
class Block:
    """A block of a page. ``title`` is the name of the file that it is or is a part of."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """The blocks of a page: fenced, or indented by four blanks. Indented ones are of the shell, of YAML or of TOML."""
    return tuple(_blocks(page, (ROOT / page).read_text(encoding="utf-8").splitlines()))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        first = number
        fence = _FENCE.match(lines[number])
        number += 1
        if fence:
            end = lines.index("```", number)
            text = "\n".join(lines[number:end]) + "\n"
            yield Block(page, first + 1, fence[1], fence[2] or "", text)
            number = end + 1
        elif lines[first].startswith("    ") and (first == 0 or not lines[first - 1]):
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number]):
                number += 1
            text = "\n".join(line[4:] for line in lines[first:number]).rstrip("\n") + "\n"
            yield Block(page, first + 1, _language(text), "", text)


def _language(text: str) -> str:
    if re.match(r"[A-Za-z]+:(\s|$)", text):
        return "yaml"
    return "toml" if text.startswith("[") else "sh"
