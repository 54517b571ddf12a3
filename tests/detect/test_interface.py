"""The machine's own addresses: as the kernel tells them, and only those that last are stable."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.detect import netlink
from homing.detect.interface import InterfaceAddress, has_route, interface_addresses, source_address, stable
from homing.detect.watch import Changes
from homing.errors import ObservationError
from homing.model.address import Family, parse_address

linux = pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux's")
GOOD = InterfaceAddress("eth0", parse_address("2001:db8::1"), 64)


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, temporary=True),
        replace(GOOD, deprecated=True),
        replace(GOOD, tentative=True),
        replace(GOOD, dad_failed=True),
        replace(GOOD, up=False),
        replace(GOOD, address=parse_address("::1")),
        replace(GOOD, address=parse_address("fe80::1")),
        replace(GOOD, address=parse_address("169.254.1.1")),
    ],
)
def test_only_lasting_addresses_are_stable(bad: InterfaceAddress) -> None:
    """Short-lived, unusable and local addresses are left out."""
    assert stable([bad, GOOD]) == (GOOD,)


@linux
def test_the_kernel_s_addresses_are_those_that_ip_shows() -> None:
    """Interface, address, prefix length and flags agree with iproute2."""
    if not shutil.which("ip"):
        pytest.skip("iproute2 is not installed")
    links = json.loads(subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout)
    expected = {
        (link["ifname"], parse_address(one["local"]), one["prefixlen"], "UP" in link["flags"], "deprecated" in one)
        for link in links
        for one in link.get("addr_info", [])
    }
    seen = interface_addresses()
    assert {(one.interface, one.address, one.prefix_length, one.up, one.deprecated) for one in seen} == expected


def test_a_source_address_is_one_of_this_machine_s() -> None:
    """Where there is a route, the address that is sent from sits on an interface."""
    for family in Family:
        if has_route(family):
            assert source_address(family) in {one.address for one in interface_addresses()}
        else:
            with pytest.raises(ObservationError, match=f"no {family} route to the internet"):
                source_address(family)


def address_message(
    flags: int = 0x80, *, kind: int = netlink.RTM_NEWADDR, text: str = "2001:db8::1", lifetime: int = 1
) -> bytes:
    """An address message as the kernel sends it."""
    address = parse_address(text)
    attributes = struct.pack("=HH", 4 + len(address.packed), 1) + address.packed
    attributes += struct.pack("=HHI", 8, 8, flags) + struct.pack("=HHIIII", 20, 6, lifetime, lifetime, 0, 0)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    body = struct.pack("=BBBBI", family, 64, flags & 0xFF, 0, 2) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def route_message(kind: int = netlink.RTM_NEWROUTE, *, length: int = 0, table: int = 254) -> bytes:
    """A route message as the kernel sends it."""
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, length, 0, 0, table, 0, 0, 1, 0)
    body += struct.pack("=HHI", 8, 4, 2) + struct.pack("=HH4s", 8, 5, b"\xc0\xa8\x01\x01")
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def news(changes: Changes, data: bytes) -> bool:
    """Whether a packet tells a change."""
    return any([changes.note(message) for message in netlink.parse(data)])  # noqa: C419 - each is to be noted


def test_repetitions_are_no_change() -> None:
    """A renewed lifetime is no news; new flags, a removal and a return are."""
    changes = Changes()
    assert news(changes, address_message(lifetime=600))
    assert not news(changes, address_message(lifetime=601))
    assert news(changes, address_message(netlink.F_DEPRECATED))
    assert news(changes, address_message(kind=netlink.RTM_DELADDR))
    assert news(changes, address_message())


def test_only_default_routes_are_news() -> None:
    """Routes to single networks and of other tables do not matter."""
    changes = Changes()
    assert not news(changes, route_message(length=24))
    assert not news(changes, route_message(table=255))
    assert news(changes, route_message())
    assert not news(changes, route_message())
    assert news(changes, route_message(netlink.RTM_DELROUTE))


@given(st.data())
def test_mutated_messages_raise_nothing(data: st.DataObject) -> None:
    """What cannot be read is skipped."""
    wire = bytearray(address_message() + route_message())
    for _ in range(data.draw(st.integers(0, 8))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    list(netlink.parse(bytes(wire[: data.draw(st.integers(0, len(wire)))])))


WATCH = """
import asyncio, subprocess, sys
from homing.detect.interface import interface_addresses
from homing.detect.interface import stable
from homing.detect.watch import watch_addresses
from homing.effects.clock import SystemClock

def ip(*words):
    subprocess.run(["ip", *words], check=True)

async def main():
    ip("link", "set", "lo", "up")
    ip("link", "add", "wan0", "type", "bridge")
    ip("link", "set", "wan0", "up")
    changes = watch_addresses(SystemClock(), debounce=0.05)
    for count, words in enumerate((
        ("address", "add", "203.0.113.7/24", "dev", "wan0"),
        ("route", "add", "default", "via", "203.0.113.1"),
        ("address", "add", "2001:db8::7/64", "dev", "wan0", "nodad", "preferred_lft", "0"),
        ("address", "del", "203.0.113.7/24", "dev", "wan0"),
    )):
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.1)
        while count == 0 and waiting.done():  # what the link's own address did
            waiting = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0.1)
        ip(*words)
        await asyncio.wait_for(waiting, 5)
        print(sorted(str(one.address) for one in stable(interface_addresses())))
    await changes.aclose()

asyncio.run(main())
"""


SOURCES = """
import socket, subprocess, time
from pathlib import Path
from homing.detect.interface import interface_addresses
from homing.detect.interface import stable
from homing.detect.datagram import open_socket
from homing.detect.interface import source_address
from homing.model.address import Family, parse_address

def ip(*words):
    subprocess.run(["ip", *words], check=True)

ip("link", "add", "wan0", "type", "bridge")
Path("/proc/sys/net/ipv6/conf/wan0/use_tempaddr").write_text("2")
ip("link", "set", "wan0", "up")
ip("address", "add", "2001:db8:1::5/64", "dev", "wan0", "mngtmpaddr", "nodad")
ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "wan0")
for _ in range(100):
    if any(one.temporary and not one.tentative for one in interface_addresses()):
        break
    time.sleep(0.05)
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain:
    plain.connect(("2001:db8:2::1", 53))
    print(plain.getsockname()[0] == "2001:db8:1::5")
for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
    with open_socket(parse_address("2001:db8:2::1"), kind) as ours:
        ours.connect_ex(("2001:db8:2::1", 53))
        print(ours.getsockname()[0])
print(source_address(Family.V6))
print(*(one.address for one in stable(interface_addresses())))
"""

INSIDE = ["unshare", "--user", "--map-root-user", "--net"]


def in_a_namespace(code: str) -> list[str]:
    """What the code prints in a network namespace of its own, line by line."""
    probe = [*INSIDE, "ip", "link", "add", "x0", "type", "bridge"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are forbidden here, or iproute2 is not installed")
    result = subprocess.run(
        [*INSIDE, sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@linux
def test_changes_are_seen_in_a_real_kernel() -> None:
    """In a network namespace of its own, addresses and a default route that come and go are told.

    The deprecated address among them is news, but not stable.
    """
    assert in_a_namespace(WATCH) == ["['203.0.113.7']"] * 3 + ["[]"]


@linux
def test_the_stable_ipv6_address_is_what_others_see() -> None:
    """Beside a temporary address, which other programs send from, our sockets send from the stable one."""
    plain_is_stable, *sources = in_a_namespace(SOURCES)
    assert plain_is_stable == "False"
    assert sources == ["2001:db8:1::5"] * 4
