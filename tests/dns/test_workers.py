"""Worker processes through real sockets: changes reach them at once, and their end is nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import dns.rrset
import pytest

import homing
from homing.dns.authority import Authority
from homing.dns.engine import pool, process
from homing.dns.engine.limit import RateLimit
from homing.dns.engine.setup import Setup
from homing.dns.message import Rcode
from homing.dns.server import DnsServer
from homing.dns.stats import Event, Transport
from homing.dns.transfers.primary import Primary
from homing.dns.transfers.tsig import Keyring
from homing.effects.clock import SystemClock
from homing.model.name import parse_name
from homing.model.rrset import RRset
from homing.model.zone import Zone, amend, zone
from tests.dns.test_primary import BY_KEY, KEY, THEIRS
from tests.dns.test_server import full, until
from tests.dns.zones import ORIGIN, SOA, addresses
from tests.waiting import patience

SOURCE = str(Path(homing.__file__).parents[1])


@contextlib.asynccontextmanager
async def serving(authority: Authority, workers: int = 2, primary: Primary | None = None) -> AsyncIterator[DnsServer]:
    """A server with workers on a free port of loopback."""
    server = DnsServer(authority, workers=workers, primary=primary)
    await server.listen([("127.0.0.1", 0)])
    try:
        yield server
    finally:
        await server.aclose()


class Asker:
    """Sixteen sockets: whatever worker the kernel gives each to, together they reach all of them."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
        for sock in self.sockets:
            sock.connect(address)
            sock.setblocking(False)

    async def ask(self, fqdn: str, *, limit: float = 5.0) -> list[dns.message.Message]:
        """One answer by each socket; asks again after a second like any resolver."""
        return list(await asyncio.gather(*(self._one(sock, fqdn, limit) for sock in self.sockets)))

    async def _one(self, sock: socket.socket, fqdn: str, limit: float) -> dns.message.Message:
        loop = asyncio.get_running_loop()
        query = dns.message.make_query(fqdn, "A")
        async with asyncio.timeout(limit * patience()):
            while True:
                await loop.sock_sendall(sock, query.to_wire())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        while True:
                            reply = dns.message.from_wire(await loop.sock_recv(sock, 4096))
                            if reply.id == query.id:
                                return reply

    def close(self) -> None:
        """Close them."""
        for sock in self.sockets:
            sock.close()


def put(authority: Authority, *items: RRset) -> Zone:
    """Publish a next version of the sample zone with these RRsets."""
    new, diff = amend(authority.zones.loaded[ORIGIN], {item.key: item for item in items})
    authority.publish(new, diff)
    return new


def handed_over(server: DnsServer) -> int:
    """Octets that the main process has not given to its first worker yet."""
    assert isinstance(server._udp, pool.Pool)
    worker = server._udp._workers[0]
    assert worker is not None
    return worker._queued


def texts(replies: list[dns.message.Message]) -> set[str]:
    """All addresses in the answers, or the code where there is none."""
    return {reply.answer[0][0].to_text() if reply.answer else dns.rcode.to_text(reply.rcode()) for reply in replies}


async def test_a_change_reaches_every_worker() -> None:
    """What is published is what all workers say, as soon as the server calls itself synced; and denials end with it."""
    authority = full()
    async with serving(authority) as server:
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            assert texts(await asker.ask("new.example.net")) == {"NXDOMAIN"}
            for number in range(1, 30):
                put(authority, *addresses("new.example.net", f"192.0.2.{number}"))
                await server.synced()
                assert texts(await asker.ask("new.example.net")) == {f"192.0.2.{number}"}
            authority.withdraw(ORIGIN)
            await server.synced()
            assert texts(await asker.ask("new.example.net")) == {"REFUSED"}


async def test_a_worker_that_dies_is_replaced_and_loses_no_query() -> None:
    """Killed, it is started again with the zones of now; queries that came meanwhile wait in its socket."""
    authority = full()
    async with serving(authority) as server:
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            await asker.ask("www.example.net")
            before = server.workers
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            put(authority, *addresses("www.example.net", "192.0.2.77"))
            started = time.monotonic()
            assert texts(await asker.ask("www.example.net")) == {"192.0.2.77"}
            assert time.monotonic() - started < 5 * patience()
            await until(lambda: len(server.workers) == 2)
            assert not set(before) & set(server.workers)
            assert server.stats.events[Event.WORKER_REPLACED] == 2


