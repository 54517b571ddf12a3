"""The page: the view as HTML. Everything that comes from outside is escaped by the template engine."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from homing.web.view import StateView

if TYPE_CHECKING:
    from jinja2 import Template


def render(state: StateView, nonce: str) -> str:
    """The whole page; ``nonce`` allows its one style sheet (CSP)."""
    names = [name for name in state.names if name.state != "disabled"]
    right = sum(name.state == "in-sync" for name in names)
    return _template().render(state=state, nonce=nonce, right=right, total=len(names))


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("homing.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = environment.filters
    filters.update(moment=moment, ago=ago)
    return environment.get_template("page.html")


def moment(at: float) -> str:
    """A time for machines and for the title of a <time> element."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "never"


def ago(at: float, now: float) -> str:
    """How long ago, or in how long, in one unit."""
    if not at:
        return "never"
    seconds = abs(now - at)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            text = f"{seconds / size:.0f} {unit}"
            break
    else:
        text = f"{seconds:.0f} s"
    return f"in {text}" if at > now else f"{text} ago"
