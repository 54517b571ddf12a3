"""All addresses of a machine, as they come and go, in a network namespace of its own."""

from __future__ import annotations

import socket
import sys

import pytest

from homing.app.listening import listening
from homing.dns.server import DnsServer
from homing.effects.clock import SystemClock
from homing.errors import ListenError
from tests.detect.test_interface import in_a_namespace
from tests.dns.test_server import full

PROGRAM = """
import asyncio, socket, subprocess
import dns.asyncquery, dns.message
from homing.app.listening import listening
from homing.dns.server import DnsServer
from homing.effects.clock import SystemClock
from tests.dns.test_server import full

def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)

async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)

async def source(host, sender=None):
    "The address that answers a query to this host; the socket is not connected, so it hears any."
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        if sender:
            sock.bind((sender, 0))
        loop = asyncio.get_running_loop()
        await loop.sock_sendto(sock, dns.message.make_query("www.example.net", "A").to_wire(), (host, 5353))
        async with asyncio.timeout(5):
            data, told = await loop.sock_recvfrom(sock, 4096)
        assert dns.message.from_wire(data).answer
        return told[0]

async def main(workers):
    ip("link", "set", "lo", "up")
    ip("link", "add", "x0", "type", "bridge")
    ip("link", "set", "x0", "up")
    ip("address", "add", "192.0.2.1/24", "dev", "x0")
    ip("address", "add", "192.0.2.2/24", "dev", "x0")
    ip("address", "add", "2001:db8::1/64", "dev", "x0", "nodad")
    server = DnsServer(full(), workers=workers)
    async with listening(server, [("", 5353)], SystemClock()):
        print(*[await source(host) for host in ("127.0.0.1", "192.0.2.1", "192.0.2.2", "2001:db8::1")])
        before = len(server.addresses)
        ip("address", "add", "198.51.100.9/24", "dev", "x0")
        await until(lambda: len(server.addresses) == before + 1)
        await server.synced()
        print(await source("198.51.100.9"))
        ip("address", "del", "192.0.2.2/24", "dev", "x0")
        await until(lambda: len(server.addresses) == before)
        print(("192.0.2.2", 5353) in server.addresses, await source("192.0.2.1"))
    await server.aclose()

asyncio.run(main({workers}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="follows addresses by netlink")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_reply_leaves_from_the_address_asked_and_new_addresses_are_answered(workers: int) -> None:
    """With an empty host every address answers, each from itself; one that comes is served, one that goes is let go."""
    assert in_a_namespace(PROGRAM.replace("{workers}", str(workers))) == [
        "127.0.0.1 192.0.2.1 192.0.2.2 2001:db8::1",
        "198.51.100.9",
        "False 192.0.2.1",
    ]


async def test_one_address_in_use_does_not_keep_the_others() -> None:
    """When another program has the port on one address, the rest of the machine is served."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        server = DnsServer(full())
        try:
            async with listening(server, [("", port)], SystemClock()):
                hosts = {host for host, _ in server.addresses}
                assert hosts
                assert "127.0.0.1" not in hosts
        finally:
            await server.aclose()


async def test_a_given_address_in_use_is_an_error() -> None:
    """What was asked for by name must be had."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        server = DnsServer(full())
        with pytest.raises(ListenError):
            async with listening(server, [("127.0.0.1", taken.getsockname()[1])], SystemClock()):
                pass
        await server.aclose()
