"""A web server over a view, a history and a clock that a test holds in its hands."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from homing.effects.clock import Clock, SystemClock
from homing.effects.http import HttpClient
from homing.effects.metrics import Metrics
from homing.store import Store
from homing.web.access import Access
from homing.web.server import WebServer
from homing.web.view import (
    ChangeView,
    FamilyView,
    LockoutView,
    NameView,
    ProviderView,
    SecondaryView,
    SiteView,
    StateView,
    VoteView,
    ZoneView,
)

HOSTILE = "<script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\">"


def name(**changes: object) -> NameView:
    fields: dict[str, object] = {
        "fqdn": "www.example.org", "provider": "gandi", "source": "wan", "ttl": 300, "wanted": ("8.8.8.8",),
        "published": ("8.8.8.8", "2a00::1"), "state": "in-sync", "detail": "", "last_sync": 90.0, "next_turn": 400.0,
        "record": "www", "href": "https://api.gandi.net/v5/livedns/domains/example.org/records/www/A",
        "observed": ("8.8.8.8", "2a00::1"), "observed_at": 95.0,
    }  # fmt: skip
    return NameView(**{**fields, **changes})  # type: ignore[arg-type]


VOTES = (
    VoteView("stun.example:3478/udp", "example", "stun", "8.8.8.8", "", 0.02, 90.0),
    VoteView("http://x", "other", "http", "", HOSTILE, 0.5, 90.0),
)
FAMILIES = (
    FamilyView(4, "8.8.8.8", 20.0, 90.0, "agreed", "3 of 3 operators say it", 90.0, 0.04, VOTES),
    FamilyView(6, "", 0.0, 0.0, "unknown", "no observer answered", 90.0, 5.0, ()),
)
STATE = StateView(
    version="1",
    host="box",
    origin="homing.toml",
    started=10.0,
    at=100.0,
    addresses=FAMILIES,
    own_addresses=("192.0.2.7",),
    names=(name(), name(fqdn="mail.example.org", state="failed", detail=f"{HOSTILE}; check {HOSTILE}", owner="web/x")),
    providers=(ProviderView("gandi", "gandi", True, (LockoutView("", "badauth", "check the token", 50.0, 0.0),)),),
    zones=(
        ZoneView("home.arpa.", 7, 4, (
            SecondaryView("192.0.2.53", 5, 2, 12.0, "no answer to 3"),
            SecondaryView("192.0.2.54", 7, 0),
            SecondaryView("192.0.2.55"),
        )),
    ),
    changes=(ChangeView(80.0, "address", "WAN IPv4", f"{HOSTILE} -> 8.8.8.8", True),),
    sites=(SiteView("berlin", FAMILIES, "agent of node-1"),),
    leader="homing-operator-0",
    dns_listen=("127.0.0.1:53",),
    trouble=("the disk is full",),
)  # fmt: skip


class Site:
    """A page that is served, and a client to look at it."""

    def __init__(self, clock: Clock, store: Store | None) -> None:
        self.state = STATE
        self.ready: str | None = None
        self.live = True
        self.clock = clock
        self.store = store
        self.queries = 0
        self.metrics = Metrics("1")
        self.client = HttpClient()
        self.base = ""

    async def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        response = await self.client.request("GET", self.base + path, timeout=5, headers=headers)
        return response.status, response.text, dict(response.headers)

    async def json(self, path: str) -> Any:
        status, text, _ = await self.get(path)
        assert status == 200, text
        return json.loads(text)


@contextlib.asynccontextmanager
async def served(
    clock: Clock | None = None,
    *,
    state: Path | None = None,
    token: Path | None = None,
    metrics: bool = False,
    counted: bool = False,
    port: int = 0,
) -> AsyncIterator[Site]:
    """A server over ``STATE``; ``state`` is where the history is kept, ``token`` the file of the token."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(state)) if state is not None else None
        found = Site(clock or SystemClock(), store)
        server = WebServer(
            lambda: found.state,
            ready=lambda: found.ready,
            live=lambda: found.live,
            metrics=found.metrics.exposition,
            past=store,
            queries=(lambda: found.queries) if counted else None,
            access=Access(token, "web.token_file", metrics=metrics) if token is not None else None,
            clock=found.clock,
        )
        ((host, at),) = await server.start([("127.0.0.1", port)])
        found.base = f"http://{host}:{at}"
        try:
            async with found.client:
                yield found
        finally:
            await server.aclose()
