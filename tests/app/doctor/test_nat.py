"""NAT: what the router, the way and the own address tell, with real packets through routers in namespaces."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from homing.app.doctor.finding import Level
from homing.app.doctor.hops import dropped_by
from homing.app.doctor.nat import judge
from homing.app.doctor.natpmp import Outer, gateway, outer_address, parse
from tests.lab.namespaces import Host, obstacle

OK, NOTE, WARNING, SKIPPED = Level.OK, Level.NOTE, Level.WARNING, Level.SKIPPED

LAN, WAN, CGN = IPv4Address("192.168.1.20"), IPv4Address("8.8.4.4"), IPv4Address("100.64.3.7")
ROUTER, SECOND, PUBLIC = IPv4Address("192.168.1.1"), IPv4Address("10.0.0.1"), IPv4Address("9.9.9.9")
SILENT = Outer(why="it does not answer to NAT-PMP")


@pytest.mark.parametrize(
    ("source", "wan", "outer", "hops", "level", "words"),
    [
        (WAN, WAN, SILENT, (), OK, "has the WAN address 8.8.4.4 itself"),
        (LAN, WAN, Outer(WAN), (ROUTER, SECOND), OK, "one, the router's"),
        (LAN, WAN, Outer(CGN), (), WARNING, "100.64.3.7 is one of carrier-grade NAT"),
        (CGN, WAN, SILENT, (), WARNING, "this machine's address 100.64.3.7"),
        (LAN, WAN, Outer(SECOND), (), WARNING, "double: the router's outer address 10.0.0.1"),
        (LAN, WAN, Outer(PUBLIC), (), NOTE, "a second uplink"),
        (LAN, None, Outer(PUBLIC), (), OK, "is public"),
        (LAN, None, Outer(CGN), (), WARNING, "carrier-grade"),
        (LAN, WAN, SILENT, (ROUTER, CGN, PUBLIC), WARNING, "probably carrier-grade: 100.64.3.7"),
        (
            LAN,
            WAN,
            SILENT,
            (ROUTER, SECOND, PUBLIC),
            WARNING,
            "probably double: behind the first router stands 10.0.0.1",
        ),
        (LAN, WAN, SILENT, (ROUTER, None, SECOND), WARNING, "probably double"),
        (LAN, WAN, SILENT, (ROUTER, PUBLIC, SECOND), OK, "no sign of a second one"),
        (LAN, WAN, SILENT, (ROUTER,), SKIPPED, "not known"),
        (LAN, WAN, SILENT, (), SKIPPED, "not known"),
        (WAN, None, SILENT, (), OK, "public"),
    ],
)
def test_nat_is_judged_by_what_is_surest(
    source: IPv4Address,
    wan: IPv4Address | None,
    outer: Outer,
    hops: tuple[IPv4Address | None, ...],
    level: Level,
    words: str,
) -> None:
    """What the router says stands above the way; what cannot be known is no claim."""
    finding = judge(source, wan, outer, hops)
    assert finding.level is level
    assert words in finding.text
    assert bool(finding.remedy) == (level is WARNING)


def test_answers_of_routers_are_read_to_the_octet() -> None:
    """RFC 6886, section 3.2 and 3.5; a packet that answers something else is waited past."""
    assert parse(struct.pack("!BBHI4s", 0, 128, 0, 5, WAN.packed)) == Outer(WAN)
    assert parse(struct.pack("!BBHI", 0, 128, 2, 5)) == Outer(why="it is told to say nothing")
    assert parse(struct.pack("!BBHI4s", 0, 128, 0, 5, bytes(4))) == Outer(why="it has no outer address now")
    for foreign in (b"", b"\0", bytes(12), struct.pack("!BBHI", 0, 128, 0, 5), b"\2\x80" + bytes(10)):
        assert parse(foreign) is None


async def test_a_router_is_asked_and_may_be_silent() -> None:
    """A real socket answers, one is silent, and a closed port says that there is no NAT-PMP."""
    loop, local = asyncio.get_running_loop(), IPv4Address("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as router:
        router.bind(("127.0.0.1", 0))
        port = router.getsockname()[1]

        def answer() -> None:
            request, sender = router.recvfrom(100)
            assert request == bytes(2)
            router.sendto(b"something else", sender)
            router.sendto(struct.pack("!BBHI4s", 0, 128, 0, 5, CGN.packed), sender)

        loop.add_reader(router, answer)
        assert await outer_address(local, port) == Outer(CGN)
        loop.remove_reader(router)
    assert await outer_address(local, port, (0.2,)) == Outer(why="it offers no NAT-PMP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        found = await outer_address(local, silent.getsockname()[1], (0.01, 0.01))
    assert found == SILENT


def test_the_gateway_is_the_one_that_the_kernel_prefers(tmp_path: Path) -> None:
    """Of two default routes the one with the lower metric; others are no default routes."""
    table = tmp_path / "route"
    rows = [
        ("eth0", "00000000", ROUTER, "0003", 600, "00000000"),
        ("eth1", "00000000", SECOND, "0003", 100, "00000000"),
    ]
    rows += [("eth0", "0001A8C0", IPv4Address(0), "0001", 0, "00FFFFFF")]
    lines = [
        f"{name}\t{to}\t{int.from_bytes(via.packed, sys.byteorder):08X}\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0"
        for name, to, via, flags, metric, mask in rows
    ]
    table.write_text("Iface\tDestination\tGateway\n" + "\n".join(lines) + "\nbroken\n")
    assert gateway(table) == SECOND
    assert gateway(tmp_path / "none") is None


def test_errors_of_sockets_are_read_as_the_kernel_writes_them() -> None:
    """Time exceeded names its sender; a destination that was reached, and anything short, does not."""
    sender = struct.pack("=HH4s8x", socket.AF_INET, 0, SECOND.packed)
    assert dropped_by(struct.pack("=IBBBBII", 113, 2, 11, 0, 0, 0, 0) + sender) == SECOND
    assert dropped_by(struct.pack("=IBBBBII", 111, 2, 3, 3, 0, 0, 0) + sender) is None
    assert dropped_by(b"\0" * 16) is None


_LOOK = """
import asyncio, json
from ipaddress import IPv4Address
from homing.app.doctor.hops import first_hops
from homing.app.doctor.nat import judge
from homing.app.doctor.natpmp import gateway, outer_address
async def main():
    router = gateway()
    outer = await outer_address(router)
    hops = first_hops(IPv4Address("9.9.9.9"))
    found = judge(IPv4Address("192.168.1.20"), IPv4Address("8.8.4.4"), outer, hops)
    return [str(router), str(outer.address), [str(hop) for hop in hops], found.level.value, found.text]
