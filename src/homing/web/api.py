"""The API: what the page shows as JSON, at ``/api/v1/``. Read-only. OpenAPI is made of the same table.

All times are Unix seconds, 0 where something never was.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from homing.errors import StoreError
from homing.store import AddressChange, Event, Kind, Place, Question, Row, Update
from homing.web.board import Board
from homing.web.openapi import document
from homing.web.problem import problem
from homing.web.view import FamilyView, NameView, SiteView, ZoneView

PREFIX = "/api/v1"

Limit = Annotated[int, Meta(ge=1, le=500, description="Lines at most.")]
Since = Annotated[float, Meta(ge=0, le=1e11, description="Unix seconds; only what is not older.")]
Until = Annotated[float, Meta(ge=0, le=1e11, description="Unix seconds; only what is not younger.")]
Cursor = Annotated[str, Meta(max_length=200, description="`next` of the page before.")]
Word = Annotated[str, Meta(max_length=300)]


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class NamesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which names."""

    name: Annotated[Word, Meta(description="This name only.")] = ""
    state: Annotated[
        Literal["in-sync", "pending", "held", "failed", "locked", "disabled"] | None,
        Meta(description="Names in this state only."),
    ] = None


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which lines of the history."""

    type: Annotated[Literal["address", "update"] | None, Meta(description="Lines of one type only.")] = None
    name: Annotated[Word, Meta(description="Updates of this name only.")] = ""
    failed: Annotated[bool, Meta(description="Updates that failed only.")] = False
    since: Since = 0.0
    until: Until = 1e11
    limit: Limit = 100
    cursor: Cursor = ""


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events."""

    kind: Annotated[Word, Meta(description="Events of one kind only, such as `lockout` or `drift`.")] = ""
    since: Since = 0.0
    until: Until = 1e11
    limit: Limit = 100
    cursor: Cursor = ""


class Addresses(Struct, frozen=True):
    """The WAN address, by family, with what each observer said; in a cluster by Site."""

    at: float
    addresses: tuple[FamilyView, ...]
    own_addresses: tuple[str, ...]
    sites: tuple[SiteView, ...]


class Names(Struct, frozen=True):
    """The names. ``leader`` is who writes them, in a cluster."""

    at: float
    leader: str
    names: tuple[NameView, ...]


class Zones(Struct, frozen=True):
    """The zones of the built-in server. ``queries`` counts since the start, ``queries_per_second`` is of the last
    minute; both are null while not known.
    """

    at: float
    zones: tuple[ZoneView, ...]
    queries: int | None
    queries_per_second: float | None


class AddressLine(Struct, frozen=True, tag_field="type", tag="address"):
    """The WAN address changed; ``before`` is empty for the first."""

    at: float
    family: int
    before: str
    after: str
    reason: str


class UpdateLine(Struct, frozen=True, tag_field="type", tag="update"):
    """A request to a provider and how it ended: ``code`` is its word, ``detail`` a sentence about a failure."""

    at: float
    provider: str
    name: str
    change: str
    ok: bool
    code: str
    detail: str
    seconds: float


class EventLine(Struct, frozen=True):
    """Something worth telling: a dispute, a lockout, a held plan."""

    at: float
    kind: str
    subject: str
    detail: str


class History(Struct, frozen=True):
    """Changes of the address and updates, newest first. ``next`` leads to the lines after these; null at the end."""

    lines: tuple[AddressLine | UpdateLine, ...]
    next: str | None


