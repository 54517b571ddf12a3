"""How long a new address takes to everyone who asks for the name: at four providers and in the own zone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

from tests.lab.household import Homing
from tests.lab.lab import Lab

from bench.number import Number, Result
from bench.watching import Watchers, watchers
from bench.world import SETTING, at_rest, world

SEEN_ASKED, UNSEEN_ASKED = 2.0, 20.0
"""Seconds, where netlink shows the change and where it does not."""

SEEN_CHANGES, UNSEEN_CHANGES = 8, 10
"""Changes of each kind."""

PROBE_INTERVAL = 15.0
"""Seconds: the default. The moments of unseen changes are spread over it."""

QUIET = 4.0
"""Seconds of peace between two changes that netlink shows."""

LIMIT = 60.0
"""Seconds after which a change counts as lost."""


def measure() -> Result:
    """Seconds from just before the change until every provider and the own zone hold the new address."""
    with world() as lab, at_rest(lab) as homing, watchers(homing) as places:
        numbers = _numbers("unseen by netlink (behind NAT)", UNSEEN_ASKED, _unseen(lab, homing, places))
        numbers += _numbers("seen by netlink (IPv6 prefix)", SEEN_ASKED, _prefixes(lab, homing, places))
        numbers += _numbers("seen by netlink (IPv4 address)", SEEN_ASKED, _seen(lab, homing, places))
    setting = f"{SETTING}; default intervals, but Strato may be asked every second; times begin before the change"
    return Result("change", setting, tuple(numbers))


def _numbers(kind: str, asked: float, runs: list[dict[str, float]]) -> list[Number]:
    everywhere = [max(run.values()) for run in runs]
    places = [Number(f"{kind}: {place}", "s", tuple(run[place] for run in runs)) for place in runs[0]]
    return [Number(f"{kind}: everywhere", "s", tuple(everywhere), asked), *places]


def _one(lab: Lab, homing: Homing, places: Watchers, change: Callable[[], None]) -> dict[str, float]:
    began = time.time()
    change()
    wanted = frozenset({lab.home_ipv4 or lab.wan_ipv4, lab.home_ipv6})
    try:
        took = places.hold(wanted, began, LIMIT)
    except TimeoutError as error:
        raise RuntimeError(f"{error}; the daemon said: {homing.log[-2000:]}") from None
    noticed = [row["at"] for row in homing.history() if row["kind"] == "address"]
    run = {"noticed": max(noticed) - began, **took}
    sys.stderr.write("  " + "  ".join(f"{place} {seconds:.2f}" for place, seconds in run.items()) + "\n")
    return run


def _unseen(lab: Lab, homing: Homing, places: Watchers) -> list[dict[str, float]]:
    runs: list[dict[str, float]] = []
    for turn in range(UNSEEN_CHANGES):
        # The moments are spread over the interval between two probes, in an order that is not that of time.
        time.sleep(2.0 + PROBE_INTERVAL * (turn * 7 % UNSEEN_CHANGES) / UNSEEN_CHANGES)
        runs.append(_one(lab, homing, places, partial(lab.change_wan, ipv4=f"84.17.39.{100 + turn}")))
    return runs


def _seen(lab: Lab, homing: Homing, places: Watchers) -> list[dict[str, float]]:
    _one(lab, homing, places, partial(lab.change_home, ipv4="84.17.60.99"))  # out from behind NAT; not counted
    runs: list[dict[str, float]] = []
    for turn in range(SEEN_CHANGES):
        time.sleep(QUIET + turn / SEEN_CHANGES)
        runs.append(_one(lab, homing, places, partial(lab.change_home, ipv4=f"84.17.60.{100 + turn}")))
    return runs


def _prefixes(lab: Lab, homing: Homing, places: Watchers) -> list[dict[str, float]]:
    runs: list[dict[str, float]] = []
    for turn in range(SEEN_CHANGES):
        time.sleep(QUIET + turn / SEEN_CHANGES)
        runs.append(_one(lab, homing, places, partial(lab.change_wan, ipv6_prefix=f"2a01:4f8:99:{turn + 1:x}::/64")))
    return runs
