"""How long a round takes until its verdict: in a fresh ``homing detect``, and in a process that lives longer."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.lab import Lab

from bench.number import Number, Result
from bench.world import SETTING, world

ASKED = 0.150
"""Seconds."""

FRESH_RUNS, ROUNDS = 20, 21
"""Fresh processes, and rounds in one process (its first is left out)."""

SILENCED = ("stun.nextcloud.com", "stun.threema.ch")
"""Two operators that answer nothing, for the number that says what the dead cost."""


def measure() -> Result:
    """Seconds from the start of a round to its agreed verdict, for each family."""
    with world() as lab:
        numbers = _fresh(lab)
        numbers += _long_lived(lab, "known names", "warm")
        numbers += _long_lived(lab, "names looked up", "cold")
        lab.router.run(["nft", "-f", "-"], stdin=_silence(lab))
        numbers += _long_lived(lab, "two operators dead", "cold")
    return Result("verdict", SETTING, tuple(numbers))


def _fresh(lab: Lab) -> list[Number]:
    seconds: dict[int, list[float]] = {4: [], 6: []}
    whole: list[float] = []
    for _ in range(FRESH_RUNS):
        began = time.monotonic()
        done = lab.run("home", [sys.executable, "-m", "homing", "detect", "--json"])
        whole.append(time.monotonic() - began)
        _add(seconds, json.loads(done.stdout)["verdicts"])
    numbers = [Number(f"homing detect, IPv{family}", "s", tuple(runs), ASKED) for family, runs in seconds.items()]
    return [*numbers, Number("homing detect, whole process until the slowest answered", "s", tuple(whole))]


def _long_lived(lab: Lab, name: str, mode: str) -> list[Number]:
    seconds: dict[int, list[float]] = {4: [], 6: []}
    child = str(Path(__file__).with_name("rounds.py"))
    lines = lab.run("home", [sys.executable, child, mode, str(ROUNDS)]).stdout.splitlines()
    for line in lines[1:]:
        _add(seconds, json.loads(line))
    asked = None if "dead" in name else ASKED
    return [Number(f"later rounds, {name}, IPv{family}", "s", tuple(runs), asked) for family, runs in seconds.items()]


def _add(seconds: dict[int, list[float]], verdicts: list[dict[str, Any]]) -> None:
    for verdict in verdicts:
        if verdict["outcome"] != "agreed":
            raise RuntimeError(f"IPv{verdict['family']} is {verdict['outcome']}: {verdict['reason']}")
        seconds[verdict["family"]].append(verdict["seconds"])


def _silence(lab: Lab) -> str:
    pairs = [lab.names[name] for name in SILENCED]
    four, six = ", ".join(pair.ipv4 for pair in pairs), ", ".join(pair.ipv6 for pair in pairs)
    return (
        "table inet silence { chain forward { type filter hook forward priority filter; "
        f"ip daddr {{ {four} }} drop; ip6 daddr {{ {six} }} drop;\n}}\n}}\n"
    )
