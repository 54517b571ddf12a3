"""The operator with 1,000 Domains and the agent, on a real API server: latency, failover, and what rest costs."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.app.running import HOME, serving
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import Cluster
from tests.cluster.nodes import create_nodes, node
from tests.cluster.prepare import prepare
from tests.dns_servers import KEY, KEY_NAME, updatable
from tests.operator.running import DOMAINS, PASSWORD, PROVIDERS, SITES, Kube, Process
from tests.waiting import until

from bench.number import Number, Result
from bench.rest import cpu_seconds, memory
from homing.standins.internet import StandInInternet

COUNT = 1000
"""Domains: half of them at a dyndns2 service, half at Knot, where drift is looked for."""

CHANGES = 200
"""Specs that are changed, one after the other."""

LOSSES = 3
"""Leaders that are killed."""

LEASE = 15.0
"""Seconds of the Lease, the default."""

SETTLE, WINDOW, WINDOWS = 20.0, 60.0, 6
"""Seconds until all is at rest, seconds of a measurement, and how many. Together they see each Domain's interval."""

NAMESPACE = "bench"


def measure() -> Result:
    """All numbers in one cluster."""
    with _world() as (kube, world, folder):
        process = _operator(kube, folder)
        try:
            _create(kube, world)
            until(lambda: _ready(kube) == COUNT, 300, "all Domains Ready")
            with _agent(kube, folder) as agent, ThreadPoolExecutor(2) as beside:
                time.sleep(SETTLE)
                rests = (
                    beside.submit(_at_rest, "operator, 1,000 Domains", process, 150.0, 2.0),
                    beside.submit(_at_rest, "agent that detects", agent, 60.0, 0.3),
                )
                rest = [number for one in rests for number in one.result()]
            latency = _latency(kube, world)
            losses = _losses(kube, world, folder, process)
        finally:
            process.kill()
    setting = f"{COUNT} Domains, half at a dyndns2 service, half at Knot; default intervals; Lease of {LEASE:g} s"
    return Result("cluster", setting, (latency, losses, *rest))


@contextlib.contextmanager
def _world() -> Iterator[tuple[Kube, StandInInternet, Path]]:
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        plane = stack.enter_context(ControlPlane(folder / "plane"))
        prepare(plane)
        plane.admin.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        hosts = [f"n{number}.example.de" for number in range(COUNT)]
        made = StandInInternet(
            HOME,
            strato_hosts=dict.fromkeys(hosts, "all"),
            strato_passwords={"all": PASSWORD},
            serve_ipv6=False,
        )
        world = stack.enter_context(serving(made))
        (folder / "knot").mkdir()
        knot = stack.enter_context(updatable("knot", folder / "knot"))
        kube = Kube(Cluster(plane, NAMESPACE))
        kube.site(world)
        kube.patch(SITES, "default", {"spec": {"detect": {"probeIntervalSeconds": 15}}})
        kube.secret("password", password=PASSWORD)
        kube.secret("tsig", key=KEY)
        dyndns = {"dyndns2": {"server": world.strato_url, "user": "all"}, "secretRef": {"name": "password"}}
        kube.put(PROVIDERS, "Provider", "dyndns2", spec=dyndns)
        rfc2136 = {"rfc2136": {"server": knot.server, "tsigKeyName": KEY_NAME, "zone": "example.net"}}
        kube.put(PROVIDERS, "Provider", "knot", spec={**rfc2136, "secretRef": {"name": "tsig"}})
        yield kube, world, folder


def _operator(kube: Kube, folder: Path) -> Process:
    return Process(folder / "operators", kube.cluster.kubeconfig(), "operator", "--namespace", NAMESPACE)


def _create(kube: Kube, world: StandInInternet) -> None:
    def create(number: int) -> None:
        if number % 2:
            kube.domain(f"d{number}", f"n{number}.example.de", {"static": [_address(number, 1)]}, "dyndns2")
        else:
            kube.domain(f"d{number}", f"n{number}.example.net", {"static": [_address(number, 1)]}, "knot")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(COUNT)))


def _address(number: int, version: int) -> str:
    return f"203.{version}.{number // 250}.{number % 250 + 1}"


def _ready(kube: Kube) -> int:
    time.sleep(1)
    items = kube.cluster.plane.admin.request("GET", kube.path(DOMAINS))["items"]
    conditions = [item.get("status", {}).get("conditions", []) for item in items]
    return sum(any(one["type"] == "Ready" and one["status"] == "True" for one in found) for found in conditions)


def _latency(kube: Kube, world: StandInInternet) -> Number:
    """From the API server's acceptance of a changed spec to the provider's sight of the request."""
    took: list[float] = []
    for number in range(1, 2 * CHANGES, 2):
        count = len(world.strato.log)
        address = _address(number, 2)
        began = time.time()
        kube.patch(DOMAINS, f"d{number}", {"spec": {"addresses": {"static": [address]}}})
        until(partial(_asked_since, world, count), 10, address)
        took.append(world.strato.log[-1].at - began)
    p99 = statistics.quantiles(took, n=100)[98]
    return Number("spec change to provider call, p99", "ms", (1000 * p99,), 150.0)


def _asked_since(world: StandInInternet, count: int) -> bool:
    return len(world.strato.log) > count


def _is_ready(process: Process) -> bool:
    return process.ask("/readyz")[0] == 200


def _losses(kube: Kube, world: StandInInternet, folder: Path, leader: Process) -> Number:
    """From the end of the leader to the next leader's first request at a provider, for a spec changed meanwhile."""
    took: list[float] = []
    for number in range(LOSSES):
        second = _operator(kube, folder)
        until(partial(_is_ready, second), 30, "the second operator")
        time.sleep(3 + number)  # at another moment between two renewals each time
        count = len(world.strato.log)
        began = time.time()
        leader.kill()
        which = 2 * CHANGES + 2 * number + 1
        kube.patch(DOMAINS, f"d{which}", {"spec": {"addresses": {"static": [_address(which, 3)]}}})
        until(partial(_asked_since, world, count), 60, "the next leader's request")
        took.append(world.strato.log[-1].at - began)
        leader = second
    leader.kill()
    return Number("leader lost to next write", "s", tuple(took), LEASE + 2.0)


@contextlib.contextmanager
def _agent(kube: Kube, folder: Path) -> Iterator[Process]:
    """An agent that detects for Site default."""
    create_nodes(kube.cluster.plane.admin, [node("node-a", internal=["10.0.0.1"])])
    words = ("agent", "--namespace", NAMESPACE, "--node-name", "node-a")
    agent = Process(folder / "agents", kube.cluster.kubeconfig(), *words)
    try:
        until(lambda: kube.status(SITES, "default").get("detectedBy") == "node-a", 60, "the agent's word")
        yield agent
    finally:
        agent.kill()


def _at_rest(what: str, process: Process, megabytes: float, percent: float) -> list[Number]:
    pid = process.process.pid
    began, before = time.monotonic(), cpu_seconds(pid)
    first, held = before, []
    cpu: list[float] = []
    for _ in range(WINDOWS):
        time.sleep(WINDOW)
        now = cpu_seconds(pid)
        cpu.append(100 * (now - before) / WINDOW)
        before = now
        held.append(memory(pid)["Pss"])
    whole = 100 * (before - first) / (time.monotonic() - began)
    return [
        Number(f"{what}: memory (PSS)", "MB", tuple(held), megabytes),
        Number(f"{what}: processor time over {WINDOW * WINDOWS / 60:g} min", "% of a core", (whole,), percent),
        Number(f"{what}: processor time in each minute", "% of a core", tuple(cpu)),
    ]
