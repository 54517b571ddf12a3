"""Worker processes in trouble: none starts, none ends, all at once; what was opened is closed again."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import dns.flags
import dns.message
import pytest

from homing.dns.engine import pool, process, worker
from homing.dns.engine.frames import Frames, Kind, frame, zones_data
from homing.dns.engine.limit import RateLimit
from homing.dns.engine.setup import Setup
from homing.dns.server import DnsServer
from homing.dns.stats import Event
from homing.errors import ListenError, WorkerError
from homing.model.name import parse_name
from homing.model.zone import amend, zone
from tests.dns.test_server import full, until
from tests.dns.test_workers import Asker, put, serving, texts
from tests.dns.zones import SOA, addresses
from tests.waiting import patience

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and has all of 127.0.0.0/8")

CLOSE = 2.0
"""Seconds that the end of a server may take."""


def descriptors() -> int:
    """How many files, sockets and pipes this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def children() -> set[int]:
    """The processes started by this one, those among them that ended and were not waited for too."""
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            found += task.joinpath("children").read_text().split()
    return set(map(int, found))


def is_alive(pid: int) -> bool:
    """Whether a process is there and not only waited for."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Holds that what is opened and started inside is closed and ended there."""
    gc.collect()  # what tests before left behind
    files, processes = descriptors(), children()
    yield
    assert children() <= processes
    assert descriptors() <= files


@contextlib.asynccontextmanager
async def closing_quickly(server: DnsServer) -> AsyncIterator[None]:
    """Ends the server in time."""
    try:
        yield
    finally:
        started = time.monotonic()
        await server.aclose()
        assert time.monotonic() - started < CLOSE * patience()


