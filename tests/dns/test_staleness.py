"""How old answers are: the kernel says when each left, the publisher when its version was replaced."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import time

import dns.message
import pytest

from tests.dns.test_server import full
from tests.dns.test_workers import put, serving
from tests.dns.zones import addresses

OLDEST = 0.1
"""Seconds after a change within which an answer of the version before may leave."""

VERSIONS = 150
PAUSE = 0.02
SO_TIMESTAMPNS = 35


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's time stamps are Linux's")
async def test_no_answer_leaves_that_is_older_than_a_tenth_of_a_second() -> None:
    """Two workers under load, a change every 20 ms: each answer is of a version served less than 100 ms before."""
    authority = full()
    loop = asyncio.get_running_loop()
    replaced = [0.0] * (VERSIONS + 1)
    seen: list[tuple[int, float]] = []
    wire = dns.message.make_query("www.example.net", "A", use_edns=0).to_wire()

    async with serving(authority, workers=2) as server:
        put(authority, *addresses("www.example.net", "10.0.0.0"))
        await server.synced()

        async def ask() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                sock.connect(server.addresses[0])
                sock.setblocking(False)
                readable = asyncio.Event()
                loop.add_reader(sock.fileno(), readable.set)
                while not replaced[-1]:
                    sock.send(wire)
                    reply = b""
                    while not reply:
                        readable.clear()
                        await asyncio.wait_for(readable.wait(), 5)
                        with contextlib.suppress(BlockingIOError):
                            reply, ancillary, _, _ = sock.recvmsg(4096, 128)
                    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                    version = int.from_bytes(reply[-13:-11])  # the end of the address, before the OPT
                    seen.append((version, seconds + nanoseconds / 1e9))
                loop.remove_reader(sock.fileno())

        asking = [asyncio.create_task(ask()) for _ in range(12)]
        for version in range(1, VERSIONS + 1):
            await asyncio.sleep(PAUSE)
            put(authority, *addresses("www.example.net", f"10.0.{version >> 8}.{version & 255}"))
            replaced[version - 1] = time.time()
        await asyncio.sleep(OLDEST)
        replaced[-1] = time.time() + 3600  # the last is not replaced
        await asyncio.gather(*asking)

    late = sorted(left - replaced[version] for version, left in seen if left > replaced[version])
    ages = late or [0.0]
    p99 = [0.0] * (len(seen) - len(ages)) + ages
    sys.stdout.write(
        f"{len(seen)} answers, {len(late)} of them of the version before; the oldest {ages[-1] * 1000:.2f} ms, "
        f"p99 {p99[int(len(p99) * 0.99)] * 1000:.2f} ms\n"
    )
    assert len(seen) > 20 * VERSIONS
    assert {version for version, _ in seen} >= set(range(VERSIONS // 2, VERSIONS + 1, 25))
    assert ages[-1] < OLDEST
