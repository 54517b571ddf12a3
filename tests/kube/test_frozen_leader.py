"""A leader that is stopped for longer than its lease and wakes again, as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator, Callable

from tests.kube.fake_server import FakeServer, serving
from tests.waiting import patience


@contextlib.asynccontextmanager
async def writing(server: FakeServer, identity: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A process that writes while it leads."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.kube.writer", str(server.port), identity, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def writers(server: FakeServer) -> list[str]:
    """Who wrote, in the order of the server."""
    return [
        body["data"]["by"]
        for (method, path), body in zip(server.requests, server.bodies, strict=True)
        if method == "PATCH" and path.endswith("/written")
    ]


async def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a condition, with a limit."""
    async with asyncio.timeout(seconds * patience()):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_leader_that_was_frozen_writes_nothing_when_it_wakes() -> None:
    """Stopped inside a write, again and again: after another's first write there is none of its own."""
    async with serving() as (server, _), writing(server, "a") as a, writing(server, "b") as b:
        server.put("written")
        await eventually(lambda: len(writers(server)) > 20)
        processes = {"a": a, "b": b}
        for _ in range(3):
            leader = writers(server)[-1]
            other = "b" if leader == "a" else "a"
            asked = len(server.requests)
            await eventually(lambda: sum(m == "GET" for m, _ in server.requests[asked:]) > 3)  # noqa: B023 - the other follows
            processes[leader].send_signal(signal.SIGUSR1)
            await eventually(lambda: writers(server)[-1] == other)  # noqa: B023 - awaited within the turn
            turn = len(writers(server))
            processes[leader].send_signal(signal.SIGCONT)
            woken = len(server.requests)
            await eventually(lambda: sum(m == "GET" for m, _ in server.requests[woken:]) > 5)  # noqa: B023 - it stands again
            assert set(writers(server)[turn:]) == {other}


async def test_a_leader_that_is_killed_is_followed_within_its_lease() -> None:
    """kill -9: the next writes at most the lease's duration plus the time between two looks later."""
    async with serving() as (server, _), writing(server, "a") as a:
        server.put("written")
        await eventually(lambda: len(writers(server)) > 20)
        async with writing(server, "b"):
            await eventually(lambda: any(m == "GET" for m, _ in server.requests[-50:]) and len(writers(server)) > 100)
            loop = asyncio.get_running_loop()
            killed = loop.time()
            a.kill()
            await eventually(lambda: writers(server)[-1] == "b")
            assert loop.time() - killed < 2.5
