"""Who holds which addresses since when: each provider is watched from where it stands."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from tests.lab.household import DNS_PORT, Homing
from tests.lab.lab import Lab

POLL = 0.02
"""Seconds between two looks at Strato and Gandi, whose logs tell the moment more exactly."""


class DnsWatch:
    """Watches one name at one DNS server from inside a host of the lab."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._seen: list[tuple[float, frozenset[str]]] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            row = json.loads(line)
            with self._news:
                self._seen.append((row["at"], frozenset(row["addresses"])))
                self._news.notify_all()

    def join(self) -> None:
        """Wait until nothing more can come, which is when the watching process has ended."""
        self._reader.join()

    def first(self, limit: float) -> float:
        """When the first answer came (Unix seconds). Raises TimeoutError."""
        with self._news:
            if not self._news.wait_for(lambda: self._seen, limit):
                raise TimeoutError("no answer came")
            return self._seen[0][0]

    def holds(self, addresses: frozenset[str], limit: float) -> float:
        """Since when these addresses are answered, waiting for it at most ``limit`` seconds. Raises TimeoutError."""
        with self._news:
            if not self._news.wait_for(lambda: bool(self._seen) and self._seen[-1][1] == addresses, limit):
                last = self._seen[-1] if self._seen else None
                raise TimeoutError(f"not answered: {sorted(addresses)}; last: {last}")
            return self._seen[-1][0]


@contextmanager
def dns_watch(lab: Lab, host: str, server: str, port: int, name: str, *, every: float = 0.010) -> Iterator[DnsWatch]:
    """Watch a name while entered."""
    child = str(Path(__file__).with_name("watch.py"))
    argv = [sys.executable, "-I", child, server, str(port), name, str(every * 1000)]
    with lab.popen(host, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        watch = DnsWatch(process)
        try:
            yield watch
        finally:
            assert process.stdin is not None
            process.stdin.close()
            watch.join()


class Watchers:
    """Every place a household publishes to."""

    def __init__(self, homing: Homing, dns: dict[str, DnsWatch]) -> None:
        self._homing = homing
        self._dns = dns

    def hold(self, addresses: frozenset[str], began: float, limit: float) -> dict[str, float]:
        """Seconds from ``began`` (Unix) until each provider holds these addresses. Raises TimeoutError."""
        deadline = time.time() + limit
        moments = {name: self._moment(name, addresses, began, deadline) for name in ("strato", "gandi")}
        for name, watch in self._dns.items():
            moments[name] = watch.holds(addresses, max(0.0, deadline - time.time()))
        return {name: at - began for name, at in moments.items()}

    def _moment(self, name: str, addresses: frozenset[str], began: float, deadline: float) -> float:
        while self._homing.published(name) != addresses:
            if time.time() > deadline:
                raise TimeoutError(f"{name} holds {self._homing.published(name)}, not {sorted(addresses)}")
            time.sleep(POLL)
        lab = self._homing.lab
        if name == "strato":
            done = [row["at"] for row in lab.strato()["log"] if row["code"].startswith(("good", "nochg"))]
        else:
            done = [row["at"] for row in lab.gandi_log() if row["method"] != "GET" and row["status"] < 300]
        if not done or done[-1] < began:
            raise RuntimeError(f"{name} held the new addresses before anything changed")
        return float(done[-1])


@contextmanager
def watchers(homing: Homing) -> Iterator[Watchers]:
    """Watch all providers of a household while entered."""
    lab, names = homing.lab, homing.names
    with ExitStack() as stack:
        dns = {
            "knot": dns_watch(lab, "internet", lab.knot.ipv4, 53, names["knot"]),
            "bind": dns_watch(lab, "internet", lab.bind.ipv4, 53, names["bind"]),
            "zone": dns_watch(lab, "home", "127.0.0.1", DNS_PORT, names["zone"]),
        }
        yield Watchers(homing, {name: stack.enter_context(watch) for name, watch in dns.items()})
