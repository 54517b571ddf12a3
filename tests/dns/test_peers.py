"""Real DNS clients against the server."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from tests.dns.test_server import full, running

pytestmark = pytest.mark.peers


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
    async with asyncio.timeout(10):
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


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("example.net", "SOA"), "NOERROR"),
        (("example.net", "SOA", "+noedns"), "NOERROR"),
        (("example.net", "SOA", "+edns=1", "+noednsnegotiation"), "BADVERS"),
        (("example.net", "SOA", "+ednsopt=100"), "NOERROR"),
        (("example.net", "SOA", "+ednsflags=0x40"), "NOERROR"),
        (("example.net", "SOA", "+dnssec", "+bufsize=512"), "NOERROR"),
        (("example.net", "SOA", "+zflag"), "NOERROR"),
        (("example.net", "TYPE1000"), "NOERROR"),
        (("example.net", "SOA", "+tcp"), "NOERROR"),
        (("gone.example.net", "A"), "NXDOMAIN"),
        (("www.example.org", "A"), "REFUSED"),
        (("version.bind", "CH", "TXT"), "REFUSED"),
        (("example.net", "+opcode=15", "+noedns", "+header-only"), "NOTIMP"),
        (("example.net", "+opcode=notify", "+noedns"), "REFUSED"),
        (("+header-only", "+noedns"), "FORMERR"),
    ],
)
async def test_the_queries_of_rfc_8906_have_their_codes(arguments: tuple[str, ...], status: str) -> None:
    """Each query gets a response, the code it should, and no complaint of dig (RFC 8906, section 8)."""
    async with running(full()) as (_, address, _, _):
        printed = await client("dig", address, "+time=2", "+tries=1", "+norec", *arguments)
    assert f"status: {status}," in printed
    assert "WARN" not in printed.upper()
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