print(json.dumps(asyncio.run(main())))
"""

_ANSWER = """
import socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("192.168.1.1", 5351))
print("up", flush=True)
while True:
    data, sender = sock.recvfrom(100)
    sock.sendto(struct.pack("!BBHI", 0, 128, 0, 1) + socket.inet_aton(sys.argv[1]), sender)
"""


@pytest.mark.lab
def test_two_routers_in_a_row_are_found_by_real_packets() -> None:
    """A home behind a router behind a provider's NAT: hops are found without any right, NAT-PMP decides when spoken."""
    if reason := obstacle():
        pytest.skip(reason)
    inner = Host("router")
    hosts = [inner, Host("home", inner), Host("carrier", inner), Host("outside", inner)]
    try:
        _, home, carrier, outside = hosts
        for left, right, near, far in (
            (home, inner, "192.168.1.20/24", "192.168.1.1/24"),
            (inner, carrier, "100.64.3.7/24", "100.64.3.1/24"),
            (carrier, outside, "8.8.4.4/24", "8.8.4.1/24"),
        ):
            names = (f"to{right.name}", f"to{left.name}")
            left.run(["ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1], "netns", str(right.pid)])
            for host, name, address in ((left, names[0], near), (right, names[1], far)):
                host.run(["ip", "addr", "add", address, "dev", name])
                host.run(["ip", "link", "set", name, "up"])
        for host in (inner, carrier):
            host.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])
        home.run(["ip", "route", "add", "default", "via", "192.168.1.1"])
        inner.run(["ip", "route", "add", "default", "via", "100.64.3.1"])
        carrier.run(["ip", "route", "add", "default", "via", "8.8.4.1"])
        carrier.run(["ip", "route", "add", "192.168.1.0/24", "via", "100.64.3.7"])
        outside.run(["ip", "addr", "add", "9.9.9.9/32", "dev", "lo"])
        outside.run(["ip", "route", "add", "default", "via", "8.8.4.4"])
        look = [sys.executable, "-c", _LOOK]
        router, outer, hops, level, text = json.loads(home.run(look).stdout)
        assert (router, outer, hops[:2]) == ("192.168.1.1", "None", ["192.168.1.1", "100.64.3.1"])
        assert (level, text.partition(":")[0]) == ("warning", "probably carrier-grade")
        answering = inner.popen([sys.executable, "-c", _ANSWER, "8.8.4.4"], stdout=subprocess.PIPE)
        try:
            assert answering.stdout is not None
            assert answering.stdout.readline().strip() == b"up"
            _, outer, _, level, text = json.loads(home.run(look).stdout)
        finally:
            answering.kill()
            answering.communicate()
        assert (outer, level) == ("8.8.4.4", "ok")
        assert "one, the router's" in text
    finally:
        for host in reversed(hosts):
            host.close()
