"""The list-watch: what it holds is what the server last told, through every way a stream can break."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from homing.effects.clock import Clock, ManualClock, SystemClock, settle
from homing.kube import watch as watch_module
from homing.kube.client import KubeClient
from homing.kube.objects import ConfigMap, Key
from homing.kube.resource import CONFIG_MAPS
from homing.kube.watch import Mirror
from tests.kube.fake_server import FakeServer, serving, status
from tests.waiting import patience

Change = tuple[str, str | None, str | None]


async def eventually(condition: Callable[[], Any], seconds: float = 8.0) -> None:
    """Wait for a condition, with a limit."""
    async with asyncio.timeout(seconds * patience()):
        while not condition():
            await asyncio.sleep(0.005)


def value(thing: ConfigMap | None) -> str | None:
    """What a test's object holds."""
    return None if thing is None else thing.data.get("x", "")


@contextlib.asynccontextmanager
async def mirroring(
    client: KubeClient, clock: Clock | None = None, namespaces: Sequence[str] = (), **options: Any
) -> AsyncGenerator[tuple[Mirror[ConfigMap], list[Change]]]:
    """A mirror that runs, and what it told."""
    told: list[Change] = []

    def note(key: Key, old: ConfigMap | None, new: ConfigMap | None) -> None:
        assert mirror.get(key) is new
        told.append((key[1], value(old), value(new)))

    mirror = Mirror(
        client,
        CONFIG_MAPS,
        clock=clock or SystemClock(),
        chance=random.Random(1),
        on_change=note,
        namespaces=namespaces,
        **options,
    )
    task = asyncio.create_task(mirror.run())
    try:
        yield mirror, told
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def world() -> AsyncGenerator[tuple[FakeServer, KubeClient]]:
    async with serving() as (server, client):
        yield server, client


World = tuple[FakeServer, KubeClient]


async def test_it_holds_what_the_server_tells(world: World) -> None:
    """The list first, then additions, changes and deletions as they happen."""
    server, client = world
    server.put("a", data={"x": "1"})
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        assert told == [("a", None, "1")]
        server.put("b", data={"x": "2"})
        server.put("a", data={"x": "3"})
        server.remove("b")
        await eventually(lambda: len(told) == 4)
        assert told[1:] == [("b", None, "2"), ("a", "1", "3"), ("b", "2", None)]
        assert len(mirror) == 1
        watched = [query for query in server.queries if "watch" in query]
        assert watched[0]["allowWatchBookmarks"] == "true"
        assert 240 <= int(watched[0]["timeoutSeconds"]) <= 360


@pytest.mark.parametrize("at", [0, 1, 40, -1])
async def test_a_stream_cut_at_any_byte_loses_nothing(world: World, at: int) -> None:
    """What was cut off is told again by the next stream, once, without a new list."""
    server, client = world
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        server.cut_after = at
        server.put("a", data={"x": "1"})
        await eventually(lambda: told)
        server.put("b", data={"x": "2"})
        await eventually(lambda: len(told) == 2)
        assert told == [("a", None, "1"), ("b", None, "2")]
        assert sum("limit" in query for query in server.queries) == 1


async def test_what_was_deleted_while_nobody_listened_is_told_after_the_next_list(world: World) -> None:
    """410 Gone as an answer: a new list, deletions told, what is unchanged not told again."""
    server, client = world
    for name in ("kept", "changed", "deleted"):
        server.put(name, data={"x": "1"})
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        told.clear()
        port, server_queries = server.port, len(server.queries)
        await server.stop()
        server.remove("deleted")
        server.put("changed", data={"x": "2"})
        server.put("new", data={"x": "1"})
        server.compact()
        await server.start()
        assert server.port == port
        await eventually(lambda: len(told) == 3)
        assert told == [("deleted", "1", None), ("changed", "1", "2"), ("new", None, "1")]
        assert sum("limit" in query for query in server.queries[server_queries:]) == 1
        assert len(mirror) == 3


