"""The election: whatever breaks, never two may write."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from collections.abc import AsyncGenerator
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing.effects.clock import ManualClock, settle
from homing.errors import Conflict, HomingError, Invalid, KubeUnavailable, NotFound, NotLeading
from homing.kube.client import KubeClient
from homing.kube.lease import Election, Lead, Leadership
from homing.kube.objects import Lease
from homing.kube.resource import LEASES


def jump(clock: ManualClock, seconds: float) -> None:
    """Let time pass while nothing runs, as for a process that is stopped."""
    clock._now += seconds
    clock._sleepers = [(max(at, clock._now), order, future) for at, order, future in clock._sleepers]
    heapq.heapify(clock._sleepers)


class Server:
    """One Lease, changed only by whoever knows its version."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.writes = 0

    def read(self) -> Lease:
        if self.lease is None:
            raise NotFound(404, "NotFound", "not found")
        return msgspec.convert(self.lease, Lease)

    def write(self, body: Any, *, new: bool) -> Lease:
        body = msgspec.to_builtins(body)
        if new and self.lease is not None:
            raise Invalid(422, "Invalid", "metadata.resourceVersion: must be specified for an update")
        if not new and self.read().metadata.resource_version != body["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "changed")
        self.version += 1
        self.writes += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.lease = body
        return self.read()

    @property
    def holder(self) -> str:
        return self.read().spec.holder_identity or ""


class Line:
    """A candidate's line to the server: whole, cut before the server, cut after it, or slow."""

    def __init__(self, server: Server, clock: ManualClock) -> None:
        self.server, self.clock = server, clock
        self.state = "whole"
        self.asked = 0

    def fenced(self, _fence: object, *, timeout: float | None = None) -> KubeClient:
        self.timeout = timeout or 5.0
        return cast("KubeClient", self)

    async def _through(self, act: Any) -> Any:
        self.asked += 1
        state = self.state
        if state == "cut":
            await self.clock.sleep(self.timeout)
            raise KubeUnavailable(0, "Timeout", "no answer")
        if state == "slow":
            await self.clock.sleep(self.timeout * 0.9)
        await asyncio.sleep(0)
        done = act()
        if state == "deaf":
            await self.clock.sleep(self.timeout)
            raise KubeUnavailable(0, "Timeout", "no answer")
        if state == "late":
            await self.clock.sleep(self.timeout * 0.9)
        return done

    async def get(self, *_: object) -> Lease:
        return cast("Lease", await self._through(self.server.read))

    async def replace(self, _res: object, _name: str, body: Any, _namespace: str) -> Lease:
        new = isinstance(body["metadata"], dict)  # without a resourceVersion
        return cast("Lease", await self._through(lambda: self.server.write(body, new=new)))


class Candidate:
    """An election with a lead that notes when it runs."""

    def __init__(self, server: Server, clock: ManualClock, identity: str) -> None:
        self.line = Line(server, clock)
        self.annotations: dict[str, str] = {}
        self.election = Election(
            self.line.fenced(None),
            name="homing",
            namespace="web",
            identity=identity,
            clock=clock,
            chance=random.Random(identity),
            annotations=self.annotations,
        )
        self.leaderships: list[Leadership] = []
        self.running = 0
        self.task: asyncio.Task[None] | None = None

    async def lead(self, leadership: Leadership) -> None:
        self.leaderships.append(leadership)
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1

    def start(self, lead: Lead | None = None) -> None:
        self.task = asyncio.create_task(self.election.run(lead or self.lead))

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    @property
    def valid(self) -> bool:
        return any(leadership.valid for leadership in self.leaderships)


@contextlib.asynccontextmanager
async def candidates(*identities: str) -> AsyncGenerator[tuple[Server, ManualClock, list[Candidate]]]:
    """Candidates that run on one server and one clock."""
    server, clock = Server(), ManualClock()
    made = [Candidate(server, clock, identity) for identity in identities]
    for each in made:
        each.start()
        await settle()
    try:
        yield server, clock, made
    finally:
        for each in made:
            each.line.state = "whole"
        stopping = [asyncio.create_task(each.stop()) for each in made]
        await settle()
        await clock.advance(60)
        await asyncio.gather(*stopping)


async def test_one_leads_and_the_other_waits() -> None:
    """The first takes the Lease and renews it; the second knows who leads, and does not."""
    async with candidates("a", "b") as (server, clock, (a, b)):
        for _ in range(30):
            await clock.advance(5)
            assert (a.running, b.running, server.holder) == (1, 0, "a")
        assert a.election.is_leading
        assert not b.election.is_leading
        assert b.election.leader == "a"
        assert len(a.leaderships) == 1
        assert server.read().spec.lease_duration_seconds == 15


async def test_a_leader_tells_where_it_is() -> None:
    """Beside its name, as it is when it renews; the next leader's word takes its place, and nobody's is nothing."""
    async with candidates("a", "b") as (server, clock, (a, b)):
        assert b.election.told("homing.dev/at") == ""
        a.annotations["homing.dev/at"], b.annotations["homing.dev/at"] = "192.0.2.1", "192.0.2.2"
        await clock.advance(5)
        assert b.election.told("homing.dev/at") == "192.0.2.1"
        before = b.election.heard_at
        b.line.state = "cut"
        await a.stop()
        assert server.read().metadata.annotations == {"homing.dev/at": "192.0.2.1"}
        await clock.advance(20)
        assert b.election.heard_at - before < 2
        b.line.state = "whole"
        await clock.advance(20)
        assert b.valid
        assert b.election.told("homing.dev/at") == "192.0.2.2"
        assert a.election.told("homing.dev/at") == ""


async def test_a_leader_that_is_cut_off_stops_before_another_starts() -> None:
    """Its right ends 10 s after its last renewal was sent; the other's begins 15 s after it saw that renewal."""
    async with candidates("a", "b") as (_, clock, (a, b)):
        await clock.advance(20)
        a.line.state = "cut"
        begin = clock.time()
        while a.valid:
            await clock.advance(0.1)
        assert clock.time() - begin <= 10.1
        assert a.running == 0
        assert b.leaderships == []
        with pytest.raises(NotLeading):
            a.leaderships[0].check()
        while not b.valid:
            await clock.advance(0.1)
        assert 12 <= clock.time() - begin <= 17
        assert b.leaderships[0].transitions == a.leaderships[0].transitions + 1
        a.line.state = "whole"
        await clock.advance(30)
        assert (a.running, b.running) == (0, 1)


async def test_a_frozen_leader_that_wakes_may_not_write() -> None:
    """Time passes over the deadline while it does not run; its first act after waking is refused."""
    async with candidates("a") as (_, clock, (a,)):
        await clock.advance(5)
        leadership = a.leaderships[0]
        leadership.check()
        jump(clock, 11)
        with pytest.raises(NotLeading, match="nothing was written"):
            leadership.check()
        await clock.advance(10)
        assert len(a.leaderships) == 2
        assert not leadership.valid
        assert a.leaderships[1].valid


async def test_a_renewal_counts_from_when_it_was_sent() -> None:
    """An answer that takes long has renewed for less long; the answer's own time does not count."""
    async with candidates("a") as (server, clock, (a,)):
        await clock.advance(4)
        a.line.state = "late"
        writes = server.writes
        while server.writes == writes:
            await clock.advance(0.1)
        sent = clock.time()
        await clock.advance(4.6)
        assert sent + 9.8 <= a.leaderships[0].until <= sent + 10.0


async def test_the_lease_is_given_up_at_shutdown() -> None:
    """The next leads within its polling time, and not before ``lead`` of the last has ended."""
    async with candidates("a", "b") as (server, clock, (a, b)):
        await clock.advance(3)
        last_words: list[bool] = []

        await a.stop()
        a.leaderships.clear()

        async def lead(leadership: Leadership) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                last_words.append(leadership.valid)
                last_words.append(server.holder == "a")

        await b.stop()
        a.start(lead)
        await settle()
        await clock.advance(1)
        b.start()
        await clock.advance(3)
        assert server.holder == "a"
        await a.stop()
        assert last_words == [True, True]
        assert server.holder == ""
        await clock.advance(1.1)
        assert b.valid


async def test_a_fault_of_the_leader_ends_its_leadership_and_is_told() -> None:
    """What ``lead`` raises comes out of ``run``, after the Lease was given up."""
    server, clock = Server(), ManualClock()
    a = Candidate(server, clock, "a")

    async def lead(_leadership: Leadership) -> None:
        raise LookupError("a bug")

    a.start(lead)
    assert a.task is not None
    with pytest.raises(LookupError):
        await a.task
    assert server.holder == ""


async def test_a_leader_refused_by_its_own_fence_is_no_fault() -> None:
    """NotLeading out of ``lead`` once the time is up, alone or in a task group, is a loss like any other."""
    server, clock = Server(), ManualClock()
    a = Candidate(server, clock, "a")
    begun: list[Leadership] = []
    woken = asyncio.Event()

    async def lead(leadership: Leadership) -> None:
        begun.append(leadership)
        async with asyncio.TaskGroup() as group:

            async def work() -> None:
                await clock.sleep(1)
                jump(clock, 20)
                leadership.check()

            group.create_task(work())

    a.start(lead)
    await settle()
    jump(clock, 20)
    woken.set()
    await settle()
    woken.clear()
    await clock.advance(3)
    assert len(begun) == 2
    await a.stop()


async def test_a_leader_that_does_not_end_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that cannot be stopped must not run beside the next leader's: ``run`` raises."""
    monkeypatch.setattr("homing.kube.lease.ENDING", 0.05)
    server, clock = Server(), ManualClock()
    a = Candidate(server, clock, "a")
    free = asyncio.Event()

    async def lead(_leadership: Leadership) -> None:
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()

    a.start(lead)
    await settle()
    a.line.state = "cut"
    await clock.advance(30)
    assert a.task is not None
    with pytest.raises(HomingError, match="did not end"):
        await asyncio.wait_for(a.task, 5)
    free.set()
    await settle()


async def test_a_deleted_lease_makes_no_second_leader() -> None:
    """Whoever waits, waits for the leader to make it anew; the leader does, and goes on."""
    async with candidates("a", "b") as (server, clock, (a, b)):
        await clock.advance(4)
        server.lease = None
        await clock.advance(30)
        assert (a.running, b.running, server.holder) == (1, 0, "a")
        assert len(a.leaderships) == 1
        server.lease = None
        a.line.state = "cut"
        while not b.valid:
            await clock.advance(0.1)
            assert not (a.valid and b.valid)


async def test_an_empty_holder_is_taken_over_at_once() -> None:
    """So is a Lease that names this very candidate: an earlier life of it."""
    server, clock = Server(), ManualClock()
    for holder in ("", "a", None):
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3}
        server.lease = {"metadata": {"name": "homing", "resourceVersion": "7"}, "spec": spec}
        a = Candidate(server, clock, "a")
        a.start()
        await settle()
        assert a.valid
        assert a.leaderships[0].transitions == 4
        await a.stop()