class Events(Struct, frozen=True):
    """Events, newest first. ``next`` leads to the events after these; null at the end."""

    events: tuple[EventLine, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path: the parameters it takes, the type of its answer, and how it is found. ``slow`` goes to a thread."""

    path: str
    summary: str
    query: type[Struct]
    answer: type[Struct]
    find: Callable[[Board, Any], Struct]
    slow: bool = False


class _BadCursorError(ValueError):
    pass


def _addresses(board: Board, _: NoQuery) -> Addresses:
    state = board.look()
    return Addresses(state.at, state.addresses, state.own_addresses, state.sites)


def _names(board: Board, query: NamesQuery) -> Names:
    state, wanted = board.look(), query.name.rstrip(".").lower()
    found = (
        name
        for name in state.names
        if (not wanted or name.fqdn.rstrip(".").lower() == wanted) and query.state in (None, name.state)
    )
    return Names(state.at, state.leader, tuple(found))


def _zones(board: Board, _: NoQuery) -> Zones:
    state = board.look()
    return Zones(state.at, state.zones, board.queries, board.rate)


def _history(board: Board, query: HistoryQuery) -> History:
    kinds = {"address": frozenset({Kind.ADDRESS}), "update": frozenset({Kind.UPDATE})}.get(
        query.type or "", frozenset({Kind.ADDRESS, Kind.UPDATE})
    )
    if query.name or query.failed:
        kinds &= {Kind.UPDATE}
    found, after = _look_back(board, kinds, query, name=query.name, failed=query.failed)
    return History(tuple(map(_line, found)), after)


def _events(board: Board, query: EventsQuery) -> Events:
    found, after = _look_back(board, frozenset({Kind.EVENT}), query, event=query.kind)
    events = (row for row in found if isinstance(row, Event))
    return Events(tuple(EventLine(row.at, row.kind, row.subject, row.detail) for row in events), after)


def _look_back(
    board: Board, kinds: frozenset[Kind], query: HistoryQuery | EventsQuery, **more: Any
) -> tuple[list[Row], str | None]:
    if board.past is None:
        return [], None
    after = _place(query.cursor) if query.cursor else None
    lines = board.past.history(Question(kinds, query.since, query.until, after=after, limit=query.limit + 1, **more))
    shown = lines[: query.limit]
    return [row for _, row in shown], _cursor(shown[-1][0]) if len(lines) > len(shown) else None


def _line(row: Row) -> AddressLine | UpdateLine:
    if isinstance(row, AddressChange):
        return AddressLine(row.at, row.family.value, row.before, row.after, row.reason)
    assert isinstance(row, Update)  # noqa: S101 - no other kinds were asked for
    return UpdateLine(row.at, row.provider, row.fqdn, row.change, row.ok, row.code, row.detail, row.seconds)


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place.at!r} {place.kind:d} {place.number}".encode()).decode().rstrip("=")


def _place(cursor: str) -> Place:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, kind, number = text.split(" ")
        place = Place(float(at), Kind(int(kind)), int(number))
    except (binascii.Error, ValueError):
        raise _BadCursorError from None
    if not math.isfinite(place.at) or not 0 <= place.number < 2**63:
        raise _BadCursorError
    return place


ENDPOINTS = (
    Endpoint("addresses", "The WAN address and who says so", NoQuery, Addresses, _addresses),
    Endpoint("names", "The names and what they hold", NamesQuery, Names, _names),
    Endpoint("zones", "The zones and their secondaries", NoQuery, Zones, _zones),
    Endpoint("history", "Changes of the address and updates", HistoryQuery, History, _history, slow=True),
    Endpoint("events", "What else is worth telling", EventsQuery, Events, _events, slow=True),
)


def openapi(version: str, *, secured: bool) -> dict[str, Any]:
    """The OpenAPI document; ``secured`` when a token is asked for."""
    return document(PREFIX, ENDPOINTS, version, secured=secured)


def add_routes(router: web.UrlDispatcher, board: Board, version: str, *, secured: bool) -> None:
    """Serve the API."""
    described = msgspec.json.encode(openapi(version, secured=secured)) + b"\n"

    async def describe(_: web.Request) -> web.StreamResponse:
        return web.Response(body=described, content_type="application/json")

    router.add_get(f"{PREFIX}/openapi.json", describe)
    for endpoint in ENDPOINTS:
        router.add_get(f"{PREFIX}/{endpoint.path}", _handler(endpoint, board))


def _handler(endpoint: Endpoint, board: Board) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.StreamResponse:
        twice = [key for key in request.query if len(request.query.getall(key)) > 1]
        if twice:
            return problem(400, f"{twice[0]!r} is given more than once")
        try:
            query = msgspec.convert(dict(request.query), endpoint.query, strict=False)
        except msgspec.ValidationError as error:
            return problem(400, f"{error}; /api/v1/openapi.json tells which parameters there are")
        try:
            if endpoint.slow:
                answer = await asyncio.to_thread(endpoint.find, board, query)
            else:
                answer = endpoint.find(board, query)
        except _BadCursorError:
            return problem(400, "cursor is none that `next` gave")
        except StoreError as error:
            return problem(503, str(error))
        return web.Response(body=msgspec.json.encode(answer) + b"\n", content_type="application/json")

    return handle