@pytest.mark.parametrize("program", ["/bin/false", "/nonexistent/python"])
async def test_workers_that_cannot_start_are_an_error(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose workers end at once, or cannot even be started, says so instead of waiting; its port is free."""
    monkeypatch.setattr(sys, "executable", program)
    server = DnsServer(full(), workers=2)
    async with closing_quickly(server):
        started = time.monotonic()
        with pytest.raises(WorkerError, match=r"cannot be started: (exit status 1|No such file).*limits on memory"):
            await server.listen([("127.0.0.1", 0)])
        assert time.monotonic() - started < 10 * patience()
        assert server.addresses == ()


@linux
async def test_a_start_that_fails_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket and no process of a start in vain stays; the same server starts once it can."""
    monkeypatch.setattr(pool, "ATTEMPTS", 2)
    server = DnsServer(full(), workers=2)
    async with serving(full()):  # what asyncio keeps open from the first process on
        pass
    with nothing_left():
        async with closing_quickly(server):
            with monkeypatch.context() as broken:
                broken.setattr(sys, "executable", "/bin/false")
                with pytest.raises(WorkerError):
                    await server.listen([("127.0.0.1", 0), ("127.0.0.2", 0)])
            await server.listen([("127.0.0.1", 0)])
            with contextlib.closing(Asker(server.addresses[0])) as asker:
                assert texts(await asker.ask("www.example.net"))


async def test_a_worker_is_tried_again_until_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """While no process is to be had a running server goes on trying, ever more rarely; then all is as before."""
    async with serving(full(), workers=1) as server:
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            await asker.ask("www.example.net")
            with monkeypatch.context() as broken:
                broken.setattr(sys, "executable", "/nonexistent/python")
                os.kill(server.workers[0], signal.SIGKILL)
                await until(lambda: server.stats.events[Event.WORKER_REPLACED] >= 3)
                assert server.workers == ()
                put(server._authority, *addresses("www.example.net", "192.0.2.99"))
                await server.synced()
            assert texts(await asker.ask("www.example.net", limit=15)) == {"192.0.2.99"}
        assert server.stats.events[Event.WORKER_REPLACED] <= 5


async def test_a_silent_worker_is_replaced_though_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stops is found without a change to tell it."""
    monkeypatch.setattr(process, "HANG", 0.5)
    async with serving(full(), workers=1) as server:
        await server.synced()
        (pid,) = server.workers
        os.kill(pid, signal.SIGSTOP)
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            assert texts(await asker.ask("ns1.example.net")) == {"192.0.2.53"}
        assert server.workers != (pid,)


async def test_a_closed_terminal_does_not_end_workers() -> None:
    """Signals meant for the main process that reach the whole group leave the workers be."""
    async with serving(full()) as server:
        pids = server.workers
        for pid in pids:
            os.kill(pid, signal.SIGHUP)
            os.kill(pid, signal.SIGINT)
        server._udp.report()  # type: ignore[union-attr]
        await server.synced()
        assert server.workers == pids


@linux
@pytest.mark.parametrize("trouble", ["none", "stopped", "killed", "stopped and found out"])
async def test_a_close_is_quick_and_leaves_nothing(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the workers do, the server ends in time, without processes, zombies or open sockets."""
    monkeypatch.setattr(process, "HANG", 0.3)
    async with serving(full()):
        pass
    with nothing_left():
        server = DnsServer(full(), workers=2)
        await server.listen([("127.0.0.1", 0)])
        async with closing_quickly(server):
            for pid in server.workers if trouble != "none" else ():
                os.kill(pid, signal.SIGKILL if trouble == "killed" else signal.SIGSTOP)
            if trouble == "stopped and found out":  # their end is under way
                await until(lambda: len(server.workers) < 2)
            elif trouble == "killed":
                await until(lambda: server.stats.events[Event.WORKER_REPLACED] >= 1)


@linux
async def test_a_close_ends_a_start_under_way() -> None:
    """A server that is closed while it starts, or whose start is cancelled, leaves nothing."""
    async with serving(full()):
        pass
    with nothing_left():
        for seconds in (0.0, 0.01, 0.05):
            server = DnsServer(full(), workers=2)
            starting = asyncio.create_task(server.listen([("127.0.0.1", 0)]))
            await asyncio.sleep(seconds)
            async with closing_quickly(server):
                if seconds:
                    await server.aclose()
                else:
                    starting.cancel()
                (told,) = await asyncio.gather(starting, return_exceptions=True)
                assert isinstance(told, WorkerError | asyncio.CancelledError)


ORPHANS = """
import asyncio, sys, time
from homing.dns.server import DnsServer
from tests.dns.test_server import full
async def main():
    server = DnsServer(full(), workers=2)
    await server.listen([("127.0.0.1", 0)])
    print(*server.workers, server.addresses[0][1], flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@linux
def test_workers_end_by_themselves_when_the_main_process_is_killed() -> None:
    """Killed without a word, the main process leaves no worker and no port in use."""
    with subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True) as main:
        assert main.stdout is not None
        *pids, port = map(int, main.stdout.readline().split())
        assert all(map(is_alive, pids))
        main.kill()
    deadline = time.monotonic() + 5 * patience()
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", port))


@linux
async def test_addresses_in_a_storm() -> None:
    """Listened on and left at once, again and again, a worker killed amid it: the rest is answered, nothing stays."""
    async with serving(full()):
        pass
    with nothing_left():
        server = DnsServer(full(), workers=2)
        await server.listen([("127.0.0.1", 0)])
        port = server.addresses[0][1]
        async with closing_quickly(server):
            for number in range(40):
                pairs = [(f"127.0.1.{number + step}", port) for step in (1, 2)]
                await server.listen(pairs)
                if number == 20:
                    os.kill(server.workers[0], signal.SIGKILL)
                await server.leave(pairs[:1])
                await server.leave(pairs[1:])
                await server.listen(pairs[:1])  # the port is free again
                await server.leave(pairs[:1])
            assert len(server.addresses) == 1
            with contextlib.closing(Asker(server.addresses[0])) as asker:
                assert texts(await asker.ask("ns1.example.net")) == {"192.0.2.53"}
            assert server.stats.events[Event.WORKER_REPLACED] == 1


async def test_a_second_server_on_the_port_of_workers_is_an_error() -> None:
    """Though workers share a port among themselves, no other server joins them, with workers or without."""
    async with serving(full()) as server:
        for workers in (0, 2):
            second = DnsServer(full(), workers=workers)
            with pytest.raises(ListenError, match="in use"):
                await second.listen([server.addresses[0]])
            await second.aclose()


@linux
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_port_that_another_program_would_share_is_an_error(workers: int) -> None:
    """A program that offers to share its UDP port would take half of the queries, and neither would notice."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        server = DnsServer(full(), workers=workers)
        with pytest.raises(ListenError, match=r"UDP.*in use"):
            await server.listen([other.getsockname()])
        await server.aclose()


async def test_five_thousand_rrsets_change_at_once() -> None:
    """All of them are there on every worker as soon as it is synced, and nobody waits for long meanwhile."""
    authority = full()
    async with serving(authority) as server:
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            many = [item for n in range(5000) for item in addresses(f"n{n}.example.net", f"10.1.{n >> 8}.{n & 255}")]
            for _ in range(3):
                put(authority, *many)
                await server.synced()
                assert texts(await asker.ask("n4999.example.net")) == {"10.1.19.135"}
                new = authority.zones.loaded[parse_name("example.net")]
                gone = {item.key: None for item in many}
                authority.publish(*amend(new, gone))
                started = time.monotonic()
                assert texts(await asker.ask("www.example.net"))
                assert time.monotonic() - started < 2 * patience()
                await server.synced()
                assert texts(await asker.ask("n4999.example.net")) == {"NXDOMAIN"}
        assert not server.stats.events[Event.WORKER_REPLACED]


async def test_zones_come_and_go_in_a_storm() -> None:
    """Hundreds of zones added and withdrawn one by one while clients ask: all are served, none is lost."""
    authority = full()
    async with serving(authority) as server:
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            origins = [parse_name(f"z{n}.test") for n in range(300)]
            for _ in range(2):
                for n, origin in enumerate(origins):
                    authority.publish(zone(origin, 1, SOA, addresses(f"www.z{n}.test", "192.0.2.200")))
                assert texts(await asker.ask("ns1.example.net", limit=10)) == {"192.0.2.53"}
                await server.synced()
                assert texts(await asker.ask("www.z299.test")) == {"192.0.2.200"}
                for origin in origins:
                    authority.withdraw(origin)
                await server.synced()
                assert texts(await asker.ask("www.z299.test")) == {"REFUSED"}
        assert not server.stats.events[Event.WORKER_REPLACED]


@linux
async def test_the_limit_counts_networks_not_ports_and_not_others() -> None:
    """Through sockets: a flood from many addresses of one network is cut, another network is answered in full."""
    server = DnsServer(full(), workers=2, setup=Setup(limit=RateLimit(rate=50, exempt=())))
    await server.listen([("127.0.0.1", 0)])
    wire = dns.message.make_query("www.example.net", "A", use_edns=0).to_wire()
    loop = asyncio.get_running_loop()
    got: Counter[str] = Counter()

    async def ask(host: str, times: int, pause: float) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind((host, 0))
            sock.connect(server.addresses[0])
            net = host.rpartition(".")[0]
            for _ in range(times):
                await loop.sock_sendall(sock, wire)
                await asyncio.sleep(pause)
                while True:
                    try:
                        reply = sock.recv(4096)
                    except BlockingIOError:
                        break
                    got[net + (" cut" if reply[2] & 0x02 else " whole")] += 1

    async with closing_quickly(server):
        flood = [ask(f"127.7.7.{n}", 100, 0.005) for n in range(1, 21)]
        await asyncio.gather(*flood, ask("127.8.8.1", 10, 0.05))
        await until(lambda: server.stats.queries.total() == 2010)
    assert got["127.7.7 whole"] < 1000
    assert got["127.7.7 cut"] > 300
    assert got["127.8.8 whole"] >= 9
    assert got["127.8.8 cut"] == 0
    events = server.stats.events
    assert events[Event.SLIPPED] == pytest.approx(events[Event.RATE_LIMITED], abs=4)


def test_a_worker_with_much_to_do_answers_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many changes that came at once a worker acts on some, says so, lets clients have their turn, and goes on."""
    monkeypatch.setattr(worker, "_SPELL", 0.0)
    ours, theirs = socket.socketpair()
    forward, other = socket.socketpair()
    with ours, theirs, forward, other:
        busy = worker.Worker(theirs, forward)
        told = [frame(Kind.ZONES, (Setup().data(), zones_data(full().zones))), *[frame(Kind.REPORT)] * 3]
        busy._act_on(b"".join(told))
        for number in range(1, 5):
            assert list(Frames().feed(ours.recv(4096))) == [(Kind.DONE, number)]
            assert busy._is_behind is True
            busy._act_on(b"")
        assert busy._is_behind is False