async def test_the_longer_promise_of_another_holder_is_kept() -> None:
    """A holder of another version may have promised itself longer; the Lease says so."""
    server, clock = Server(), ManualClock()
    spec = {"holderIdentity": "z", "leaseDurationSeconds": 60, "leaseTransitions": 0}
    server.lease = {"metadata": {"name": "homing", "resourceVersion": "7"}, "spec": spec}
    a = Candidate(server, clock, "a")
    a.start()
    await settle()
    await clock.advance(59)
    assert a.leaderships == []
    await clock.advance(2)
    assert a.valid
    await a.stop()


def test_times_without_room_are_refused() -> None:
    """A deadline not below the lease, or too short for two renewals, is no configuration."""
    line = Line(Server(), ManualClock())
    wrong: list[dict[str, Any]] = [
        {"renew_deadline": 15.0},
        {"retry_period": 5.0},
        {"lease_duration": 9.0, "renew_deadline": 10.0},
        {"lease_duration": 0.0},
    ]
    for times in wrong:
        with pytest.raises(ValueError, match="needed"):
            Election(
                line.fenced(None),
                name="n",
                namespace="w",
                identity="a",
                clock=ManualClock(),
                chance=random.Random(1),
                **times,
            )


STATES = st.sampled_from(["whole", "whole", "cut", "deaf", "slow", "late"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["line", "stop", "start", "delete", "jump"]), st.integers(0, 2), STATES, st.floats(0.1, 14)
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
async def test_never_two_may_write(steps: list[tuple[str, int, str, float]]) -> None:
    """Lines cut before and after the server, slow answers, starts, stops, time that jumps: one at most is valid."""
    async with candidates("a", "b", "c") as (server, clock, all_of_them):
        for act, which, state, seconds in steps:
            each = all_of_them[which]
            assert each.task is not None
            if act == "line":
                each.line.state = state
            elif act == "stop" and not each.task.done():
                stopping = asyncio.create_task(each.stop())
                await clock.advance(30)
                await stopping
            elif act == "start" and each.task.done():
                each.start()
            elif act == "delete" and all(
                not one.task.done() and one.election.leader for one in all_of_them if one.task
            ):
                server.lease = None
            elif act == "jump":
                jump(clock, seconds)
            end = clock.time() + seconds
            while clock.time() < end:
                await clock.advance(0.5)
                assert sum(one.valid for one in all_of_them) <= 1
        for each in all_of_them:
            each.line.state = "whole"
        await clock.advance(60)
        standing = [one for one in all_of_them if one.task and not one.task.done()]
        assert sum(one.valid for one in all_of_them) == min(1, len(standing))


def test_the_real_kind_is_used() -> None:
    """The Lease is the one of coordination.k8s.io."""
    assert LEASES.path("homing", "web") == "/apis/coordination.k8s.io/v1/namespaces/web/leases/homing"
