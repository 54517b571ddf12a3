"""HTTP services through real sockets: one address in a small body counts, everything else is a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.detect.ask import NetworkAsk
from homing.detect.http_service import MAX_BODY, parse_body
from homing.detect.observers import HttpService
from homing.effects.clock import SystemClock
from homing.effects.http import HttpClient
from homing.errors import ObservationError
from homing.model.address import Family, parse_address
from homing.model.observation import Observation
from tests.detect.servers import SEEN, WAN, Talk, tcp_server


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


async def observe(talk: Talk | bytes, *, family: Family = Family.V4, timeout: float = 3.0) -> Observation:
    """What is observed at a service that talks so, or gives this response to everyone."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if isinstance(talk, bytes):
            writer.write(talk)
            await writer.drain()
        else:
            await talk(reader, writer)

    host = "127.0.0.1" if family is Family.V4 else "::1"
    async with tcp_server(respond, host) as (_, port), HttpClient() as client:
        shown = f"[{host}]" if family is Family.V6 else host
        service = HttpService(f"http://{shown}:{port}/ip")
        return await NetworkAsk(client, SystemClock(), accept=SEEN)(service, family, timeout)


@pytest.mark.parametrize("body", [b"203.0.113.7", b" 203.0.113.7\r\n", b'{"ip": "203.0.113.7"}'])
async def test_text_and_json_are_understood(body: bytes) -> None:
    """The address in the body is the observation, over the family that was asked for."""
    seen = await observe(answer(body))
    assert (seen.address, seen.failure, seen.counts) == (WAN, "", True)
    assert (await observe(answer(b"2001:db8::7"), family=Family.V6)).address == parse_address("2001:db8::7")


async def test_redirects_are_followed_up_to_a_limit() -> None:
    """Three redirects are followed; a loop ends with a sentence."""

    def hops(count: int) -> Talk:
        numbers = itertools.count()

        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            more = next(numbers) < count
            writer.write(answer(b"", "302 Found", "Location: /ip\r\n") if more else answer(b"203.0.113.7"))
            await writer.drain()

        return talk

    assert (await observe(hops(2))).address == WAN
    assert "redirects" in (await observe(hops(1000))).failure


FAULTS = {
    "500": (answer(b"203.0.113.7", "500 Oops"), "status 500"),
    "404": (answer(b"203.0.113.7", "404 No"), "status 404"),
    "HTML": (answer(b"<html>Your address is 203.0.113.7</html>"), "HTML"),
    "empty": (answer(b""), "with nothing"),
    "private": (answer(b"192.168.1.10"), "a private address, not reachable from the internet"),
    "CGNAT": (answer(b"100.64.1.2"), "carrier-grade NAT"),
    "wrong family": (answer(b"2001:db8::7"), "not an IPv4 address"),
    "two addresses": (answer(b'{"origin": "203.0.113.7, 203.0.113.8"}'), "not an address"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
    "reset": (b"", "closed the connection"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_answer_does_not_count(fault: str) -> None:
    """The observation does not count and says why."""
    response, sentence = FAULTS[fault]
    seen = await observe(response)
    assert not seen.counts
    assert sentence in seen.failure


async def test_a_huge_body_is_not_read() -> None:
    """A body of 1 GB is given up after its first few KiB."""
    sent = 0

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while sent < 2**30:
            writer.write(b"1" * 65536)
            sent += 65536
            await writer.drain()

    assert f"more than {MAX_BODY} bytes" in (await observe(talk)).failure
    assert sent < 16 * 2**20


async def test_a_slow_drip_is_cut_by_the_deadline() -> None:
    """A service that sends a byte now and then fails when its time is over."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.05)

    seen = await observe(talk, timeout=0.5)
    assert not seen.counts
    assert "0.5 s" in seen.failure
    assert seen.elapsed < 2


async def test_a_passing_failure_is_tried_again_once() -> None:
    """A 503 is asked again; two of them are enough."""
    numbers = itertools.count()

    async def recovers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", "503 Busy") if next(numbers) == 0 else answer(b"203.0.113.7"))
        await writer.drain()

    assert (await observe(recovers)).address == WAN
    asked = itertools.count()

    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        next(asked)
        writer.write(answer(b"", "503 Busy"))
        await writer.drain()

    assert "503" in (await observe(never)).failure
    assert next(asked) == 2


@pytest.mark.parametrize(
    "body",
    [
        '{"address": "203.0.113.7"}',
        '{"origin": "203.0.113.7"}',
        '{"query": "203.0.113.7", "country": "X"}',
        '{"ip_addr": "203.0.113.7"}',
        '"203.0.113.7"',
        '{"yourip": "203.0.113.7", "host": "example"}',
        '{"ip": "::ffff:203.0.113.7"}',
    ],
)
def test_json_shapes(body: str) -> None:
    """The address is found under the usual keys, or as the only value that is one."""
    assert parse_body(body.encode()) == WAN


@pytest.mark.parametrize(
    "body",
    ['{"ip": "203.0.113.7", "address": "203.0.113.8"}', '{"ip": 7}', "[]", "[" * 4000, '{"a"', "{}", "1", "\xff"],
)
def test_other_shapes_are_refused(body: str) -> None:
    """Contradictions, numbers, lists and broken JSON hold no address."""
    with pytest.raises(ObservationError):
        parse_body(body.encode("latin-1"))


@given(st.binary(max_size=300))
def test_arbitrary_bodies_raise_only_the_house_s_error(body: bytes) -> None:
    """Whatever a service sends is an address or refused."""
    with contextlib.suppress(ObservationError):
        assert parse_body(body).version in (4, 6)
