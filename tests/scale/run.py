"""``homing dns`` on a cluster that never rests: everything it answers meanwhile, judged."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from bench.rest import memory

from tests.app.running import HOMING, environment
from tests.app.test_dns_command import Server
from tests.cluster.control_plane import ControlPlane
from tests.cluster.nodes import Kwok
from tests.cluster.prepare import prepare
from tests.scale.asking import Asker, Question, Seen
from tests.scale.churn import Churn
from tests.scale.crowd import Crowd
from tests.scale.messages import AAAA, A, Answer, read_answer
from tests.scale.oracle import LAG_LIMIT, Oracle, State
from tests.scale.stalls import Stalls
from tests.scale.watching import Watcher
from tests.waiting import until

ZONE = "nodes.test"
TTL = 30

NEVER = 100_000.0
"""Seconds: a grace period in which no node dies of itself."""

LOOK_BACK = 3.0
"""Seconds before a question in which a machine without a processor to give excuses a late answer, by so much."""

LEASE = 400
"""Seconds of the nodes' Leases: kwok renews 5,000 of them 50 times a second."""


@contextmanager
def cluster(folder: Path, crowd: Crowd, state: State) -> Iterator[ControlPlane]:
    """A control plane for the crowd alone, where kwok keeps the nodes' Leases and lets their readiness be."""
    with ControlPlane(folder / "plane", grace_period=NEVER) as plane:
        prepare(plane)
        kwok = Kwok(plane, "crowd", lease_duration=LEASE, revives=False)
        crowd.labels = kwok.labels
        crowd.create(plane.admin, state)
        with kwok:
            yield plane


def node_dns(plane: ControlPlane, folder: Path, *words: str, zone: str = ZONE, workers: int = 2) -> Server:
    """``homing dns`` for the nodes and Services of a cluster, told by the flags of the Go node DNS."""
    state = folder / "state"
    state.mkdir(parents=True, exist_ok=True)
    argv = [*HOMING, "dns", "--kubeconfig", str(plane.kubeconfig()), "--state", str(state)]
    argv += ["--zone", zone, "--soa-ns", f"ns1.{zone}:192.0.2.53", "--soa-email", f"admin@{zone}", "--ttl", str(TTL)]
    argv += ["--bind", "127.0.0.1", "--port", "0", "--workers", str(workers), "--web", "127.0.0.1:0"]
    return Server([*argv, *words], folder, environment(folder))


@dataclass
class Found:
    """What came of it; times are seconds."""

    seconds: float
    changes: int
    node_changes: int
    asked: int = 0
    truncated: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """Of the answers that were over already, how long at least."""
    waits: list[float] = field(default_factory=list)
    load: dict[str, float] = field(default_factory=dict)
    """What dnsperf said: queries, lost ones, and those that were answered by an error."""
    stalled: float = 0.0
    """Seconds without a processor, of which a little is noted even at rest."""
    memory: tuple[float, float] = (0.0, 0.0)
    """MB of PSS of all processes, before and after."""

    @property
    def faults(self) -> list[str]:
        """What must not be."""
        found = self.wrong[:10]
        found += [f"{self.lost} queries lost"] if self.lost else []
        found += [f"dnsperf: {self.load}"] if self.load["lost"] or self.load["errors"] else []
        return found

    @property
    def told(self) -> str:
        """All of it in a paragraph."""
        late = sorted(self.late)
        return (
            f"{self.node_changes:,} changes of nodes in {self.seconds:.0f} s, {self.changes - self.node_changes:,} of "
            f"Services; {self.asked:,} answers judged: {len(self.wrong)} wrong, {self.lost} lost, {self.truncated} "
            f"truncated, {len(late)} of a view that was over, for {_share(late, 0.99) * 1000:.1f} ms at p99 and "
            f"{_share(late, 1) * 1000:.1f} ms at most; answers within {_share(self.waits, 0.99) * 1000:.1f} ms at p99; "
            f"dnsperf: {self.load}; no processor for {self.stalled:.1f} s; "
            f"memory {self.memory[0]:.1f} MB, then {self.memory[1]:.1f} MB"
        )

    def as_json(self) -> dict[str, object]:
        """For the results."""
        late = sorted(self.late)
        return {
            "seconds": round(self.seconds, 1),
            "changes of nodes": self.node_changes,
            "changes of Services and slices": self.changes - self.node_changes,
            "answers judged": self.asked,
            "wrong": len(self.wrong),
            "lost": self.lost,
            "truncated": self.truncated,
            "of a view that was over": len(late),
            "over for, ms": {name: round(_share(late, at) * 1000, 2) for name, at in _SHARES.items()},
            "waited, ms": {name: round(_share(self.waits, at) * 1000, 2) for name, at in _SHARES.items()},
            "dnsperf": self.load,
            "no processor, s": round(self.stalled, 2),
            "memory MB": [round(each, 1) for each in self.memory],
        }


