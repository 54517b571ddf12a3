"""Events: counted, bounded, and never in anybody's way."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator

import pytest
from aiohttp import web

from homing.effects.clock import ManualClock, settle
from homing.kube import recorder as recorder_module
from homing.kube.recorder import ObjectRef, Recorder
from tests.kube.fake_server import FakeServer, serving, status
from tests.waiting import patience

DOMAIN = ObjectRef(kind="Domain", api_version="homing.dev/v1alpha1", namespace="web", name="www", uid="u1")


@contextlib.asynccontextmanager
async def recording() -> AsyncGenerator[tuple[FakeServer, Recorder, ManualClock]]:
    """A recorder that posts to a fake server."""
    clock = ManualClock()
    async with serving(clock=clock, timeout=2.0) as (server, client):
        recorder = Recorder(client, clock, random.Random(1))
        task = asyncio.create_task(recorder.run())
        await settle()
        try:
            yield server, recorder, clock
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def posted(server: FakeServer, many: int, count: int = 1) -> list[dict[str, object]]:
    """The Events on the server, once there are so many, the last of them counted so often."""
    async with asyncio.timeout(5 * patience()):
        while True:
            found = [body for (plural, _, _), body in server.objects.items() if plural == "events"]
            if len(found) == many and found[-1]["count"] == count:
                return found
            await asyncio.sleep(0.005)


async def test_the_same_thing_said_again_is_a_count() -> None:
    """One Event with count and last time, whatever is said between; something else is another Event."""
    async with recording() as (server, recorder, clock):
        recorder.event(DOMAIN, "Normal", "Synced", "203.0.113.7 is published")
        (event,) = await posted(server, 1)
        assert event["involvedObject"] == {
            "kind": "Domain",
            "apiVersion": "homing.dev/v1alpha1",
            "namespace": "web",
            "name": "www",
            "uid": "u1",
        }
        assert (event["reportingComponent"], event["reason"]) == ("homing-operator", "Synced")
        for _ in range(4):
            await clock.advance(60)
            recorder.event(DOMAIN, "Normal", "Synced", "203.0.113.7 is published")
        (event,) = await posted(server, 1, 5)
        assert event["firstTimestamp"] != event["lastTimestamp"]
        recorder.event(DOMAIN, "Warning", "Failed", "badauth")
        await posted(server, 2)
        await clock.advance(600)
        recorder.event(DOMAIN, "Normal", "Synced", "203.0.113.7 is published")
        await posted(server, 3)


async def test_an_event_that_the_server_forgot_is_posted_anew() -> None:
    """The API server drops events after an hour, or a person deletes one."""
    async with recording() as (server, recorder, _):
        recorder.event(DOMAIN, "Normal", "Synced", "x")
        (event,) = await posted(server, 1)
        server.remove(str(event["metadata"]["name"]), plural="events")  # type: ignore[index]
        recorder.event(DOMAIN, "Normal", "Synced", "x")
        await posted(server, 1, 2)


async def test_one_object_cannot_flood() -> None:
    """25 events at once, then one in five minutes; other objects are not held back."""
    async with recording() as (server, recorder, clock):
        for number in range(40):
            recorder.event(DOMAIN, "Normal", "Synced", f"number {number}")
        await posted(server, 25)
        assert recorder.dropped == 15
        recorder.event(ObjectRef(kind="Domain", namespace="web", name="other"), "Normal", "Synced", "x")
        await posted(server, 26)
        await clock.advance(301)
        recorder.event(DOMAIN, "Normal", "Synced", "later")
        recorder.event(DOMAIN, "Normal", "Synced", "later still")
        await posted(server, 27)


async def test_a_server_that_cannot_be_asked_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue drops its oldest; what is left is posted when the server is back."""
    monkeypatch.setattr(recorder_module, "QUEUE", 10)
    async with recording() as (server, recorder, clock):
        server.refuse = lambda _request: status(503, "ServiceUnavailable", "no", {"Retry-After": "1"})
        for number in range(15):
            recorder.event(ObjectRef(kind="Domain", namespace="web", name=f"d{number}"), "Normal", "Synced", "x")
        assert recorder.dropped == 5
        async with asyncio.timeout(5 * patience()):
            while not server.requests:
                await asyncio.sleep(0.005)
        server.refuse = lambda _request: None
        for _ in range(20):
            await clock.advance(1)
            await asyncio.sleep(0.002)
        names = [event["involvedObject"]["name"] for event in await posted(server, 10)]  # type: ignore[index]
        assert names == [f"d{number}" for number in range(5, 15)]


async def test_an_event_that_is_refused_is_dropped() -> None:
    """A namespace that is being deleted takes no events; the next object's event is posted."""
    async with recording() as (server, recorder, _):

        def ending(request: web.Request) -> web.Response | None:
            return status(403, "Forbidden", "namespace is being terminated") if "/old/" in request.path else None

        server.refuse = ending
        recorder.event(ObjectRef(kind="Domain", namespace="old", name="a"), "Normal", "Synced", "x")
        recorder.event(DOMAIN, "Normal", "Synced", "x")
        await posted(server, 1)
        assert recorder.dropped == 1


async def test_an_answer_that_was_lost_makes_no_second_event() -> None:
    """Posting again what the server already has counts, and does not double."""
    async with recording() as (server, recorder, clock):
        answers = [1]

        async def swallow(request: web.Request) -> None:
            if answers and request.method == "POST":
                answers.clear()
                body = await request.json()
                server.put(body["metadata"]["name"], plural="events", count=1)
                assert request.transport is not None
                request.transport.close()

        server.before = swallow
        recorder.event(DOMAIN, "Normal", "Synced", "x")
        for _ in range(10):
            await clock.advance(1)
            await asyncio.sleep(0.005)
        assert len(await posted(server, 1)) == 1
        assert recorder.dropped == 0


async def test_a_long_message_is_cut() -> None:
    """The API takes 1024 characters."""
    async with recording() as (server, recorder, _):
        recorder.event(DOMAIN, "Normal", "Synced", "x" * 5000)
        (event,) = await posted(server, 1)
        assert len(str(event["message"])) == 1024