@pytest.mark.parametrize("back", [0, 6])
async def test_a_list_that_holds_far_less_is_believed_the_second_time(
    world: World, back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then what is missing stays, and what changed counts; what is back by then never goes."""
    monkeypatch.setattr(watch_module, "SECOND_LOOK", 1.0)
    server, client = world
    for number in range(10):
        server.put(f"n{number}", data={"x": "1"})
    async with mirroring(client, guarded=True) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        told.clear()
        await server.stop()
        for number in range(6):
            server.remove(f"n{number}")
        server.put("n9", data={"x": "2"})
        server.compact()
        await server.start()
        await eventually(lambda: mirror.held_back)
        assert (mirror.held_back, len(mirror), told) == ({"": 6}, 10, [("n9", "1", "2")])
        for number in range(back):
            server.put(f"n{number}", data={"x": "1"})
        await eventually(lambda: not mirror.held_back)
        assert len(mirror) == 4 + back


async def test_gone_in_the_middle_of_a_stream_means_a_new_list(world: World) -> None:
    """An ERROR event of code 410 is answered by a list; nothing is told twice."""
    server, client = world
    server.put("a", data={"x": "1"})
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        server._version += 5
        server.compact()
        server.tell()
        await eventually(lambda: sum("limit" in query for query in server.queries) == 2)
        await eventually(lambda: server.watching)
        server._versions = iter(range(server._version + 1, 10**6))  # type: ignore[assignment]
        server.put("a", data={"x": "2"})
        await eventually(lambda: len(told) == 2)
        assert told == [("a", None, "1"), ("a", "1", "2")]


async def test_a_list_that_fails_between_its_pages_changes_nothing(world: World) -> None:
    """Law 1: what is held stays whole while only a part can be listed."""
    server, client = world
    for number in range(700):
        server.put(f"c{number}")
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        told.clear()
        failed: list[str] = []

        def second_page_fails(request: web.Request) -> web.Response | None:
            if "continue" in request.query:
                failed.append(request.path)
                return status(500, "InternalError", "etcdserver: leader changed")
            return None

        server.refuse = second_page_fails
        server.remove("c699")
        server._version += 5
        server.compact()
        server.cut()
        await eventually(lambda: failed)
        assert len(mirror) == 699 + (not told)
        server.refuse = lambda _request: None
        await eventually(lambda: told)
        assert told == [("c699", "", None)]


async def test_an_expired_page_token_begins_the_list_again(world: World) -> None:
    """410 while paging: the list is begun anew and comes to its end."""
    server, client = world
    for number in range(700):
        server.put(f"c{number}")
    answers = [None, status(410, "Expired", "the provided continue parameter is too old")]
    server.refuse = lambda _request: answers.pop(0) if answers else None
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        assert (len(mirror), len(told)) == (700, 700)


async def test_an_expired_token_is_no_end(world: World) -> None:
    """401 on the stream and on the list: tried again until the credentials are good; the content stays."""
    server, client = world
    server.put("a", data={"x": "1"})
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        refused: list[str] = []

        def unknown(request: web.Request) -> web.Response:
            refused.append(request.path)
            return status(401, "Unauthorized", "Unauthorized")

        server.refuse = unknown
        server.cut()
        await eventually(lambda: len(refused) >= 4)
        assert value(mirror.get(("web", "a"))) == "1"
        server.put("a", data={"x": "2"})
        server.refuse = lambda _request: None
        await eventually(lambda: told[-1] == ("a", "1", "2"))


async def test_a_silent_connection_is_given_up() -> None:
    """Half open: no byte, no bookmark for longer than a live server stays silent, and it is made anew."""
    clock = ManualClock()
    async with serving(clock=clock) as (server, client), mirroring(client, clock) as (mirror, told):
        await eventually(lambda: server.watching)
        server.silent = True
        server.put("a", data={"x": "1"})
        await clock.advance(200)
        assert len(server.watching) == 1
        assert sum("watch" in query for query in server.queries) == 1
        server.silent = False
        for _ in range(6):
            await clock.advance(60)
            await asyncio.sleep(0.01)
        for _ in range(200):
            if told:
                break
            await clock.advance(1)
            await asyncio.sleep(0.01)
        assert told == [("a", None, "1")]
        assert clock.monotonic() - mirror.seen_at < 300


async def test_seen_at_tells_how_stale_the_content_is() -> None:
    """The time of the server's last word does not move while it cannot be reached."""
    clock = ManualClock(1000.0)
    async with serving(clock=clock) as (server, client), mirroring(client, clock) as (mirror, _):
        await eventually(lambda: server.watching)
        assert mirror.seen_at == 1000.0
        await server.stop()
        await settle()
        for _ in range(10):
            await clock.advance(10)
            await asyncio.sleep(0.005)
        assert mirror.seen_at == 1000.0


async def test_several_namespaces_are_one_content(world: World) -> None:
    """One stream each; the list of one namespace does not touch the others; synced when all are."""
    server, client = world
    server.put("a", "one", data={"x": "1"})
    server.put("b", "two", data={"x": "1"})
    server.put("c", "three", data={"x": "1"})
    async with mirroring(client, namespaces=("one", "two")) as (mirror, told):
        await mirror.synced.wait()
        assert sorted(told) == [("a", None, "1"), ("b", None, "1")]
        await eventually(lambda: len(server.watching) == 2)
        server.remove("a", "one")
        await eventually(lambda: len(told) == 3)
        assert [key for key, _ in mirror.items()] == [("two", "b")]


async def test_an_object_made_anew_under_its_name_is_another(world: World) -> None:
    """Deleted and created while nobody listened: told as a deletion and an addition."""
    server, client = world
    server.put("a", data={"x": "1"})
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        await server.stop()
        server.remove("a")
        server.put("a", data={"x": "2"})
        server.compact()
        await server.start()
        await eventually(lambda: len(told) == 3)
        assert told[1:] == [("a", "1", None), ("a", None, "2")]


async def test_an_object_that_does_not_fit_its_type_changes_nothing(world: World) -> None:
    """What was known of it is kept, the others go on, and it is named until it fits again."""
    server, client = world
    server.put("a", data={"x": "1"})
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        server.put("a", data={"x": 7})
        server.put("b", data={"x": "1"})
        await eventually(lambda: len(told) == 2)
        assert value(mirror.get(("web", "a"))) == "1"
        assert list(mirror.unreadable) == [("web", "a")]
        server.put("a", data={"x": "2"})
        await eventually(lambda: not mirror.unreadable)
        assert told[-1] == ("a", "1", "2")


async def test_too_long_a_line_does_not_fill_the_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond the limit breaks the stream off; the content stays."""
    server, client = world
    monkeypatch.setattr(watch_module, "MAX_LINE", 100_000)
    server.put("a", data={"x": "1"})
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        before = len(server.queries)
        server.put("b", data={"x": "y" * 2_000_000})
        await eventually(lambda: len(server.queries) > before)
        assert told == [("a", None, "1")]


async def test_a_server_that_cuts_at_once_is_not_hammered() -> None:
    """Streams that end without telling anything are tried at growing intervals."""
    clock = ManualClock()
    async with serving(clock=clock) as (server, client):

        async def drop(request: web.Request) -> None:
            if "watch" in request.query and request.transport is not None:
                request.transport.close()

        server.before = drop
        async with mirroring(client, clock) as (mirror, _):
            await mirror.synced.wait()
            for _ in range(600):
                await clock.advance(0.1)
                await asyncio.sleep(0.001)
            tried = sum("watch" in query for query in server.queries)
            assert 4 <= tried <= 20


async def test_a_server_behind_what_was_seen_is_listed_anew(world: World) -> None:
    """A restored etcd does not know our version (504): its list counts."""
    server, client = world
    server.put("a", data={"x": "1"})
    async with mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        await eventually(lambda: server.watching)
        answers = [status(504, "Timeout", "Too large resource version: 99, current: 3")]
        server.refuse = lambda request: answers.pop() if answers and "watch" in request.query else None
        server.cut()
        await eventually(lambda: sum("limit" in query for query in server.queries) == 2)
        assert told == [("a", None, "1")]


async def test_a_fault_of_the_listener_is_not_swallowed(world: World) -> None:
    """An error in ``on_change`` ends the mirror instead of being taken for the server's."""
    server, client = world
    server.put("a")

    def broken(_key: Key, _old: ConfigMap | None, _new: ConfigMap | None) -> None:
        raise LookupError("a bug")

    mirror = Mirror(client, CONFIG_MAPS, clock=SystemClock(), chance=random.Random(1), on_change=broken)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(mirror.run(), 5)
    assert caught.group_contains(LookupError)


HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "remove", "cut", "compact", "tear", "restart"]), st.integers(0, 4)),
    min_size=5,
    max_size=30,
)