_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def _share(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0


@dataclass(frozen=True)
class Rates:
    """What happens in a second: changes of nodes, questions that are judged, questions of dnsperf."""

    changes: float = 100.0
    questions: float = 1000.0
    load: float = 2000.0


QUIET, USUAL = Rates(100.0, 500.0, 500.0), Rates()


def churn(folder: Path, crowd: Crowd, *, seconds: float, rates: Rates = USUAL, lag_limit: float = LAG_LIMIT) -> Found:
    """Make the cluster, start the server, then change and ask for so many seconds."""
    state = crowd.state(Random(1))
    with cluster(folder, crowd, state) as plane, node_dns(plane, folder / "server") as server:
        until(lambda: server.values(ZONE, "SOA") != {"SERVFAIL"}, 30, "the first view")
        changing = Churn(plane.admin, crowd, state, rate=rates.changes)
        return ask(folder, changing, server.dns[1], server.process.pid, seconds, rates, lag_limit)


def ask(
    folder: Path, churn: Churn, port: int, pid: int, seconds: float, rates: Rates, lag_limit: float = LAG_LIMIT
) -> Found:
    """Change the cluster for so many seconds, ask the server at the port meanwhile, and judge what it answered."""
    names, random = churn.crowd.names(churn.first), Random(2)

    def choose() -> Question:
        touched = churn.touched
        if touched and random.random() < 0.5:
            name = touched[random.randrange(len(touched))]
            name = f"v{random.choice('46')}.{name}" if random.random() < 0.2 else name
        else:
            name = random.choice(names)
        return name, AAAA if random.random() < 0.4 else A

    before = memory(pid)["Pss"]
    with (
        Stalls() as stalls,
        Watcher(churn.api) as watcher,
        Asker(port, ZONE, choose, rates.questions) as asker,
        _dnsperf(folder, port, names, seconds, rates.load) as told,
    ):
        began = time.monotonic()
        with churn:
            time.sleep(seconds)
        took = time.monotonic() - began
        time.sleep(LAG_LIMIT)  # after which only the last views are right
    after = memory(pid)["Pss"]
    found = Found(took, len(churn.changes), churn.node_changes, lost=len(asker.lost), load=told, memory=(before, after))
    changes = [replace(each, acked=max(each.acked, watcher.told.get(each.revision, 0.0))) for each in churn.changes]
    found.stalled = stalls.total
    judge(found, Oracle(churn.first, changes, lag_limit=lag_limit), asker.seen, stalls)
    return found


def judge(found: Found, oracle: Oracle, seen: Sequence[Seen], stalls: Stalls) -> None:
    """Put every answer into its place."""
    answers: dict[tuple[bytes, bytes], Answer] = {}
    for one in seen:
        key = one.query, one.wire
        if (answer := answers.get(key)) is None:
            answer = answers[key] = read_answer(bytes(2) + one.query, bytes(2) + one.wire, TTL)
        found.asked += 1
        found.waits.append(one.end - one.begin)
        if answer.fault:
            found.wrong.append(f"{one.question}: {answer.fault}: {one.wire.hex()}")
        elif answer.is_truncated:
            found.truncated += 1
        else:
            slack = stalls.during(one.begin - LOOK_BACK, one.end)
            verdict = oracle.judge(*one.question, answer, one.begin, one.end, slack=slack)
            if not verdict.right:
                old = f"{verdict.late:.2f} s too old" if verdict.late else "never so"
                found.wrong.append(f"{one.question} at {one.begin:.3f}-{one.end:.3f}: {old}: {answer}")
            elif verdict.late:
                found.late.append(verdict.late)


@contextmanager
def _dnsperf(folder: Path, port: int, names: Sequence[str], seconds: float, rate: float) -> Iterator[dict[str, float]]:
    """dnsperf beside it, for the seconds; what it said is in the dictionary afterwards."""
    told: dict[str, float] = {}
    program = shutil.which("dnsperf")
    assert program is not None, "there is no dnsperf: run tests/install-peers, or install the Debian package dnsperf"
    file = folder / "questions"
    file.write_text("".join(f"{name}.{ZONE} {kind}\n" for name in names for kind in ("A", "AAAA")))
    command = [program, "-s", "127.0.0.1", "-p", str(port), "-d", str(file), "-l", f"{seconds:g}", "-Q", f"{rate:g}"]
    with subprocess.Popen(
        [*command, "-c", "8", "-e"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        try:
            yield told
            said, _ = run.communicate(timeout=PATIENCE)
        finally:
            run.kill()
    codes = dict(re.findall(r"([A-Z]+) (\d+) \(", said.partition("Response codes:")[2].partition("\n")[0]))
    for name, pattern in (("sent", r"Queries sent:\s+(\d+)"), ("lost", r"Queries lost:\s+(\d+)")):
        number = re.search(pattern, said)
        assert number is not None, said
        told[name] = int(number[1])
    told["errors"] = sum(int(count) for code, count in codes.items() if code not in ("NOERROR", "NXDOMAIN"))


PATIENCE = 30.0
"""Seconds that dnsperf may take to end."""
