"""For mkdocs: links to files beside docs/ are shown as their path and must exist; decisions are in the navigation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

DOCS = Path(__file__).parent
LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(?:#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Decisions by their number."""
    for section in config.nav:
        if "Decisions" in section:
            section["Decisions"] = [f"design/{path.name}" for path in sorted((DOCS / "design").glob("*.md"))]
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """A link that leaves docs/ leads nowhere on a site."""

    def shown(match: re.Match[str]) -> str:
        target = (DOCS / page.file.src_uri).parent.joinpath(match[2]).resolve()
        if target.is_relative_to(DOCS):
            return match[0]
        if not target.exists():
            raise PluginError(f"{page.file.src_uri}: there is no {match[2]}")
        path = str(target.relative_to(DOCS.parent))
        return match[1] if match[1] == path else f"{match[1]} (`{path}`)"

    return LINK.sub(shown, markdown)