@settings(max_examples=15, deadline=None)
@given(HAPPENINGS)
async def test_whatever_happens_the_content_comes_to_be_that_of_the_server(happenings: list[tuple[str, int]]) -> None:
    """Streams cut and torn, history forgotten, server restarted: the same objects in the end, each change once."""
    async with serving() as (server, client), mirroring(client) as (mirror, told):
        await mirror.synced.wait()
        for what, number in happenings:
            name = f"c{number}"
            if what == "put":
                server.put(name, data={"x": str(len(told))})
            elif what == "remove" and ("configmaps", "web", name) in server.objects:
                server.remove(name)
            elif what == "cut":
                server.cut()
            elif what == "compact":
                server.compact()
            elif what == "tear":
                server.cut_after = number * 30
            elif what == "restart":
                await server.stop()
                await server.start()
            await asyncio.sleep(0.001 * number)
        server.cut_after = None
        server.put("last", data={"x": "end"})
        await eventually(lambda: value(mirror.get(("web", "last"))) == "end", 20.0)
        theirs = {name: body["data"]["x"] for (_, _, name), body in server.objects.items()}
        assert {key[1]: value(each) for key, each in mirror.items()} == theirs
        replayed: dict[str, str | None] = {}
        for name, old, new in told:
            assert replayed.get(name) == old
            replayed[name] = new
        assert {name: held for name, held in replayed.items() if held is not None} == theirs
