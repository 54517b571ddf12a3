"""The nodes of a cluster as a zone, beside Knot with the same records and the Go node DNS where its binary is given.

    python -m bench.nodes [--node-dns PROGRAM] [--rounds 7] [--seconds 1] [--json FILE]

All read one real API server on this machine. The exit status is 1 when a number is missed, and 2 when nothing can be
measured here.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import dns.query
from tests.cluster.control_plane import ControlPlane
from tests.cluster.nodes import create_nodes, node
from tests.cluster.prepare import prepare
from tests.scale.crowd import AREAS, IPS, at_once
from tests.scale.messages import A, make_query, read_answer

import dns.zone
from bench.dns import judge, loads
from bench.dns.loads import LOADS, Round
from bench.dns.programs import CannotMeasure, compiled, two_cores, versions
from bench.dns.run import ATTEMPTS
from bench.dns.servers import BUILT_IN, Running, Server, running
from bench.dns.soak import pss
from bench.dns.zone import ORIGIN, address
from bench.number import machine, write
from homing import __version__

RESULTS = Path(__file__).parent / "results" / "nodes.json"

COUNTS = (10, 5000)
"""Nodes, each in an area of its own."""

OF_KNOT = {"hot": 1.1, "resolver": 1.5}
"""What Homing may take of Knot's processor time for an answer; for what resolvers send it is that of bench.dns."""

CHANGE_P99, CHANGES, CHANGE_ROUNDS = 10.0, 200, 3
"""Milliseconds; how many nodes change one after the other in a round, and the rounds."""

ASKED_AGAIN = 0.0005
"""Seconds between an old answer and the next question: one who asks without a pause takes a core of two."""

START, STARTS = 1.0, 7
"""Seconds, and how often it is started."""

MEMORY = 150.0
"""MB of PSS of all processes."""

WORKERS = 2
"""Homing's processes that answer, where it is not measured on one core."""

NEVER = 100_000.0
"""Seconds: the grace period of nodes that nobody keeps alive here."""

TTL = 30

SETTING = (
    "A real API server with etcd and the controllers on the same machine; nodes of 1 kB, each in an area of its own, "
    "with an IPv4 address, every fiftieth with an IPv6 address too. Processor time: one worker, all threads of a "
    "server on one core, the load from another with {window} queries under way, each answer checked; Knot has the "
    "zone as Homing transfers it; ratios are medians of the ratios of each round. API write to answer: from the API "
    "server's answer to a PATCH of node-ips until the first answer with the new address, asked for half a millisecond "
    "after each answer before, {changes} nodes one after the other in each round; p99 of all rounds is judged. Start: "
    "from exec to the first right answer, no state from before; the median is judged. Memory: PSS of all processes, "
    "{workers} workers, after a second of each load"
)