async def test_a_worker_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, it says nothing; told a change that it does not act on, it is ended and another answers."""
    monkeypatch.setattr(process, "HANG", 0.5)
    authority = full()
    async with serving(authority, workers=1) as server:
        (pid,) = server.workers
        os.kill(pid, signal.SIGSTOP)
        put(authority, *addresses("www.example.net", "192.0.2.78"))
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            assert texts(await asker.ask("www.example.net")) == {"192.0.2.78"}
        assert server.workers != (pid,)


async def test_a_worker_that_slept_through_a_change_does_not_say_the_old() -> None:
    """Stopped before a change and woken after it, with queries waiting, it answers from the new zones alone."""
    authority = full()
    async with serving(authority, workers=1) as server:
        (pid,) = server.workers
        os.kill(pid, signal.SIGSTOP)
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            waiting = asyncio.create_task(asker.ask("www.example.net"))
            await asyncio.sleep(0)
            put(authority, *addresses("www.example.net", "192.0.2.79"))
            await until(lambda: not handed_over(server))  # the change is in its socket, like the queries
            os.kill(pid, signal.SIGCONT)
            assert texts(await waiting) == {"192.0.2.79"}
        assert server.workers == (pid,)


async def test_workers_end_with_the_main_process() -> None:
    """When the main process lets go of them, killed or closed, no worker stays."""
    authority = full()
    async with serving(authority) as server:
        pids = server.workers
        assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_what_workers_count_arrives() -> None:
    """Queries by type, code, zone and transport, and hits of the cache, are added up over all workers."""
    async with serving(full()) as server:
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            for _ in range(5):
                await asker.ask("www.example.net")
            await asker.ask("gone.example.net")
        await until(lambda: server.stats.queries.total() == 96)
        by_code = {(seen.type, seen.rcode, seen.zone, seen.transport): n for seen, n in server.stats.queries.items()}
    assert by_code == {
        ("A", Rcode.NOERROR, "example.net", Transport.UDP): 80,
        ("A", Rcode.NXDOMAIN, "example.net", Transport.UDP): 16,
    }


async def test_signed_queries_and_transfers_reach_the_primary() -> None:
    """IXFR over UDP and queries with TSIG go to the main process and come back from the address asked."""
    authority = full()
    primary = Primary(authority, SystemClock(), access=BY_KEY, keys=Keyring((KEY,)))
    async with serving(authority, primary=primary) as server:
        host, port = server.addresses[0]
        plain, transfer = dns.message.make_query("www.example.net", "A"), dns.message.make_query("example.net", "IXFR")
        transfer.authority.append(dns.rrset.from_text("example.net.", 0, "IN", "SOA", ". . 1 0 0 0 0"))
        for query in (plain, transfer):
            query.use_tsig(THEIRS)
            reply = await dns.asyncquery.udp(query, host, timeout=5 * patience(), port=port)
            assert reply.rcode() == dns.rcode.NOERROR
            assert reply.had_tsig
        unsigned = await dns.asyncquery.udp(
            dns.message.make_query("example.net", "IXFR"), host, timeout=5 * patience(), port=port
        )
        assert unsigned.rcode() == dns.rcode.REFUSED
        assert server.stats.events[Event.FORWARDED] <= 3
        await until(lambda: server.stats.events[Event.FORWARDED] == 3)


async def test_addresses_come_and_go_while_serving() -> None:
    """An address added later is answered by all workers, one left is free for others; the rest goes on."""
    authority = full()
    async with serving(authority) as server:
        first = server.addresses[0]
        await server.listen([("127.0.0.2", first[1])])
        await server.synced()
        assert server.addresses == (first, ("127.0.0.2", first[1]))
        other = Asker(("127.0.0.2", first[1]))
        assert texts(await other.ask("ns1.example.net")) == texts(await other.ask("ns1.example.net"))
        other.close()
        await server.leave([("127.0.0.2", first[1])])
        await server.synced()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.2", first[1]))
        with contextlib.closing(Asker(server.addresses[0])) as asker:
            await asker.ask("www.example.net")


async def test_a_rate_limit_holds_in_the_workers() -> None:
    """With a limit that spares nobody a flood from one client is cut, and counted."""
    setup = Setup(limit=RateLimit(rate=20, exempt=()))
    server = DnsServer(full(), workers=1, setup=setup)
    await server.listen([("127.0.0.1", 0)])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(server.addresses[0])
            wire = dns.message.make_query("www.example.net", "A").to_wire()
            for _ in range(400):
                sock.send(wire)
            await until(lambda: server.stats.queries.total() == 400)
        events = server.stats.events
        assert events[Event.RATE_LIMITED] + events[Event.SLIPPED] > 250
    finally:
        await server.aclose()


def test_workers_import_only_the_standard_library() -> None:
    """What a worker loads is Python's own, and the pure rooms of Homing."""
    script = "import sys, homing.dns.engine.worker; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], env={"PYTHONPATH": SOURCE}, check=True, capture_output=True, text=True
    )
    assert set(done.stdout.split()) - set(sys.stdlib_module_names) - {"homing", "__main__"} == set()
    assert "asyncio" not in done.stdout.split()


async def test_many_zones_that_come_and_go_at_once_hold_nobody_up() -> None:
    """Hundreds among thousands: the workers stay, and answer from all of them, and from none afterwards."""
    authority = full()
    authority.replace(zone(parse_name(f"z{number}.test"), 1, SOA, ()) for number in range(3000))
    async with serving(authority, workers=1) as server:
        more = [zone(parse_name(f"more{number}.test"), 1, SOA, ()) for number in range(300)]
        for zones, gone, rcode in (
            (more, (), dns.rcode.NOERROR),
            ((), [one.origin for one in more], dns.rcode.REFUSED),
        ):
            authority.replace(zones, gone)
            await server.synced()
            for origin in (more[0].origin, more[-1].origin):
                query = dns.message.make_query(origin.text, "SOA")
                host, port = server.addresses[0]
                assert (await dns.asyncquery.udp(query, host, port=port, timeout=5 * patience())).rcode() == rcode
        assert not server.stats.events[Event.WORKER_REPLACED]
