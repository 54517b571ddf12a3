"""Election of one leader by a Lease of coordination.k8s.io: no two writers, ever.

A leader may write until ``renew_deadline`` after the moment its last successful renewal was *sent*; everybody else
waits ``lease_duration``, which is longer, after the moment they last *saw* the Lease change. Only the own monotonic
clock counts, as in client-go; every change carries the resourceVersion, so of two that try one succeeds. A Lease that a
person deletes is waited for like one that changed, except by a candidate that never saw it. A process that is frozen
in the microseconds between the fence and the kernel can still send that one request when it wakes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from msgspec.structs import replace

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import Conflict, HomingError, Invalid, KubeError, NotFound, NotLeading
from homing.kube.client import KubeClient, nothing
from homing.kube.objects import Lease, LeaseSpec, ObjectMeta
from homing.kube.resource import LEASES

ENDING = 10.0
"""Seconds that ``lead`` may take to end once it is cancelled."""

_log = get_logger("kube")


@dataclass(eq=False)
class Leadership:
    """The right to write, which ends by itself. ``transitions`` grows with each new leadership."""

    identity: str
    transitions: int
    clock: Clock = field(repr=False)
    until: float
    """Monotonic time at which it ends unless it is renewed."""
    over: bool = False

    @property
    def valid(self) -> bool:
        """Whether writing is allowed now."""
        return not self.over and self.clock.monotonic() < self.until

    def check(self) -> None:
        """Raise NotLeading unless writing is allowed now; the fence of a client (``client.fenced(it.check)``)."""
        if not self.valid:
            raise NotLeading(f"{self.identity} does not lead any more; nothing was written")


Lead = Callable[[Leadership], Awaitable[None]]


class Election:
    """One candidate. ``identity`` must be of this process alone; times are seconds.

    Left out, the deadline is two thirds of the lease and the retry period two fifteenths, as client-go has it at 15 s.
    A candidate looks every ``look_period`` (by default half the retry period), and when the Lease runs out. While it
    holds the Lease that has its ``annotations``, as they are when it is renewed.

    Raises ValueError for times that leave no room: a renewal must fit in the deadline twice, the deadline in the lease.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        name: str,
        namespace: str,
        identity: str,
        clock: Clock,
        chance: random.Random,
        lease_duration: float = 15.0,
        renew_deadline: float | None = None,
        retry_period: float | None = None,
        look_period: float | None = None,
        annotations: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        renew_deadline = lease_duration * 2 / 3 if renew_deadline is None else renew_deadline
        retry_period = lease_duration * 2 / 15 if retry_period is None else retry_period
        if not identity:
            raise ValueError("a candidate needs an identity")
        if not 0 < 2 * retry_period < renew_deadline < lease_duration:
            raise ValueError("needed: 2 x retry_period < renew_deadline < lease_duration")
        self.identity = identity
        self._client = client.fenced(nothing, timeout=renew_deadline / 2)
        self._name = name
        self._namespace = namespace
        self._clock = clock
        self._chance = chance
        self._duration = lease_duration
        self._deadline = renew_deadline
        self._retry = retry_period
        self._look = look_period or retry_period / 2
        self._annotations = annotations
        self._seen: Lease | None = None
        self._changed_at = 0.0
        self._missing_at: float | None = None
        self._fresh = False
        self._leadership: Leadership | None = None
        self._failing = False
        self.heard_at = float("-inf")
        """Monotonic time of the API server's last good answer."""

    @property
    def leader(self) -> str:
        """Who held the Lease when it was last seen; empty when nobody did."""
        return (self._seen.spec.holder_identity or "") if self._seen else ""

    def told(self, annotation: str) -> str:
        """What the leader told beside its name when the Lease was last seen; empty when there is no leader."""
        return self._seen.metadata.annotations.get(annotation, "") if self._seen and self.leader else ""

    @property
    def is_leading(self) -> bool:
        """Whether this candidate may write now."""
        return self._leadership is not None and self._leadership.valid

    async def run(self, lead: Lead) -> None:
        """Stand for election, forever; run ``lead`` while leading, cancelled and awaited when leadership is lost.

        What ``lead`` raises is raised on, after the Lease was given up; so is HomingError when it does not end within
        ENDING seconds of being cancelled, since it must not run beside another. When cancelled: ends ``lead``, gives
        the Lease up, and the next candidate need not wait.
        """
        while True:
            leadership = await self._acquire()
            self._leadership = leadership
            _log.info("leading", lease=self._name, identity=self.identity, transitions=leadership.transitions)
            try:
                await self._hold(leadership, lead)
            finally:
                leadership.over = True
            _log.warning("not leading any more", lease=self._name, identity=self.identity)
            await self._clock.sleep(self._pause())

    async def _acquire(self) -> Leadership:
        while True:
            sent = await self._tried(leading=False)
            if sent is not None and sent + self._deadline > self._clock.monotonic():
                return Leadership(self.identity, self._transitions, self._clock, sent + self._deadline)
            wait = self._look * (0.8 + 0.2 * self._chance.random())
            if self._held_by_another():
                wait = min(wait, max(self._changed_at + self._promised() - self._clock.monotonic(), 0.05))
            await self._clock.sleep(wait)

    async def _hold(self, leadership: Leadership, lead: Lead) -> None:
        """Lead until something ends it. At a shutdown renewal goes on while ``lead`` ends: its last words count."""
        leading = asyncio.ensure_future(lead(leadership))
        renewing = asyncio.create_task(self._renew(leadership))
        timing = asyncio.create_task(self._expire(leadership))
        try:
            await asyncio.wait((leading, renewing, timing), return_when=asyncio.FIRST_COMPLETED)
            if not leading.done():
                leadership.over = True
        finally:
            leading.cancel()
            try:
                await asyncio.wait((leading,), timeout=ENDING)
            finally:
                held = leadership.valid
                leadership.over = True
                renewing.cancel()
                timing.cancel()
                ends = await asyncio.gather(renewing, timing, return_exceptions=True)
                error = leading.exception() if leading.done() and not leading.cancelled() else None
                if held and leading.done():
                    await self._release()
        if not leading.done():
            raise HomingError(f"the work of the leader did not end within {ENDING:g} s of being told; end the process")
        for end in (*ends, error):
            if isinstance(end, Exception) and not (not held and _only_not_leading(end)):
                raise end

    async def _renew(self, leadership: Leadership) -> None:
        """Renew until the Lease is seen to be another's, or a renewal came too late."""
        while True:
            await self._clock.sleep(self._retry)
            sent = await self._tried(leading=True)
            if not leadership.valid or (sent is None and self._held_by_another()):
                return
            if sent is not None:
                leadership.until = max(leadership.until, sent + self._deadline)

    async def _expire(self, leadership: Leadership) -> None:
        while (left := leadership.until - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _tried(self, *, leading: bool) -> float | None:
        """Try to take or renew the Lease once: when the successful write was sent, or None."""
        try:
            sent = await self._attempt(leading=leading)
        except KubeError as error:
            self._fresh = False
            if not self._failing and not isinstance(error, Conflict):
                self._failing = True
                _log.warning("the lease cannot be reached", lease=self._name, why=str(error))
            return None
        self._failing = False
        return sent

    async def _attempt(self, *, leading: bool) -> float | None:
        if not (leading and self._fresh):
            try:
                self._saw(await self._client.get(LEASES, self._name, self._namespace))
            except NotFound:
                # Somebody deleted it. Whoever holds it still believes so, until it makes it anew or its time is up.
                if self._missing_at is None:
                    self._missing_at = self._clock.monotonic()
                if self._held_by_another() and self._clock.monotonic() < self._missing_at + self._promised():
                    return None
                return await self._create(leading=leading)
        seen = self._seen
        assert seen is not None  # noqa: S101 - just seen
        if self._held_by_another() and (leading or not self._expired()):
            return None
        again = leading and seen.spec.holder_identity == self.identity
        spec = self._spec(self.identity, seen, transitions=self._transitions + (not again))
        sent = self._clock.monotonic()
        try:
            self._saw(await self._put(seen.metadata, spec))
        except NotFound:
            return await self._create(leading=leading)
        self._fresh = True
        return sent

    async def _create(self, *, leading: bool) -> float:
        spec = self._spec(self.identity, None, transitions=self._transitions + (self._seen is not None and not leading))
        place = {"name": self._name, "namespace": self._namespace, "annotations": dict(self._annotations)}
        body = {"metadata": place, "spec": spec}
        sent = self._clock.monotonic()
        try:  # PUT: a role can allow that for this one name, but POST only for Leases of any name
            self._saw(await self._client.replace(LEASES, self._name, body, self._namespace))
        except Invalid as error:  # without a resourceVersion nothing is replaced: another was quicker
            raise Conflict(409, "AlreadyExists", str(error)) from None
        self._fresh = True
        return sent

    async def _release(self) -> None:
        """Give the Lease up, so that the next need not wait; failing that, it runs out."""
        for _ in range(2):
            try:
                seen = await self._client.get(LEASES, self._name, self._namespace)
                if seen.spec.holder_identity != self.identity:
                    return
                self._saw(await self._put(seen.metadata, self._spec("", seen, transitions=self._transitions)))
            except Conflict:
                continue
            except KubeError as error:
                _log.warning("the lease cannot be given up", lease=self._name, why=str(error))
            return

    async def _put(self, metadata: ObjectMeta, spec: LeaseSpec) -> Lease:
        if spec.holder_identity:
            metadata = replace(metadata, annotations={**metadata.annotations, **self._annotations})
        body: dict[str, Any] = {"metadata": metadata, "spec": spec}
        return await self._client.replace(LEASES, self._name, body, self._namespace)

    def _saw(self, lease: Lease) -> None:
        if self._seen is None or self._seen.spec != lease.spec:
            if lease.spec.holder_identity and lease.spec.holder_identity != self.leader:
                _log.info("leader seen", lease=self._name, leader=lease.spec.holder_identity)
            self._changed_at = self._clock.monotonic()
        self._seen = lease
        self._missing_at = None
        self.heard_at = self._clock.monotonic()

    def _spec(self, holder: str, seen: Lease | None, *, transitions: int) -> LeaseSpec:
        now = dt.datetime.fromtimestamp(self._clock.time(), dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        kept = seen is not None and transitions == self._transitions and seen.spec.acquire_time
        # A Lease given up asks nobody to wait, as client-go has it.
        duration = math.ceil(self._duration) if holder else 1
        return LeaseSpec(holder, duration, kept or now, now, transitions)

    @property
    def _transitions(self) -> int:
        return (self._seen.spec.lease_transitions or 0) if self._seen else 0

    def _held_by_another(self) -> bool:
        return self.leader not in ("", self.identity)

    def _promised(self) -> float:
        """Seconds for which the holder may believe it holds: its own word, or ours when that is longer."""
        told = self._seen.spec.lease_duration_seconds if self._seen else None
        return max(float(told or 0), self._duration)

    def _expired(self) -> bool:
        return self._clock.monotonic() >= self._changed_at + self._promised()

    def _pause(self) -> float:
        return self._retry * (0.8 + 0.2 * self._chance.random())


def _only_not_leading(error: BaseException) -> bool:
    """Whether an error, or a whole group of them, says nothing but that leadership is over."""
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return all(_only_not_leading(each) for each in inner)
    return isinstance(error, NotLeading)