def main() -> int:
    """Measure, tell, keep."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    given = _arguments()
    try:
        cores = two_cores()
        with tempfile.TemporaryDirectory(prefix="homing-bench-") as folder:
            found = Bench(Path(folder), cores, given)
            found.measure()
    except CannotMeasure as missing:
        sys.stderr.write(f"bench: {missing}\n")
        return 2
    setting = SETTING.format(window=given.window, changes=CHANGES, workers=WORKERS)
    tables = "\n\n".join((judge.verdicts(found.rows), judge.costs(found.rounds), found.beside))
    print(tables)
    kept = {
        "benchmark": "nodes",
        "setting": setting,
        "homing": __version__,
        "peers": {name: version for name, version in versions().items() if name == "Knot"},
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "load after": round(os.getloadavg()[0], 2)},
        "seconds": given.seconds,
        "asked": [row.as_json for row in found.rows],
        "beside": found.values,
        "rounds": judge.as_json(found.rounds),
    }
    write(given.json, kept)
    given.json.with_suffix(".md").write_text(f"# The nodes of a cluster as a zone\n\n{tables}\n\n{setting}.\n")
    wrong = sum(one.wrong for servers in found.rounds.values() for items in servers.values() for one in items)
    return 0 if all(row.met for row in found.rows) and not wrong else 1


class Bench:
    """One run: a control plane that gets its nodes in two steps, and what is measured after each."""

    def __init__(self, folder: Path, cores: tuple[int, int], given: argparse.Namespace) -> None:
        self.rows: list[judge.Row] = []
        self.rounds: dict[str, dict[str, list[Round]]] = {}
        self.values: dict[str, dict[str, float]] = {}
        """What Homing and the Go node DNS did alone, by what it is and by server."""
        self._folder, self._cores, self._given = folder, cores, given
        self._load = compiled("load", folder)

    def measure(self) -> None:
        """All of it."""
        with ControlPlane(self._folder / "plane", grace_period=NEVER) as plane:
            prepare(plane)
            there = 0
            for count in COUNTS:
                create_nodes(plane.admin, [_node(number) for number in range(there, count)])
                there = count
                self._costs(plane, count)
            for reader in self._readers(plane):
                self._changes(plane, reader)
            for reader in self._readers(plane):
                self._starts_and_memory(reader, "each in an area of its own", f"a{_LAST}", {_LAST})
            at_once(lambda number: _annotate(plane, number, AREAS, f"twenty-{number % _AREAS}"), range(1, COUNTS[-1]))
            for reader in self._readers(plane)[:1]:  # the Go node DNS cuts twenty addresses off over UDP
                members = set(range(_LAST % _AREAS, COUNTS[-1], _AREAS))
                self._starts_and_memory(reader, "in areas of twenty", f"twenty-{_LAST % _AREAS}", members)

    def _readers(self, plane: ControlPlane, *, workers: int = WORKERS) -> list[Server]:
        """Who reads the cluster."""
        given = self._given.node_dns
        return [_homing(plane, workers), *([_node_dns(plane, given)] if given else [])]

    def _costs(self, plane: ControlPlane, count: int) -> None:
        folder = self._folder / f"costs-{count}"
        folder.mkdir()
        with ExitStack() as stack:

            def start(server: Server, zone: Path = folder) -> Running:
                return stack.enter_context(running(server, folder, zone, self._cores[0]))

            first, *others = (start(server) for server in self._readers(plane, workers=1))
            servers = [first, start(BUILT_IN["knot"], _transferred(first, folder)), *others]
            for load in (one for one in LOADS if one.name in OF_KNOT):
                kind = f"{count:,} nodes, {load.name}"
                self.rounds[kind] = {server.name: [] for server in servers}
                for _ in range(self._given.rounds):
                    for server in servers:
                        self.rounds[kind][server.name].append(self._round(load, server, count))
        for name, asked in OF_KNOT.items():
            self.rows += judge.ratio(self.rounds, f"{count:,} nodes, {name}", "Homing", "Knot", asked)

    def _round(self, load: loads.Load, server: Running, count: int) -> Round:
        given = self._given
        for _ in range(ATTEMPTS):
            one = loads.run(
                self._load, load, server, seconds=given.seconds, window=given.window, cores=self._cores, names=count
            )
            if one.busy >= judge.ON_CORE:
                break
        _tell(f"{count} nodes, {load.name}, {server.name}: {one.microseconds:.2f} µs, busy {one.busy:.0%} {one.why}")
        return one

    def _changes(self, plane: ControlPlane, server: Server) -> None:
        """From an acknowledged write to the first answer that shows it."""
        with self._serving(server, "changes") as serving:
            rounds: list[list[float]] = []
            for turn in range(CHANGE_ROUNDS):
                rounds.append([])
                for number in range(0, 20 * CHANGES, 20):
                    new = IPv4Address(int(IPv4Address("203.0.113.0")) + (number // 20 + turn * 7) % 251)
                    query = Query(serving.port, f"a{number}")
                    _annotate(plane, number, IPS, str(new))
                    acked = time.monotonic()
                    query.until({new.packed}, pause=ASKED_AGAIN)
                    rounds[-1].append((time.monotonic() - acked) * 1000)
                    query.close()
                middle = statistics.median(rounds[-1])
                _tell(f"{server.name}: API write to answer p50 {middle:.2f} ms, p99 {_p99(rounds[-1]):.2f} ms")
        waits = [each for one in rounds for each in one]
        found = tuple(_p99(one) for one in rounds)
        self._row(server, judge.Row(f"API write to answer, {_MANY}, p99", "ms", CHANGE_P99, found, _p99(waits)))

    def _starts_and_memory(self, server: Server, how: str, label: str, members: set[int]) -> None:
        """From exec to the first right answer, again and again; then memory."""
        took: list[float] = []
        right = {address(number).packed for number in members}
        for number in range(STARTS):
            began = time.monotonic()
            with self._serving(server, f"start-{number}-{label}") as serving:
                query = Query(serving.port, label)
                query.until(right, pause=0.002)
                took.append(time.monotonic() - began)
                query.close()
                if number + 1 == STARTS:
                    for load in LOADS[:3]:
                        loads.run(self._load, load, serving, seconds=1, window=100, cores=self._cores)
                    used = pss(serving)
        _tell(f"{server.name}, {how}: start {', '.join(f'{each:.2f}' for each in took)} s, memory {used:.1f} MB")
        many = f"{COUNTS[-1]:,} small nodes, {how}"
        self._row(
            server, judge.Row(f"start to first right answer, {many}", "s", START, tuple(took), statistics.median(took))
        )
        self._row(server, judge.Row(f"memory, {many}", "MB", MEMORY, (used,), used))

    def _row(self, server: Server, row: judge.Row) -> None:
        """Homing is judged by it, the other stands beside."""
        self.values.setdefault(f"{row.what}, {row.unit}", {})[server.name] = judge.rounded(row.judged)
        self.rows += [row] if server.name == "Homing" else []

    @property
    def beside(self) -> str:
        """What stands side by side, as a Markdown table."""
        names = list(dict.fromkeys(name for found in self.values.values() for name in found))
        lines = [
            (what, *(f"{found[name]:.4g}" if name in found else "" for name in names))
            for what, found in self.values.items()
        ]
        return judge.markdown([("number", *names), *lines])

    @contextmanager
    def _serving(self, server: Server, name: str) -> Iterator[Running]:
        """A server on whatever core, with a state of its own."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        with running(server, folder, folder, None) as serving:
            yield serving


