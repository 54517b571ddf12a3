"""Server lists: hostile content is bounded, a copy on disk helps through bad days."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.detect.builtin import STUN_TCP, STUN_UDP
from homing.detect.server_lists import MAX_BYTES, MAX_SERVERS, REFRESH, ListSource, ServerLists, parse_list
from homing.detect.stun import Transport
from homing.effects.clock import ManualClock
from homing.effects.http import HttpClient
from homing.errors import ObservationError
from tests.detect.servers import tcp_server


def parsed(text: str) -> list[tuple[str, int]]:
    """Hosts and ports in a list."""
    return [(server.host, server.port) for server in parse_list(text.encode(), Transport.UDP)]


def test_lines_comments_and_addresses() -> None:
    """One server a line, comments and blank lines skipped, each server once."""
    text = """
        # a comment
        stun.example.org:3478      ; the first
        stun.example.org:3478
        STUN.example.net           // no port
        stun:stun.example.com:19302
        9.9.9.9:53
        [2620:fe::fe]:3479
        2620:fe::9
    """
    assert parsed(text) == [
        ("stun.example.org", 3478),
        ("stun.example.net", 3478),
        ("stun.example.com", 19302),
        ("9.9.9.9", 53),
        ("2620:fe::fe", 3479),
        ("2620:fe::9", 3478),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "192.168.1.1:3478",
        "127.0.0.1:53",
        "[::1]:3478",
        "localhost:3478",
        "-bad.example:3478",
        "exa mple.org:1",
        "stun.example.org:0",
        "stun.example.org:65536",
        "stun.example.org:٣",
        "<html>",
        "http://example.org/",
        "a" * 64 + ".org:1",
    ],
)
def test_what_is_no_public_server_is_skipped(line: str) -> None:
    """Local addresses, broken names and ports, and markup name no server."""
    assert parsed(f"{line}\nstun.example.org:3478") == [("stun.example.org", 3478)]


def test_a_list_is_bounded() -> None:
    """Too long a list is refused, too many servers are cut, an empty list is an error."""
    many = "\n".join(f"s{number}.example.org:1" for number in range(MAX_SERVERS + 5))
    assert len(parsed(many)) == MAX_SERVERS
    for bad in (b"x" * (MAX_BYTES + 1), b"", b"\xff\xfe\0\0"):
        with pytest.raises(ObservationError):
            parse_list(bad, Transport.UDP)


@given(st.binary(max_size=200))
def test_arbitrary_lists_raise_only_the_house_s_error(data: bytes) -> None:
    """Noise is a list of servers or refused."""
    with contextlib.suppress(ObservationError):
        assert parse_list(data, Transport.TCP)


class Web:
    """A web server whose list and status may change."""

    def __init__(self) -> None:
        self.body, self.status, self.asked = b"one.example.org:3478\ntwo.example.org:3478\n", "200 OK", 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        head = f"HTTP/1.1 {self.status}\r\nConnection: close\r\nContent-Length: {len(self.body)}\r\n\r\n"
        writer.write(head.encode() + self.body)
        await writer.drain()


async def test_a_list_is_fetched_daily_and_survives_its_server(tmp_path: Path) -> None:
    """The list of a URL is used, fetched again after a day, and its copy helps when the server is down."""
    clock, web = ManualClock(), Web()
    async with tcp_server(web) as (_, port), HttpClient() as http:
        source = ListSource(f"http://127.0.0.1:{port}/list", Transport.UDP)

        def lists() -> ServerLists:
            return ServerLists([source], http=http, clock=clock, chance=random.Random(1), cache=tmp_path / "cache")

        first = lists()
        assert {server.host for server in first.servers()} <= {server.host for server in STUN_UDP}
        await first.refresh()
        await first.refresh()
        assert web.asked == 1
        assert {server.host for server in first.servers()} == {"one.example.org", "two.example.org"}

        web.status = "500 Oops"
        second = lists()
        assert {server.host for server in second.servers()} == {"one.example.org", "two.example.org"}
        await second.refresh()
        assert web.asked == 1
        await clock.advance(REFRESH + 1)
        await second.refresh()
        assert web.asked == 2
        assert {server.host for server in second.servers()} == {"one.example.org", "two.example.org"}
        assert "status 500" in second.problems[source.location]

        web.status, web.body = "200 OK", b"three.example.org:1"
        await clock.advance(REFRESH + 1)
        await second.refresh()
        assert [server.host for server in second.servers()] == ["three.example.org"]
        assert second.problems == {}
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".txt"]


async def test_hostile_lists_leave_the_built_in_one(tmp_path: Path) -> None:
    """A list of HTML or of a megabyte is not used, and a directory that cannot be written costs only the copy."""
    web = Web()
    blocked = tmp_path / "file"
    blocked.write_text("")
    async with tcp_server(web) as (_, port), HttpClient() as http:
        source = ListSource(f"http://127.0.0.1:{port}/list", Transport.TCP)
        for body in (b"<html>no</html>", b"x" * 2**20):
            web.body = body
            lists = ServerLists([source], http=http, clock=ManualClock(), chance=random.Random(1), cache=blocked)
            await lists.refresh()
            assert set(lists.servers()) <= set(STUN_TCP)
            assert lists.problems
        web.body = b"one.example.org:1"
        lists = ServerLists([source], http=http, clock=ManualClock(), chance=random.Random(1), cache=blocked)
        await lists.refresh()
        assert [server.host for server in lists.servers()] == ["one.example.org"]


async def test_a_file_is_read_and_limits_hold(tmp_path: Path) -> None:
    """A file's servers are chosen by chance up to the limit; a missing file is a problem, not an exception."""
    path = tmp_path / "stun.txt"
    path.write_text("\n".join(f"s{number}.example.org:1" for number in range(20)))
    async with HttpClient() as http:
        sources = [ListSource(str(path), Transport.UDP), ListSource(str(tmp_path / "none"), Transport.TCP)]
        lists = ServerLists(sources, http=http, clock=ManualClock(), chance=random.Random(1), limits=(3, 2))
        chosen = [lists.servers() for _ in range(10)]
    assert all(len([one for one in some if one.transport is Transport.UDP]) == 3 for some in chosen)
    assert all(set(some[3:]) <= set(STUN_TCP) and len(some) == 5 for some in chosen)
    assert len(set(chosen)) > 1
    assert list(lists.problems) == [str(tmp_path / "none")]
