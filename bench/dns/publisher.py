"""Homing with a zone that changes by order: ``python -m bench.dns.publisher ZONEFILE PORT WORKERS``.

Each line ``change NUMBER ADDRESS ...`` on standard input gives name ``a<NUMBER>`` these IPv4 addresses (as numbers), or
none. When it is published a line ``BEGIN END`` goes out: the moments around it in nanoseconds of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from bench.dns.zone import ORIGIN
from homing.dns.authority import Authority
from homing.dns.master import load_zone
from homing.dns.server import DnsServer
from homing.model.name import parse_name
from homing.model.rrset import RRType, rrset
from homing.model.zone import Zone, amend

TTL = 30
"""Seconds."""


async def main(file: Path, port: int, workers: int) -> None:
    """Serve until standard input ends."""
    zone = load_zone(file)
    authority = Authority()
    authority.publish(zone)
    server = DnsServer(authority, workers=workers)
    await server.listen([("127.0.0.1", port)])
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        begin = time.monotonic_ns()
        zone = publish(authority, zone, line.decode().split()[1:])
        print(begin, time.monotonic_ns(), flush=True)
    await server.aclose()


def publish(authority: Authority, zone: Zone, order: list[str]) -> Zone:
    """The next version, served."""
    name = parse_name(f"a{order[0]}.{ORIGIN}")
    addresses = [int(text).to_bytes(4) for text in order[1:]]
    new, difference = amend(zone, {(name, RRType.A): rrset(name, RRType.A, TTL, addresses) if addresses else None})
    authority.publish(new, difference)
    return new


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