_MANY = f"{COUNTS[-1]:,} small nodes"
_LAST, _AREAS = COUNTS[-1] - 1, COUNTS[-1] // 20


class Query:
    """A question for an address, asked again as soon as it was answered otherwise."""

    def __init__(self, port: int, label: str) -> None:
        self._query = make_query(f"{label}.{ORIGIN}", A, edns=False)
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(LIMIT)

    def until(self, right: set[bytes], *, pause: float = 0.0) -> None:
        """Ask until these are the addresses, with so many seconds between. Raises CannotMeasure."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            self._socket.send(self._query)
            if read_answer(self._query, self._socket.recv(4096), TTL).addresses == right:
                return
            time.sleep(pause)
        raise CannotMeasure("an address was never answered")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


LIMIT = 20.0
"""Seconds until a change counts as never seen."""


def _homing(plane: ControlPlane, workers: int) -> Server:
    def command(home: Path, port: int, zone: Path) -> list[str]:
        program = str(Path(sys.executable).with_name("homing"))
        serve = [program, "dns", "--kubeconfig", str(plane.kubeconfig()), "--state", str(home / "state")]
        return [*serve, *_apex(), "--port", str(port), "--workers", str(workers), "--transfer", "127.0.0.1"]

    return Server("Homing", command)


def _node_dns(plane: ControlPlane, program: str) -> Server:
    def command(home: Path, port: int, zone: Path) -> list[str]:
        where = ["--kubeconfig", str(plane.kubeconfig()), "--bind", "127.0.0.1", "--port", str(port)]
        return [program, *where, *_apex()]

    return Server("node DNS", command, {"GOMAXPROCS": "1"})


def _apex() -> list[str]:
    return ["--zone", ORIGIN, "--soa-ns", f"ns1.{ORIGIN}:192.0.2.53", "--soa-email", f"admin@{ORIGIN}"]


def _transferred(server: Running, folder: Path) -> Path:
    """The zone of a server as a master file."""
    zone, file = dns.zone.Zone(ORIGIN), folder / "transferred.zone"
    dns.query.inbound_xfr("127.0.0.1", zone, port=server.port, timeout=LIMIT)
    zone.to_file(str(file), relativize=False)
    return file


def _node(number: int) -> dict[str, Any]:
    ips = f"{address(number)},2001:db8::{number:x}" if number % 50 == 0 else str(address(number))
    return node(f"n{number}", annotations={AREAS: f"a{number}", IPS: ips})


def _annotate(plane: ControlPlane, number: int, key: str, text: str) -> None:
    body = {"metadata": {"annotations": {key: text}}}
    plane.admin.request("PATCH", f"/api/v1/nodes/n{number}", body, "application/merge-patch+json")


def _p99(waits: Sequence[float]) -> float:
    return sorted(waits)[int(0.99 * (len(waits) - 1))]


def _tell(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.nodes", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--node-dns", metavar="PROGRAM", help="the Go node DNS too, by its binary")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each server and load (default: 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured seconds of a round (default: 1)")
    parser.add_argument("--window", type=int, default=100, help="queries under way at once (default: 100)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where to keep it; .md goes beside")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
