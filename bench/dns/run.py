"""Measures Homing's DNS server beside its peers in one run, prints the tables, and keeps them as JSON and Markdown.

    python -m bench.dns.run [--servers homing,knot] [--loads hot] [--rounds 7] [--seconds 1] [--json FILE]

Every server has one worker and all its threads on the same core; the load comes from another core, and the rounds of
the servers alternate. The exit status is 1 when a number is missed, and 2 when nothing can be measured here.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.dns import alone, judge, loads
from bench.dns.loads import LOADS, Load, Round
from bench.dns.nodes import node_dns
from bench.dns.programs import CannotMeasure, compiled, two_cores, versions
from bench.dns.servers import BUILT_IN, ECHO, Running, Server, other, running
from bench.dns.zone import NAMES, master_file
from bench.number import machine, write
from homing import __version__

RESULTS = Path(__file__).parents[1] / "results" / "dns.json"

ATTEMPTS = 4
"""How often a round is tried in which the server did not have its core for itself; the last one counts."""

SETTING = (
    "All servers at once, one worker each, all their threads on one core, of which the one that is asked has all; the "
    "load from another core keeps {window} queries under way and checks each answer; the same {names} names from the "
    "same master file; cookies answered by Homing, Knot, NSD and BIND; no rate limits, no query logs, no cache plugin. "
    "Processor time is that of all the server's threads (schedstat) over the measured seconds. Ratios are medians of "
    "the ratios of each round. A round in which other programs took over 20 % of the server's core is repeated"
)


def main() -> int:
    """Measure what was asked for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    given = _arguments()
    try:
        cores = two_cores()
        servers = [*(BUILT_IN[name] for name in given.servers), *map(other, given.other)]
        servers += [node_dns(given.node_dns)] if given.node_dns else []
        chosen = [load for load in LOADS if load.name in given.loads]
        with tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
            rounds = measure(servers, chosen, given, Path(folder), cores)
            found = [*judge.rows(rounds, given.subject), *_alone(given, Path(folder), cores)]
    except CannotMeasure as missing:
        sys.stderr.write(f"bench: {missing}\n")
        return 2
    tables = "\n\n".join(filter(None, (judge.verdicts(found), judge.costs(rounds), judge.waits(rounds))))
    print(tables)
    write(given.json, _as_json(rounds, found, given))
    setting = SETTING.format(window=given.window, names=NAMES)
    given.json.with_suffix(".md").write_text(f"# The DNS server beside its peers\n\n{tables}\n\n{setting}.\n")
    wrong = sum(one.wrong for servers in rounds.values() for items in servers.values() for one in items)
    return 0 if all(row.met for row in found) and not wrong else 1


def measure(
    servers: Sequence[Server], chosen: Sequence[Load], given: argparse.Namespace, folder: Path, cores: tuple[int, int]
) -> dict[str, dict[str, list[Round]]]:
    """All rounds of all loads, by load and server."""
    program = compiled("load", folder)
    zone = folder / "bench.test.zone"
    zone.write_text(master_file())
    found: dict[str, dict[str, list[Round]]] = {}
    with ExitStack() as stack:
        started = [stack.enter_context(running(server, folder, zone, cores[0])) for server in servers]
        for load in chosen:
            asked = [server for server in started if load.name == "hot" or server.name != ECHO]
            found[load.name] = {server.name: [] for server in asked}
            for number in range(given.rounds):
                for server in asked:
                    for _ in range(ATTEMPTS):
                        one = loads.run(program, load, server, seconds=given.seconds, window=given.window, cores=cores)
                        if one.busy >= judge.ON_CORE:
                            break
                    found[load.name][server.name].append(one)
                    _tell(load, number, server, one)
    return found


def _alone(given: argparse.Namespace, folder: Path, cores: tuple[int, int]) -> list[judge.Row]:
    """The lines about Homing alone that were asked for."""
    found: list[judge.Row] = []
    if "homing" not in given.servers:
        return found
    if "change" in given.loads:
        found.append(alone.change(folder, cores, rounds=3))
    if "memory" in given.loads:
        found.append(alone.memory(str(folder / "load"), folder / "memory", folder / "bench.test.zone", cores))
    return found


def _tell(load: Load, number: int, server: Running, one: Round) -> None:
    sys.stderr.write(
        f"bench: {load.name} {number + 1} {server.name}: {one.microseconds:.2f} µs, {one.per_second:,.0f} answers/s, "
        f"busy {one.busy:.0%}, lost {one.lost:.3%}, p99 {one.p99:.2f} ms"
        f"{f', {one.wrong} WRONG: {one.why}' if one.wrong else ''}\n"
    )


def _as_json(rounds: judge.Rounds, found: Sequence[judge.Row], given: argparse.Namespace) -> dict[str, Any]:
    return {
        "benchmark": "dns",
        "setting": SETTING.format(window=given.window, names=NAMES),
        "loads": {load.name: load.what for load in LOADS if load.name in rounds},
        "homing": __version__,
        "peers": versions(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "load after": round(os.getloadavg()[0], 2)},
        "seconds": given.seconds,
        "asked": [row.as_json for row in found],
        "rounds": judge.as_json(rounds),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.dns.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--servers", type=_one_of(BUILT_IN), default=list(BUILT_IN), metavar="NAME,...",
                        help=f"of {', '.join(BUILT_IN)} (default: all)")  # fmt: skip
    kinds = [*(load.name for load in LOADS), "change", "memory"]
    parser.add_argument("--loads", type=_one_of(kinds), default=kinds, metavar="NAME,...",
                        help=f"of {', '.join(kinds)} (default: all)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each server and load (default: 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured seconds of a round (default: 1)")
    parser.add_argument("--window", type=int, default=100, help="queries under way at once (default: 100)")
    parser.add_argument("--other", action="append", default=[], metavar="NAME=COMMAND",
                        help="one more server; {port} and {zone} in the command are replaced")  # fmt: skip
    parser.add_argument("--node-dns", metavar="PROGRAM",
                        help="the Go node DNS too, by its binary")  # fmt: skip
    parser.add_argument("--subject", default="Homing", help="the server that is judged (default: Homing)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where to keep it; .md goes beside")
    return parser.parse_args()


def _one_of(known: Sequence[str] | dict[str, Any]) -> Any:
    def names(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {name!r}; there are {', '.join(known)}")
        return found

    return names


if __name__ == "__main__":
    sys.exit(main())
