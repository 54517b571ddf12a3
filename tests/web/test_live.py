"""The page live: what watchers are sent, how often, and what many, slow and gone ones cost."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from homing.effects.clock import Clock, ManualClock, settle
from homing.store import Event
from homing.web import live
from homing.web.page import Look, Page
from homing.web.view import ChangeView, ZoneView
from tests.waiting import patience
from tests.web.serving import STATE, Site, name, served


class Stream:
    """One open page, without a browser."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._rest = ""

    async def next(self) -> tuple[str, str]:
        """The next event and its data."""
        while True:
            while "\n\n" not in self._rest:
                chunk = await self._line()
                size = int(chunk, 16)
                body = await self._reader.readexactly(size + 2)
                if not size:
                    raise EOFError
                self._rest += body[:-2].decode()
            event, self._rest = self._rest.split("\n\n", 1)
            fields = dict(line.partition(": ")[::2] for line in event.split("\n"))
            if "event" in fields:
                return fields["event"], fields["data"]

    def pause(self) -> None:
        """Take nothing from now on."""
        assert isinstance(self._writer.transport, asyncio.Transport)
        self._writer.transport.pause_reading()

    async def ends(self) -> bool:
        """Whether it ends, after what was on its way."""
        with contextlib.suppress(EOFError):
            while True:
                await self.next()
        return True

    async def _line(self) -> bytes:
        """The next line; a clock that stands still is moved until it comes."""
        line = asyncio.ensure_future(self._reader.readuntil(b"\r\n"))
        for _ in range(500):
            done, _ = await asyncio.wait([line], timeout=0.02)
            if done:
                return await line
            if isinstance(self._clock, ManualClock):
                await self._clock.advance(0.5)
        line.cancel()
        raise TimeoutError

    async def parts(self, *wanted: str) -> dict[str, str]:
        """Parts as they come, until all these have come."""
        found: dict[str, str] = {}
        while not set(wanted) <= set(found):
            kind, data = await self.next()
            if kind == "part":
                told = json.loads(data)
                found[told["name"]] = told["html"]
        return found


@contextlib.asynccontextmanager
async def watching(site: Site, path: str = "/live") -> AsyncIterator[Stream]:
    host, _, port = site.base.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        assert head.startswith("HTTP/1.1 200"), head
        assert "text/event-stream" in head
        yield Stream(reader, writer, site.clock)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_watcher_gets_every_part_and_then_what_changes() -> None:
    """A change of one name sends the names and the headline, not the rest."""
    clock = ManualClock()
    async with served(clock) as site, watching(site) as stream:
        assert (await stream.next())[0] == "beat"
        first = await stream.parts("headline", "names", "wan", "sites", "zones", "providers", "changes")
        assert "1 of 2 names is not right" in first["headline"]
        site.state = msgspec.structs.replace(STATE, names=(name(),), at=101.0)
        second = await stream.parts("headline", "names")
        assert set(second) == {"headline", "names"}
        assert "mail.example.org" not in second["names"]


async def test_who_comes_after_all_have_gone_gets_nothing_old() -> None:
    """What was so when the last one left is hours ago, and nobody has looked since."""
    clock = ManualClock()
    async with served(clock) as site:
        async with watching(site) as stream:
            await stream.parts("names")
        await settle()
        site.state = msgspec.structs.replace(STATE, names=(name(fqdn="new.example.org"),))
        async with watching(site) as stream:
            first = await stream.parts("names")
            assert "new.example.org" in first["names"]
            assert "mail.example.org" not in first["names"]


async def test_what_only_grows_older_is_not_sent() -> None:
    """Time alone changes nothing: in a minute there are signs of life with the server's time, and no part."""
    clock = ManualClock()
    async with served(clock) as site, watching(site) as stream:
        await stream.parts("changes")
        for _ in range(4):
            site.state = msgspec.structs.replace(site.state, at=site.state.at + 15)
            kind, data = await stream.next()
            assert kind == "beat"
            assert abs(float(data) - clock.time()) <= 15


async def test_many_changes_in_a_second_are_sent_as_one() -> None:
    """The newest one."""
    clock = ManualClock()
    async with served(clock) as site, watching(site) as stream:
        await stream.parts("zones")
        for serial in range(100, 150):
            site.state = msgspec.structs.replace(STATE, zones=(ZoneView("home.arpa.", serial, 4),))
            await settle(3)
        assert "149" in (await stream.parts("zones"))["zones"]
        assert (await stream.next())[0] == "beat"


