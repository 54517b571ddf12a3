"""How soon Homing is there: ``homing --help``, and the first DNS answer of ``homing up``."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.household import DNS_PORT, Homing
from tests.lab.lab import Lab

from bench.number import Number, Result
from bench.watching import dns_watch
from bench.world import SETTING, prepared, world

HELP_ASKED = 0.3
"""Seconds."""

HELP_RUNS, UP_RUNS = 20, 8
"""Processes started."""

LIMIT = 30.0
"""Seconds after which a daemon counts as stuck."""


def measure_help() -> Result:
    """Seconds from the start of ``homing --help`` to its end."""
    argv = [str(Path(sys.executable).with_name("homing")), "--help"]
    runs: list[float] = []
    for _ in range(HELP_RUNS + 1):
        began = time.monotonic()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        runs.append(time.monotonic() - began)
    setting = "the installed command; a first run, which fills the file cache, is left out"
    return Result("help", setting, (Number("homing --help", "s", tuple(runs[1:]), HELP_ASKED),))


def measure_up() -> Result:
    """Seconds from the start of ``homing up`` to the first DNS answer, without and with a state from before."""
    first: list[float] = []
    again: list[float] = []
    addresses: list[float] = []
    with world() as lab, prepared(lab) as homing:
        for _ in range(UP_RUNS):
            shutil.rmtree(homing.state, ignore_errors=True)
            answer, address = _up(lab, homing)
            first.append(answer)
            addresses.append(address)
            again.append(_up(lab, homing)[0])
    return Result(
        "up",
        f"{SETTING}; five names at five providers",
        (
            Number("first DNS answer, no state yet", "s", tuple(first)),
            Number("WAN address in the own zone, no state yet", "s", tuple(addresses)),
            Number("first DNS answer, with the last good zone", "s", tuple(again)),
        ),
    )


def _up(lab: Lab, homing: Homing) -> tuple[float, float]:
    name, wanted = homing.names["zone"], frozenset({lab.wan_ipv4, lab.home_ipv6})
    with dns_watch(lab, "home", "127.0.0.1", DNS_PORT, name, every=0.002) as watch:
        time.sleep(0.3)  # the watcher is up before what it watches
        began = time.time()
        with (homing.folder / "homing.log").open("ab") as log:
            homing._process = lab.popen("home", homing._command("up"), stdout=log, stderr=log)
        try:
            took = watch.first(LIMIT) - began, watch.holds(wanted, LIMIT) - began
        except TimeoutError as error:
            raise RuntimeError(f"{error}; the daemon said: {homing.log[-2000:]}") from None
    homing.stop()
    return took
