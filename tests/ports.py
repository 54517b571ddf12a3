"""Ports of loopback for servers that must be told theirs.

They lie below those that the system gives to whoever asks for any, so that between choice and use no connection of
another test, nor of another worker of the same run, takes one.
"""

from __future__ import annotations

import os
import random
import re
import socket
from pathlib import Path

_FIRST = 10_000
_GIVEN: set[int] = set()
_random = random.SystemRandom()


def free_port() -> int:
    """A port of 127.0.0.1 that is free for TCP and UDP, and that this run has given to nobody before."""
    worker, workers = _worker()
    while True:
        port = _random.randrange(_FIRST + worker, _end(), workers)
        if port not in _GIVEN and _is_free(port):
            _GIVEN.add(port)
            return port


def free_ports(count: int) -> list[int]:
    """So many, all different."""
    return [free_port() for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _end() -> int:
    """Where the ports begin that the system itself gives away (Linux: ip_local_port_range; elsewhere as RFC 6335)."""
    try:
        return max(_FIRST + 5000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    except OSError:
        return 49152


def _worker() -> tuple[int, int]:
    """The number of this worker of pytest-xdist, and how many there are."""
    found = re.fullmatch(r"gw(\d+)", os.environ.get("PYTEST_XDIST_WORKER", ""))
    return (int(found[1]), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])) if found else (0, 1)
