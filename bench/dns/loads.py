"""The loads, and what one round of one of them measured at one server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.dns.servers import ECHO, Running
from bench.dns.zone import NAMES

WARM_UP = 0.4
"""Seconds of load before the measured ones: caches fill, cookies are learned."""

SOCKETS, A_SOCKET = 4, 200
"""From how many the load comes, at least, and how many queries are under way from one, at most."""

OTHERS_EVERY = 1000
"""Microseconds between two queries of the client that asks existing names while others ask for random ones."""


@dataclass(frozen=True)
class Load:
    """What is asked: ``kind`` is its name in load.c, ``window`` how many queries are under way, 0 as many as usual."""

    name: str
    what: str
    kind: str
    window: int = 0


LOADS = (
    Load("hot", "5,000 names, the same octets again but for the id; no EDNS", "hot"),
    Load("resolver", "random case, EDNS with DO, cookies of 10,000 clients, 30 % NXDOMAIN", "resolver"),
    Load("random", "random names that do not exist; one more client asks existing names", "random"),
    Load("flood", "the same with 2,000 queries under way, more than a server reads before it answers", "random", 2000),
)


@dataclass(frozen=True)
class Round:
    """What one round found: microseconds of the server's processor time for each answer, and how it went."""

    microseconds: float
    per_second: float
    busy: float
    """The share of the seconds that the server's processes were on their core; near 1, or the load was too little."""
    lost: float
    """The share of the queries."""
    wrong: int
    why: str
    p50: float
    p99: float
    """Milliseconds until the answer, with all queries under way that the load allows."""
    others_p99: float
    """Milliseconds; of the client that is not part of the crowd, 0 where there is none."""
    others_lost: int


def run(
    program: str,
    load: Load,
    server: Running,
    *,
    seconds: float,
    window: int,
    cores: tuple[int, int],
    names: int = NAMES,
) -> Round:
    """Put a load on a server from the other core for so many seconds; ``names`` of the zone are asked for."""
    window = load.window or window
    settings = {
        "port": server.port,
        "load": "echo" if server.name == ECHO else load.kind,
        "seconds": seconds,
        "names": names,
        "warm": WARM_UP,
        "window": window,
        "sockets": max(SOCKETS, window // A_SOCKET),
        "processes": ",".join(map(str, server.processes)),
        "others": OTHERS_EVERY if load.kind == "random" else 0,
    }
    command = ["taskset", "-c", str(cores[1]), program, *(f"{key}={value}" for key, value in settings.items())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60)
    return _round(json.loads(done.stdout))


def _round(told: Mapping[str, Any]) -> Round:
    crowd, others = told["crowd"], told.get("others", {})
    answered = max(1, crowd["answered"] + others.get("answered", 0))
    return Round(
        microseconds=told["cpu seconds"] / answered * 1e6,
        per_second=answered / told["seconds"],
        busy=told["cpu seconds"] / told["seconds"],
        lost=crowd["lost"] / (answered + crowd["lost"]),
        wrong=crowd["wrong"] + others.get("wrong", 0),
        why=told["first wrong"],
        p50=crowd["p50 ms"],
        p99=crowd["p99 ms"],
        others_p99=others.get("p99 ms", 0.0),
        others_lost=others.get("lost", 0),
    )
