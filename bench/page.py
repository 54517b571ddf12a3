"""What open pages cost the DNS server: its processor time an answer with 200 live pages, beside none.

    python -m bench.page [--pages 200] [--rounds 9] [--seconds 2] [--json FILE]

Rounds with and without pages take turns, so that what the machine does meanwhile meets both alike; each pair gives a
ratio, and their median is judged. The exit status is 1 when it is missed, and 2 when nothing can be measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

from bench.dns.loads import LOADS, run
from bench.dns.programs import CannotMeasure, compiled, two_cores
from bench.dns.servers import Server, free_port, homing, running
from bench.dns.zone import ORIGIN, master_file
from bench.number import Number, Result, as_json, table, write

RESULTS = Path(__file__).with_name("results") / "page.json"

ASKED = 1.05
"""The median ratio at the most."""

SHARE = 0.05
"""Of a core, at the most."""

SETTLED = 1.5
"""Seconds without a new part after which pages count as open."""

WINDOW = 100
LOAD = LOADS[1]
"""What resolvers send."""


class Pages:
    """Pages that are open, each reading what it is sent; ``parts`` counts what they got."""

    def __init__(self, port: int, count: int) -> None:
        self.parts = 0
        self._port, self._count = port, count
        self._open = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._open.wait(30):
            raise CannotMeasure("the pages do not open")
        got = -1
        while got != self.parts or got < self._count:  # what every page gets at first
            got = self.parts
            time.sleep(SETTLED)
        self.parts = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(30)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._watch())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)

    async def _watch(self) -> None:
        pairs = [await asyncio.open_connection("127.0.0.1", self._port) for _ in range(self._count)]
        for reader, writer in pairs:
            writer.write(f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())
            status = await reader.readuntil(b"\r\n")
            if b" 200 " not in status:
                raise CannotMeasure(f"a page was refused: {status.decode()}")
        self._open.set()
        try:
            await asyncio.gather(*(self._read(reader) for reader, _ in pairs))
        finally:
            for _, writer in pairs:
                writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self.parts += line.startswith(b"event: part")


def _up(home: Path, port: int, zone: Path, web: int) -> list[str]:
    """``homing up``, which answers in the process that serves the page."""
    off = "\n".join(f"{method} = {{ enabled = false }}" for method in ("stun", "http", "whoami", "interface"))
    (home / "homing.toml").write_text(
        f'[detect]\n{off}\n[dns]\nlisten = ["127.0.0.1:{port}"]\nrate_limit = 0\n'
        f'[web]\nlisten = ["127.0.0.1:{web}"]\n[zones."{ORIGIN}"]\nfile = "{zone}"\n'
    )
    program = str(Path(sys.executable).with_name("homing"))
    return [program, "up", "-c", str(home / "homing.toml"), "--state", str(home / "state")]


def _dns(home: Path, port: int, zone: Path, web: int) -> list[str]:
    """``homing dns``, which answers in a worker beside it."""
    return [*homing(1).command(home, port, zone), "--web", f"127.0.0.1:{web}"]


def _processor_time(pid: int) -> float:
    """Seconds that a process has had (schedstat), without its children."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


APART = "homing dns, 1 worker"
"""Answers in another process than the one that serves the page, so that the page's own cost can be told."""

WAYS = {"homing up": _up, APART: _dns}


def measure(name: str, folder: Path, *, pages: int, rounds: int, seconds: float) -> tuple[list[float], list[float]]:
    """The ratio of each pair of rounds, and the share of a core that the pages took of the process that serves them.

    Raises CannotMeasure.
    """
    cores = two_cores()
    folder.mkdir()
    program, zone, web = compiled("load", folder), folder / "bench.test.zone", free_port()
    ratios: list[float] = []
    shares: list[float] = []
    got = 0
    serials = itertools.count(1)

    def change() -> None:
        zone.write_text(master_file().replace("admin 1 ", f"admin {next(serials)} "))

    change()
    server = Server("Homing", lambda home, port, zone: WAYS[name](home, port, zone, web))
    with running(server, folder, zone, cores[0]) as found:

        def cost() -> tuple[float, float]:
            change()  # so that there is something to show; with pages and without
            os.kill(found.process.pid, signal.SIGHUP)
            before, began = _processor_time(found.process.pid), time.monotonic()
            one = run(program, LOAD, found, seconds=seconds, window=WINDOW, cores=(cores[0], cores[1]))
            if one.wrong:
                raise CannotMeasure(f"wrong answers: {one.why}")
            taken = _processor_time(found.process.pid) - before
            return one.microseconds, taken / (time.monotonic() - began)

        cost()
        for _ in range(rounds):
            without, alone = cost()
            with Pages(web, pages) as watching:
                watched, busy = cost()
            ratios.append(watched / without)
            shares.append(busy - alone)
            got += watching.parts
            sys.stderr.write(
                f"page: {name}: {without:.2f} µs an answer, {ratios[-1]:.3f} times that with {pages} pages, "
                f"which got {watching.parts} parts\n"
            )
    if not got:
        raise CannotMeasure("the pages were sent nothing")
    return ratios, shares


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pages", type=int, default=200, help="default: 200")
    parser.add_argument("--rounds", type=int, default=9, help="pairs of rounds (default: 9)")
    parser.add_argument("--seconds", type=float, default=2, help="of each round (default: 2)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the result is kept")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    numbers: list[Number] = []
    try:
        with tempfile.TemporaryDirectory(prefix="homing-page-") as folder:
            for number, way in enumerate(WAYS):
                ratios, shares = measure(
                    way, Path(folder) / str(number), pages=given.pages, rounds=given.rounds, seconds=given.seconds
                )
                name = f"processor time an answer with {given.pages} pages, {way}"
                numbers += [
                    Number(f"{name}, median of {len(ratios)}", "times", (statistics.median(ratios),), ASKED),
                    Number(name, "times", tuple(ratios)),
                ]
                if way == APART:
                    told = f"processor time of the process that serves {given.pages} pages, more than without"
                    numbers.append(Number(f"{told}, median", "cores", (statistics.median(shares),), SHARE))
    except CannotMeasure as reason:
        sys.stderr.write(f"page: {reason}\n")
        return 2
    result = Result("page", f"{LOAD.what}; a change of the zone in each round", tuple(numbers))
    print(table([result]))
    write(given.json, as_json(result, load))
    return 1 if result.missed else 0


if __name__ == "__main__":
    sys.exit(main())
