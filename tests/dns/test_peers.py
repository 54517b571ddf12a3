"""Real DNS clients against the server."""

from __future__ import annotations

import asyncio
import re
import shutil

import pytest

from homing.dns.engine.setup import Setup
from tests.dns.test_server import full, running
from tests.waiting import patience

pytestmark = pytest.mark.peers

SETUP = Setup(bytes(range(16)), b"ns-a", "homing", "ns-a.example.net")


async def client(program: str, address: tuple[str, int], *arguments: str) -> str:
    """What a client prints; it gets 10 s."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        f"@{address[0]}",
        "-p",
        str(address[1]),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(10 * patience()):
        printed, _ = await process.communicate()
    return printed.decode()


@pytest.mark.parametrize("program", ["dig", "kdig"])
async def test_addresses_are_printed(program: str) -> None:
    """The shortest use of a client prints the addresses."""
    async with running(full()) as (_, address, _, _):
        printed = await client(program, address, "+short", "alias.example.net", "A")
    assert set(printed.split()) == {"WWW.Example.net.", "192.0.2.1", "192.0.2.2"}


@pytest.mark.parametrize("program", ["dig", "kdig"])
async def test_a_large_answer_is_asked_again_by_tcp(program: str) -> None:
    """The client sees TC, comes back by TCP and has all 99 addresses, without a complaint."""
    async with running(full()) as (_, address, _, _):
        printed = await client(program, address, "+norec", "many.example.net", "A")
    assert printed.count("IN\tA\t192.0.2.") == 99
    assert "TCP" in printed
    assert "malformed" not in printed.lower()


async def test_a_transfer_is_refused() -> None:
    """kdig asking for a transfer is told REFUSED."""
    async with running(full()) as (_, address, _, _):
        printed = await client("kdig", address, "+tcp", "example.net", "AXFR")
    assert "REFUSED" in printed


async def test_kdig_reuses_a_connection() -> None:
    """Several queries of kdig on one connection are answered."""
    async with running(full()) as (_, address, seen, _):
        printed = await client(
            "kdig", address, "+tcp", "+keepopen", "+short", "www.example.net", "AAAA", "mail.example.net", "MX"
        )
    assert printed.split() == ["2001:db8::1", "10", "www.example.net."]
    assert seen.total() == 2


COOKIE_LINES = {"dig": r"; COOKIE: ([0-9a-f]{48}) \(good\)", "kdig": r";; COOKIE: ([0-9A-F]{48})"}


def told_cookie(program: str, printed: str) -> str:
    """The client and server cookie that a client prints, as hexadecimal digits."""
    found = re.search(COOKIE_LINES[program], printed)
    assert found is not None, printed
    return found[1].lower()


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
@pytest.mark.parametrize("program", ["dig", "kdig"])
async def test_clients_take_the_cookie_and_bring_it_back(program: str, transport: str) -> None:
    """BIND's and Knot's client find their own part in the response; the same comes back while it is good."""
    async with running(full(), setup=SETUP) as (_, address, _, _):
        learn = await client(program, address, "+norec", transport, "+cookie", "www.example.net", "A")
        cookie = told_cookie(program, learn)
        again = await client(program, address, "+norec", transport, f"+cookie={cookie}", "www.example.net", "A")
        wrong = cookie[:16] + "01" + cookie[18:32] + "0123456789abcdef"
        renewed = await client(program, address, "+norec", transport, f"+cookie={wrong}", "www.example.net", "A")
    assert told_cookie(program, again) == cookie
    assert told_cookie(program, renewed)[:32] == cookie[:32]
    for printed in (learn, again, renewed):
        assert "NOERROR" in printed
        assert "192.0.2.1" in printed


async def test_a_client_finds_out_whether_its_cookie_is_good() -> None:
    """Without a question: NOERROR for a good one; BADCOOKIE for another, and dig comes back with the one it got."""
    async with running(full(), setup=SETUP) as (_, address, seen, _):
        learn = await client("dig", address, "+norec", "+header-only", "+cookie")
        cookie = told_cookie("dig", learn)
        good = await client("dig", address, "+norec", "+header-only", "+nobadcookie", f"+cookie={cookie}")
        wrong = cookie[:32] + "0123456789abcdef"
        bad = await client("dig", address, "+norec", "+header-only", "+nobadcookie", f"+cookie={wrong}")
        retried = await client("dig", address, "+norec", "+header-only", f"+cookie={wrong}")
    assert "status: NOERROR" in learn
    assert "status: NOERROR" in good
    assert "status: BADCOOKIE" in bad
    assert "status: NOERROR" in retried
    assert seen.total() == 5


async def test_the_clients_print_what_the_server_tells_about_itself() -> None:
    """NSID, the reason of a REFUSED, version and identity are as the clients expect them."""
    async with running(full(), setup=SETUP) as (_, address, _, _):
        for program in ("dig", "kdig"):
            printed = await client(program, address, "+norec", "+nsid", "example.net", "SOA")
            assert '"ns-a"' in printed
            refused = await client(program, address, "+norec", "+edns=0", "www.example.org", "A")
            assert "EDE: 20 (Not Authoritative)" in refused
            assert "REFUSED" in refused
            for name, text in (("version.bind", "homing"), ("id.server", "ns-a.example.net")):
                printed = await client(program, address, "+norec", "CH", "TXT", name)
                assert f'CH\tTXT\t"{text}"' in printed
                assert "NOERROR" in printed
