"""Probes against real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from homing.checks import Check, Http, NetworkProbe, Result, Target, Tcp
from homing.checks.check import Probe
from homing.standins.tls import Authority
from tests.ports import free_port
from tests.waiting import patience

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def listening(serve: Serve, *, tls: ssl.SSLContext | None = None, host: str = LOOPBACK) -> AsyncIterator[int]:
    """A server that treats its connections so; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(guarded, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(answer: bytes, asked: list[bytes] | None = None) -> Serve:
    """Answers a request so, and keeps the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(request)
        writer.write(answer)
        await reader.read()

    return serve


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accepts, and never answers."""
    while await reader.read(1000):
        pass


async def drips(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An octet every now and then."""
    for octet in b"HTTP/1.1 200 OK" + b" " * 1000:
        writer.write(bytes((octet,)))
        await asyncio.sleep(0.1)


async def floods(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One endless line."""
    while True:
        writer.write(b"a" * 65536)
        await writer.drain()


async def closes(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Hangs up."""


async def result(
    probe: Probe, *, timeout: float = 2.0, address: str = LOOPBACK, trust: ssl.SSLContext | None = None
) -> Result:
    """How one probe ends."""
    outcome = await NetworkProbe(trust)(Target(ip_address(address), Check(probe, timeout=timeout)))
    return outcome.result


@pytest.mark.parametrize("address", [LOOPBACK, "::1"])
async def test_tcp_is_a_connection(address: str) -> None:
    """Whoever accepts is fine, of either family; nothing has to be said."""
    async with listening(silent, host=address) as port:
        assert await result(Tcp(port), address=address) is Result.SUCCESS


async def test_a_tcp_probe_ends_with_a_reset() -> None:
    """Nothing of it stays in the tables of the machines between."""
    ends: asyncio.Queue[bool] = asyncio.Queue()

    async def reads(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionResetError:
            ends.put_nowait(True)
        else:
            ends.put_nowait(False)

    async with listening(reads) as port:
        assert await result(Tcp(port)) is Result.SUCCESS
        assert await asyncio.wait_for(ends.get(), 5)


async def test_a_closed_port_refuses() -> None:
    """At once."""
    port = free_port()
    assert await result(Tcp(port)) is Result.REFUSED
    assert await result(Http(port)) is Result.REFUSED


async def test_a_full_backlog_is_a_timeout() -> None:
    """Like a router that drops: no answer to SYN, and the timeout bounds the probe."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex((LOOPBACK, port))
        started = time.monotonic()
        assert await result(Tcp(port), timeout=0.3) is Result.TIMEOUT
        assert time.monotonic() - started < 1.5 * patience()
        for sock in waiting:
            sock.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Result.SUCCESS),
        (b"HTTP/1.0 204\r\n\r\n", Result.SUCCESS),
        (b"HTTP/1.1 301 Moved Permanently\r\nLocation: http://127.0.0.1:1/\r\n\r\n", Result.SUCCESS),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Result.SUCCESS),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Result.STATUS),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", Result.STATUS),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100, Result.GARBLED),
        (b"HTTP/1.1 2000 OK\r\n", Result.GARBLED),
        (b"HTTP/1.1 +20 OK\r\n", Result.GARBLED),
        (b"HTTP/2 200\r\n", Result.GARBLED),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Result.GARBLED),
        (b"\r\n", Result.GARBLED),
    ],
)
async def test_http_goes_by_the_status_line(answer: bytes, expected: Result) -> None:
    """A redirect is an answer and is not followed; interim responses are skipped."""
    async with listening(says(answer)) as port:
        assert await result(Http(port)) is expected


async def test_expected_statuses_are_those_that_count() -> None:
    """401 may be what a healthy server says; 200 then is not expected."""
    async with listening(says(b"HTTP/1.1 401 Unauthorized\r\n\r\n")) as port:
        assert await result(Http(port, expected=(401, 403))) is Result.SUCCESS
        assert await result(Http(port, expected=(200,))) is Result.STATUS


async def test_the_request_names_path_and_host() -> None:
    """The given host, else the address; never more than one request."""
    asked: list[bytes] = []
    async with listening(says(b"HTTP/1.1 200 OK\r\n\r\n", asked)) as port:
        await result(Http(port, path="/healthz", host="www.example.org"))
        await result(Http(port))
    first, second = (request.decode().split("\r\n") for request in asked)
    assert first[:2] == ["GET /healthz HTTP/1.1", f"Host: www.example.org:{port}"]
    assert second[:2] == ["GET / HTTP/1.1", f"Host: {LOOPBACK}:{port}"]


@pytest.mark.parametrize("serve", [silent, drips])
async def test_who_answers_too_slowly_is_a_timeout(serve: Serve) -> None:
    """The timeout bounds the whole probe, not each octet."""
    started = time.monotonic()
    async with listening(serve) as port:
        assert await result(Http(port), timeout=0.4) is Result.TIMEOUT
    assert time.monotonic() - started < 1.5 * patience()


async def test_an_endless_line_and_a_hang_up_are_failures() -> None:
    """Nothing is read without a limit."""
    async with listening(floods) as port:
        assert await result(Http(port)) is Result.GARBLED
    async with listening(closes) as port:
        assert await result(Http(port)) is Result.REFUSED


async def test_a_certificate_must_be_for_the_given_host(tmp_path: Path) -> None:
    """Without a host any certificate will do, since an address is checked; with one it must be valid for it."""
    authority = Authority(tmp_path)
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    answer = says(b"HTTP/1.1 200 OK\r\n\r\n")
    async with listening(answer, tls=authority.issue(["www.example.org"]).context()) as port:
        assert await result(Http(port, host="www.example.org", tls=True), trust=trust) is Result.SUCCESS
        assert await result(Http(port, host="mail.example.org", tls=True), trust=trust) is Result.TLS
        assert await result(Http(port, host="www.example.org", tls=True)) is Result.TLS
        assert await result(Http(port, tls=True)) is Result.SUCCESS
    async with listening(answer, tls=authority.issue(["www.example.org"], expired=True).context()) as port:
        assert await result(Http(port, host="www.example.org", tls=True), trust=trust) is Result.TLS
        assert await result(Http(port, tls=True)) is Result.SUCCESS


@pytest.mark.parametrize("serve", [says(b"HTTP/1.1 200 OK\r\n\r\n"), closes])
async def test_https_to_a_port_without_tls_fails(serve: Serve) -> None:
    """And HTTP to one with TLS does."""
    async with listening(serve) as port:
        assert await result(Http(port, tls=True), timeout=0.5) is not Result.SUCCESS


async def test_a_handshake_that_never_ends_is_a_timeout() -> None:
    """The timeout covers TLS, too."""
    async with listening(silent) as port:
        assert await result(Http(port, tls=True), timeout=0.3) is Result.TIMEOUT


async def test_a_probe_that_cannot_be_sent_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of file descriptors: our fault, not the target's."""

    def no_more(*_: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    probe, target = NetworkProbe(), Target(ip_address(LOOPBACK), Check(Tcp(9)))
    with monkeypatch.context() as patch:
        patch.setattr("homing.checks.tcp.socket.socket", no_more)
        outcome = await probe(target)
    assert (outcome.result, outcome.why) == (Result.IMPOSSIBLE, "EMFILE")
