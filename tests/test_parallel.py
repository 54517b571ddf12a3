"""What lets tests run side by side: turns, ports, patience."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import cast

import pytest

from tests.parallel import TOGETHER, ByFile, turn
from tests.ports import free_ports
from tests.waiting import patience, until


def test_who_is_alone_waits_for_the_others_and_is_waited_for(tmp_path: Path) -> None:
    """Others run together; who comes after one that waits to be alone begins when that one has ended."""
    told: list[str] = []
    ends = {name: threading.Event() for name in ("first", "second", "alone", "late")}

    def run(name: str) -> threading.Thread:
        def body() -> None:
            with turn(tmp_path, alone=name == "alone"):
                told.append(name)
                ends[name].wait(30)
                told.append(f"{name} ended")

        thread = threading.Thread(target=body)
        thread.start()
        return thread

    threads = [run("first")]
    until(lambda: "first" in told, 10)
    threads.append(run("second"))
    until(lambda: "second" in told, 10)
    threads.append(run("alone"))
    until(lambda: waits(tmp_path / "room"), 10)
    threads.append(run("late"))
    until(lambda: waits(tmp_path / "queue"), 10)
    for name in ("first", "second", "alone", "late"):
        ends[name].set()
        until(lambda name=name: f"{name} ended" in told, 10)  # type: ignore[misc]
    for thread in threads:
        thread.join()
    assert told == ["first", "second", "first ended", "second ended", "alone", "alone ended", "late", "late ended"]


def waits(file: Path) -> bool:
    """Whether somebody waits for a lock on a file (proc(5), /proc/locks)."""
    if not Path("/proc/locks").exists():
        pytest.skip("who waits is told by Linux")
    number = file.stat().st_ino
    return any("->" in line and f":{number} " in line for line in Path("/proc/locks").read_text().splitlines())


def test_what_shares_a_thing_of_the_session_is_one_piece_of_work() -> None:
    """All else is a piece by file."""

    def split(nodeid: str) -> str:
        return ByFile._split_scope(cast("ByFile", None), nodeid)

    assert split("tests/node/test_node.py::test_a") == split("tests/node/test_release.py::test_b[x::y]")
    assert split("tests/dns/test_tcp.py::test_a[::1]") == "tests/dns/test_tcp.py"
    assert all(Path(__file__).parents[1].joinpath(file).exists() for files in TOGETHER for file in files)


def test_ports_are_not_those_that_the_system_gives_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker has its own."""
    low = Path("/proc/sys/net/ipv4/ip_local_port_range")
    end = int(low.read_text().split()[0]) if low.exists() else 49152
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    found: list[set[int]] = []
    for worker in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        found.append(set(free_ports(50)))
    assert [len(ports) for ports in found] == [50, 50]
    assert not found[0] & found[1]
    assert max(found[0] | found[1]) < max(end, 15_000)


@pytest.mark.parametrize(("load", "factor"), [(0.0, 1), (1.0, 1), (3.0, 3), (99.0, 10)])
def test_patience_grows_with_the_load_of_each_processor(
    monkeypatch: pytest.MonkeyPatch, load: float, factor: float
) -> None:
    """Up to a bound, and a machine at rest has none to spare."""
    cores = os.cpu_count() or 1
    monkeypatch.setattr(os, "getloadavg", lambda: (load * cores, 0.0, 0.0))
    assert patience() == factor
