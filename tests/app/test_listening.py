"""All addresses of a machine, as they come and go, in a network namespace of its own."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

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
        ip("address", "add", "198.51.100.9/24", "dev", "x0")
        await until(lambda: ("198.51.100.9", 5353) in server.addresses)
        await server.synced()
        print(await source("198.51.100.9"))
        ip("address", "del", "192.0.2.2/24", "dev", "x0")
        await until(lambda: ("192.0.2.2", 5353) not in server.addresses)
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


LINK_LOCAL = """
async def main(workers):
    ip("link", "set", "lo", "up")
    ip("link", "add", "x0", "type", "bridge")
    ip("link", "set", "x0", "up")
    ip("address", "add", "fe80::53/64", "dev", "x0", "nodad")
    server = DnsServer(full(), workers=workers)
    async with listening(server, [("", 5353)], SystemClock()):
        print(*sorted(host for host, _ in server.addresses if host.startswith("fe80::53")))
        told = await source("fe80::53%x0")
        print(told.partition("%")[0])
        ip("link", "del", "x0")
        await until(lambda: not any("fe80" in host for host, _ in server.addresses))
    await server.aclose()

asyncio.run(main({workers}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces")
@pytest.mark.parametrize("workers", [0, 2])
def test_link_local_addresses_are_served_and_told_with_their_interface(workers: int) -> None:
    """Such an address means nothing without its interface; queries to it are answered from it, until it is gone."""
    code = PROGRAM[: PROGRAM.index("async def main")] + LINK_LOCAL.replace("{workers}", str(workers))
    assert in_a_namespace(code) == ["fe80::53%x0", "fe80::53"]


AT_ONCE = """
async def main():
    ip("link", "set", "lo", "up")
    server = DnsServer(full(), workers=0)
    async with listening(server, [("", 5353)], SystemClock()):
        ip("address", "add", "198.51.100.9/24", "dev", "lo")
        await until(lambda: ("198.51.100.9", 5353) in server.addresses)
        print("served")
    await server.aclose()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="follows addresses by netlink")
def test_an_address_that_comes_while_following_begins_is_not_missed() -> None:
    """What changes between the first look and the first message of the kernel is seen too."""
    assert in_a_namespace(PROGRAM[: PROGRAM.index("async def main")] + AT_ONCE) == ["served"]


BUSY = """
    import homing.app.listening as app
    from homing.errors import ObservationError
    told, failures = app.interface_addresses, [1, 2]
    def interface_addresses():
        if failures:
            failures.pop()
            raise ObservationError("the kernel does not tell this machine's addresses: timed out")
        return told()
    app.interface_addresses = interface_addresses
"""


@pytest.mark.skipif(sys.platform != "linux", reason="follows addresses by netlink")
def test_a_kernel_that_does_not_tell_the_addresses_is_asked_again() -> None:
    """A change that could not be looked at is not forgotten: no other one may follow."""
    head, gone, rest = LINK_LOCAL.partition('        ip("link", "del", "x0")\n')
    busy = "".join(f"    {line}\n" for line in BUSY.strip("\n").splitlines())
    code = PROGRAM[: PROGRAM.index("async def main")] + (head + busy + gone + rest).replace("{workers}", "0")
    lines = in_a_namespace(code)
    assert [line for line in lines if line.startswith("fe80")] == ["fe80::53%x0", "fe80::53"]
    assert sum("listening on the addresses of before" in line for line in lines) == 2


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


HOUSE = """
[detect]
stun = { enabled = false }
http = { enabled = false }
whoami = { enabled = false }
interface = { enabled = false }

[dns]
listen = [LISTEN]
workers = 2
nsid = "home"

[zones."example.net"]

[[names]]
fqdn = "www.example.net"
source = "static"
addresses = ["198.51.100.7"]
provider = "zone"
"""

DAEMON = """
import json, signal
from pathlib import Path
from tests.app.running import HOMING, Daemon, House, environment, execute
from tests.waiting import until

folder = Path("FOLDER")
HOUSE = Path(folder / "house.toml").read_text()

def serve(*listen):
    house.write(HOUSE.replace("LISTEN", ", ".join(json.dumps(one) for one in listen)))

def reload(*listen):
    before = len(daemon.log)
    serve(*listen)
    daemon.send(signal.SIGHUP)
    until(lambda: "configuration taken over" in daemon.log[before:], 10, "the reload")
    print(*figures()["listen"])

def figures():
    return json.loads(execute([*HOMING, "dns", "stats", "--json", "--state", str(house.state)], env).stdout)

def answered(host):
    try:
        return asyncio.run(source(host)) == host
    except (AssertionError, OSError):  # not published yet, not listened on yet
        return False

def sources(*hosts):
    for host in hosts:
        until(lambda: answered(host), 10, host)
    print(*hosts)

def main():
    global house, env, daemon
    ip("link", "set", "lo", "up")
    ip("link", "add", "x0", "type", "bridge")
    ip("link", "set", "x0", "up")
    ip("address", "add", "192.0.2.1/24", "dev", "x0")
    ip("address", "add", "2001:db8::1/64", "dev", "x0", "nodad")
    house, env = House(folder, ""), environment(folder)
    serve(":5353")
    with Daemon(house.words("up", "--web", "off"), folder, env) as daemon:
        sources("127.0.0.1", "192.0.2.1", "2001:db8::1")
        print(figures()["workers"])
        ip("address", "add", "198.51.100.9/24", "dev", "x0")
        until(lambda: "198.51.100.9:5353" in figures()["listen"], 10, "the new address")
        sources("198.51.100.9")
        reload("192.0.2.1:5353")
        ip("address", "add", "198.51.100.10/24", "dev", "x0")
        reload("192.0.2.1:5353", "127.0.0.1:5354")
        reload(":5353")
        sources("127.0.0.1", "192.0.2.1", "198.51.100.10")

main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="follows addresses by netlink")
def test_homing_up_listens_everywhere_with_workers_and_through_sighup(tmp_path: Path) -> None:
    """Each address answers from itself, new ones too; a reload changes between one address and all, and back."""
    (tmp_path / "house.toml").write_text(HOUSE)
    lines = in_a_namespace(PROGRAM[: PROGRAM.index("async def main")] + DAEMON.replace("FOLDER", str(tmp_path)))
    everywhere = "127.0.0.1 192.0.2.1 2001:db8::1"
    assert lines[:4] == [everywhere, "2", "198.51.100.9", "192.0.2.1:5353"]
    assert set(lines[4].split()) == {"192.0.2.1:5353", "127.0.0.1:5354"}
    assert {"127.0.0.1:5353", "198.51.100.10:5353", "[2001:db8::1]:5353"} < set(lines[5].split())
    assert "127.0.0.1:5354" not in lines[5]