async def test_all_watchers_get_the_same_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty pages cost one drawing of what changed."""
    drawn: list[str] = []
    draw = Page._draw

    def counted(name: str, look: Look) -> str:
        drawn.append(name)
        return draw(name, look)

    monkeypatch.setattr(Page, "_draw", staticmethod(counted))
    async with served(ManualClock()) as site, contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(watching(site)) for _ in range(50)]
        for stream in streams:
            await stream.parts("changes")
        drawn.clear()
        site.state = msgspec.structs.replace(STATE, zones=())
        told = [(await stream.parts("zones"))["zones"] for stream in streams]
        assert len(set(told)) == 1
        assert drawn == ["zones"]


async def test_each_range_gets_its_own_timeline(tmp_path: Path) -> None:
    """As the link that was followed says; what is no range gets the first."""
    async with served(state=tmp_path / "state") as site:
        for query, words in (("?range=90d", "90 days"), ("?range=7d", "7 days"), ("?range=%3Cx", "24 hours")):
            async with watching(site, f"/live{query}") as stream:
                assert f"The last {words}." in (await stream.parts("timeline"))["timeline"]
            assert f"The last {words}." in (await site.get(f"/{query}"))[1]


async def test_the_timeline_follows_the_history(tmp_path: Path) -> None:
    """A new change is in it within a second, without waiting for time to go on."""
    clock = ManualClock()
    async with served(clock, state=tmp_path / "state") as site, watching(site) as stream:
        site.state = msgspec.structs.replace(STATE, at=clock.time())
        await stream.parts("timeline")
        assert site.store is not None
        site.store.record_event(Event(clock.time(), "drift", "www", ""))
        change = ChangeView(clock.time(), "address", "WAN IPv4", "moved", True)
        site.state = msgspec.structs.replace(site.state, changes=(change,), at=clock.time())
        assert "timeline" in await stream.parts("timeline")


async def test_too_many_pages_are_told_to_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """503; a place that is given back is free."""
    monkeypatch.setattr(live, "MOST", 2)
    async with served() as site:
        async with watching(site), watching(site):
            status, _, headers = await site.get("/live")
            assert (status, headers["Retry-After"]) == (503, "30")
            assert (await site.get("/"))[0] == 200
        async with asyncio.timeout(5 * patience()):
            while True:
                with contextlib.suppress(AssertionError):
                    async with watching(site):
                        break
                await asyncio.sleep(0.01)


async def test_who_takes_nothing_is_dropped_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick reader gets all meanwhile; once the slow one has taken nothing for a while, its place is free."""
    monkeypatch.setattr(live, "PATIENCE", 0.3)
    monkeypatch.setattr(live, "EVERY", 0.01)
    monkeypatch.setattr(live, "MOST", 2)
    async with served() as site:
        await site.get("/")
        async with watching(site) as quick, watching(site) as slow:
            slow.pause()
            assert (await site.get("/live"))[0] == 503
            for number in range(10_000):
                site.state = msgspec.structs.replace(STATE, zones=(ZoneView(f"{'x' * 200_000}.z{number}", 1, 1),))
                while f"z{number}<" not in (await quick.parts("zones"))["zones"]:
                    pass
                with contextlib.suppress(AssertionError):
                    async with watching(site):
                        return
    pytest.fail("it keeps its place")


async def test_open_pages_do_not_hold_up_the_end() -> None:
    """Closing the server ends their streams at once."""
    async with contextlib.AsyncExitStack() as stack:
        async with served() as site:
            streams = [await stack.enter_async_context(watching(site)) for _ in range(20)]
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 1.0
        for stream in streams:
            assert await stream.ends()


async def test_the_rate_of_queries_is_that_of_the_last_minute() -> None:
    """To two digits, so that a page is not drawn for every query."""
    clock = ManualClock()
    async with served(clock, counted=True) as site:
        await settle()
        assert (await site.json("/api/v1/zones"))["queries_per_second"] is None
        for _ in range(20):
            site.queries += 617
            await clock.advance(5)
        found = await site.json("/api/v1/zones")
        assert (found["queries"], found["queries_per_second"]) == (20 * 617, 120.0)
        assert "120</span> DNS queries a second" in (await site.get("/"))[1]
