"""The page as HTML, part by part. Everything that comes from outside is escaped by the template engine.

A part is drawn again only when what it shows changed; the page, and all who watch it, get the same text. Style and
script are of this package, in the page itself, allowed by their hashes (CSP), so that one request shows everything.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from homing.web.timeline import RANGES, Timeline
from homing.web.view import NameView, StateView

if TYPE_CHECKING:
    from jinja2 import Environment

SHOWN_NAMES = 200
"""Names on the page, those that are not right first; the filter finds the others."""

STALE = 15.0
"""Seconds after which a part is drawn again for a new reader, since it says how long ago things were."""

QUIET, BAD = ("in-sync", "disabled"), ("failed", "locked")
"""States of names that need nobody, and that need somebody."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the page shows at one moment: the state, the timeline (None without a history), queries a second."""

    state: StateView
    timeline: Timeline | None = None
    rate: float | None = None
    filter: str = ""
    only_wrong: bool = False

    @property
    def total(self) -> int:
        """Names that should hold something."""
        return sum(name.state != "disabled" for name in self.state.names)

    @property
    def right(self) -> int:
        """Names that do."""
        return sum(name.state == "in-sync" for name in self.state.names)

    @property
    def disputed(self) -> tuple[str, ...]:
        """What observers disagree about."""
        found = [f"the IPv{one.family} address" for one in self.state.addresses if one.outcome == "disputed"]
        if self.state.sites:
            found = [
                f"the IPv{one.family} address of Site {site.name}"
                for site in self.state.sites
                for one in site.addresses
                if one.outcome == "disputed"
            ]
        return tuple(found)

    @property
    def needs_somebody(self) -> bool:
        """Whether a person has to do something about a name: it failed, or a remedy is told (behind a semicolon)."""
        return any(name.state in BAD or (name.state not in QUIET and "; " in name.detail) for name in self.state.names)

    @property
    def names(self) -> Sequence[NameView]:
        """The names that match the filter, those that are not right first."""
        wanted = self.filter.casefold()
        found = [
            name
            for name in self.state.names
            if (not self.only_wrong or name.state not in QUIET) and (not wanted or wanted in _words(name))
        ]
        return sorted(found, key=lambda name: name.state in QUIET)


def _words(name: NameView) -> str:
    return " ".join((name.fqdn, name.provider, name.state, name.owner, *name.wanted, *name.published)).casefold()


PARTS: Mapping[str, Callable[[Look], object]] = {
    "headline": lambda look: (
        look.right,
        look.total,
        [(family.family, family.address, family.since, family.outcome) for family in look.state.addresses],
        [(zone.origin, zone.serial) for zone in look.state.zones] if not look.state.names else (),
        look.state.demo,
        look.state.trouble,
        look.state.leader,
        look.disputed,
        look.needs_somebody,
    ),
    "timeline": lambda look: look.timeline and (look.timeline.until, look.timeline.span),
    "names": lambda look: (look.state.names, bool(look.state.addresses)),
    "wan": lambda look: look.state.addresses,
    "sites": lambda look: look.state.sites,
    "zones": lambda look: (look.state.zones, look.state.own_addresses, look.state.dns_listen),
    "queries": lambda look: look.rate,
    "providers": lambda look: look.state.providers,
    "changes": lambda look: look.state.changes,
}
"""What each part of the page shows: it is drawn again when that changes."""


@dataclass(frozen=True, slots=True)
class Part:
    """A drawn part; ``version`` grows when what it shows changed, not when only its words for "ago" did."""

    shown: object
    html: str
    at: float
    version: int


class Page:
    """Draws the page. ``live`` tells whether its script may follow changes, ``history`` whether there is an API."""

    def __init__(self, *, live: bool = True) -> None:
        self._live = live
        self._known: dict[tuple[str, str], Part] = {}

    def parts(self, look: Look, *, fresh: bool = True) -> dict[str, Part]:
        """Every part; with ``fresh`` none is older than ``STALE``."""
        span = look.timeline.span if look.timeline else ""
        return {name: self._part(name, span if name == "timeline" else "", look, fresh=fresh) for name in PARTS}

    def _part(self, name: str, span: str, look: Look, *, fresh: bool) -> Part:
        known, shown = self._known.get((name, span)), PARTS[name](look)
        is_new = known is None or known.shown != shown
        if known is None or is_new or (fresh and look.state.at - known.at > STALE):
            version = known.version if known is not None else 0
            known = Part(shown, self._draw(name, look), look.state.at, version + is_new)
            self._known[name, span] = known
        return known

    @staticmethod
    def _draw(name: str, look: Look) -> str:
        template = _environment().get_template(f"parts/{name}.html")
        return template.render(look=look, state=look.state, shown_names=SHOWN_NAMES).strip()

    def whole(self, look: Look, span: str) -> str:
        """The page with all its parts."""
        parts = {name: part.html for name, part in self.parts(replace(look, filter="", only_wrong=False)).items()}
        if look.filter or look.only_wrong:
            parts["names"] = self._draw("names", look)
        template = _environment().get_template("page.html")
        return template.render(
            look=look,
            state=look.state,
            parts=parts,
            span=span,
            ranges=RANGES,
            live=self._live,
            style=style(),
            script=script(),
        )


def policy() -> str:
    """The Content-Security-Policy of the page: its own style and script by their hashes, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(style())}'; script-src '{_hash(script())}'; connect-src 'self'; "
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


@functools.cache
def style() -> str:
    """The style sheet."""
    return (files("homing.web") / "static" / "page.css").read_text("utf-8")


@functools.cache
def script() -> str:
    """The script, without which the page works too."""
    return (files("homing.web") / "static" / "page.js").read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("homing.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = environment.filters
    filters.update(moment=moment, ago=ago, iso=iso)
    return environment


def moment(at: float) -> str:
    """A time for the title of a <time> element."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "never"


def iso(at: float) -> str:
    """A time for machines (RFC 3339)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
