"""Pings through a router that drops, in network namespaces; and the rights that they need."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homing.checks.icmp import is_reply
from tests.lab.namespaces import Host, obstacle
from tests.waiting import patience

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
FAR = ("203.0.113.2", "203.0.113.3")
FAR_IPV6 = "2001:db8:2::2"
NOBODY_IN_RANGE = "echo 1 0 >/proc/sys/net/ipv4/ping_group_range"
EVERYBODY_IN_RANGE = "echo 0 0 >/proc/sys/net/ipv4/ping_group_range"
WITHOUT_RAW = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]


class Way:
    """A checker's host, a router, and a host with two addresses behind it."""

    def __init__(self, checker: Host, router: Host) -> None:
        self.checker = checker
        self.router = router

    def drop(self, *addresses: str) -> None:
        """Have the router drop all packets to these IPv4 addresses, and to no others."""
        rules = "".join(f"ip daddr {address} drop; " for address in addresses)
        chain = f"chain forward {{ type filter hook forward priority 0; {rules}}};"
        self.router.run(["nft", "-f", "-"], stdin=f"table ip out\ndelete table ip out\ntable ip out {{ {chain} }}\n")

    def once(self, *addresses: str, rights: str, prefix: list[str] | None = None) -> list[str]:
        """One probe of each with such rights; how they end."""
        self.checker.shell(rights)
        command = [*(prefix or []), sys.executable, "-m", "tests.checks.inside", "--once", *addresses]
        said = self.checker.run(["env", "-C", str(ROOT), *command]).stdout
        return [line.split()[1] for line in said.splitlines()]


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    """Three hosts in a row."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    router = Host("router")
    checker, far = Host("checker", router), Host("far", router)
    try:
        for name, host in (("near", checker), ("far", far)):
            router.shell(f"ip link add {name} type veth peer name wan netns {host.pid}; ip link set {name} up")
        router.shell(
            "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding\n"
            "ip addr add 198.51.100.1/24 dev near; ip addr add 203.0.113.1/24 dev far\n"
            "ip addr add 2001:db8:1::1/64 dev near; ip addr add 2001:db8:2::1/64 dev far"
        )
        checker.shell(
            "ip link set wan up; ip addr add 198.51.100.2/24 dev wan; ip addr add 2001:db8:1::2/64 dev wan\n"
            "ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8:1::1"
        )
        far.shell(
            "ip link set wan up; ip addr add 203.0.113.2/24 dev wan; ip addr add 203.0.113.3/24 dev wan\n"
            "ip addr add 2001:db8:2::2/64 dev wan\n"
            "ip route add default via 203.0.113.1; ip -6 route add default via 2001:db8:2::1"
        )
        yield Way(checker, router)
    finally:
        for host in (checker, far, router):
            host.close()


class Lines:
    """What the checker inside says, as it says it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        self._stream = process.stdout
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            self._lines.put(line.decode().strip())

    def next(self, seconds: float = 20.0) -> str:
        """The next line."""
        return self._lines.get(timeout=seconds)

    @property
    def none(self) -> bool:
        """Whether all was read."""
        return self._lines.empty()

    def close(self) -> None:
        """Once the process has ended."""
        self._thread.join()
        self._stream.close()


@pytest.fixture
def lines(way: Way) -> Iterator[Lines]:
    """A checker that pings both addresses."""
    way.drop()
    command = [sys.executable, "-m", "tests.checks.inside", *FAR]
    process = way.checker.popen(["env", "-C", str(ROOT), *command], stdout=subprocess.PIPE)
    read = Lines(process)
    try:
        assert read.next(60) == "first"
        yield read
    finally:
        process.terminate()
        process.wait()
        read.close()


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"\0\0\xab\xcd\0\1\0\1" + b"t" * 16, True),
        (b"\0\0\xab\xcd\0\1\0\1" + b"T" * 16, False),
        (b"\0\0\xab\xcd\0\1\0\1" + b"t" * 15, False),
        (b"\x08\0\xab\xcd\0\1\0\1" + b"t" * 16, False),
        (b"\0\1\xab\xcd\0\1\0\1" + b"t" * 16, False),
        (b"\0\0\xab", False),
        (b"", False),
    ],
)
def test_only_the_reply_with_the_token_of_the_request_counts(data: bytes, answer: bool) -> None:
    """A spoofer has to guess 16 octets to keep a dead address answered."""
    assert is_reply(data, 0, b"t" * 16) is answer


@pytest.mark.parametrize(
    ("rights", "prefix"),
    [(EVERYBODY_IN_RANGE, WITHOUT_RAW), (NOBODY_IN_RANGE, [])],
    ids=["ping sockets", "raw sockets"],
)
def test_ping_of_both_families_with_either_right(way: Way, rights: str, prefix: list[str]) -> None:
    """The group range is enough, and so is CAP_NET_RAW; a router that drops is a timeout."""
    way.drop(FAR[1])
    assert way.once(*FAR, FAR_IPV6, rights=rights, prefix=prefix) == ["success", "timeout", "success"]


def test_an_address_that_its_router_knows_to_be_away_is_no_success(way: Way) -> None:
    """ICMP errors end the probe, or its timeout does."""
    (said,) = way.once("192.0.2.99", rights=EVERYBODY_IN_RANGE)
    assert said in ("unreachable", "timeout", "refused")


def test_without_either_right_ping_is_not_possible(way: Way) -> None:
    """Which says nothing about the targets."""
    said = way.once(FAR[0], FAR_IPV6, rights=NOBODY_IN_RANGE, prefix=WITHOUT_RAW)
    assert said == ["impossible", "impossible"]


def test_a_router_that_drops_is_left_out_within_seconds_and_comes_back(way: Way, lines: Lines) -> None:
    """With an interval of 1 s, three failures and half a second's timeout: at most four and a half seconds."""
    way.drop(FAR[0])
    started = time.monotonic()
    assert lines.next() == f"{FAR[0]} failing"
    assert time.monotonic() - started < 8 * patience()
    way.drop()
    assert lines.next() == f"{FAR[0]} healthy"
    assert lines.none


def test_when_the_way_out_is_dead_nothing_turns(way: Way, lines: Lines) -> None:
    """The checker is blind, and later sees again without a turn."""
    way.drop(*FAR)
    assert lines.next() == "blind"
    way.drop()
    assert lines.next() == "seeing"
    assert lines.none
