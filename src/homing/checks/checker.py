"""The probes of a changing set of targets, on schedule; tells when a verdict turns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Sequence
from functools import partial

from homing.checks.check import Check, Target, checkable
from homing.checks.health import Damping
from homing.checks.judge import Judge, Way, way_of
from homing.checks.metrics import CheckMetrics
from homing.checks.probe import Outcome, Result
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import kind_and_place
from homing.model.address import Address, Network, within
from homing.model.health import Health

AT_ONCE = 256
"""Probes under way at the same time. When that many wait for dead targets, all intervals stretch."""

MAX_TARGETS = 10_000
"""What lies beyond is not probed and counts as healthy."""

LATE = 0.1
"""Seconds by which a timeout may come late. Beyond, this process was held up, and the answer may lie in its socket."""

_TOLD = 64
"""Obstacles on this machine that are told, each once."""

_log = get_logger("checks")


class Checker:
    """Probes what it is told to follow. ``changed`` is called with an address when its health has turned.

    ``probe`` sends one probe, within its check's timeout. To be used inside an event loop; ``close`` ends it.
    """

    def __init__(
        self,
        probe: Callable[[Target], Awaitable[Outcome]],
        changed: Callable[[Address], None],
        *,
        clock: Clock,
        chance: random.Random,
        metrics: CheckMetrics,
        damping: Damping | None = None,
        checkable: Callable[[Address], bool] = checkable,
        at_once: int = AT_ONCE,
        limit: int = MAX_TARGETS,
    ) -> None:
        self._probe = probe
        self._changed = changed
        self._clock = clock
        self._chance = chance
        self._metrics = metrics
        self._checkable = checkable
        self._limit = limit
        self._judge = Judge(damping)
        self._room = asyncio.Semaphore(at_once)
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._why: dict[Target, str] = {}
        """Why the last probe failed, for when a witness makes it count."""
        self._reasons: dict[Target, str] = {}
        """Why each target that is not healthy turned."""
        self._possible: set[str] = set()
        """Kinds of probes that were sent, whatever came of them."""
        self._obstacles: dict[str, str] = {}
        self._left_out = 0
        self._told: set[str] = set()
        self._blind: set[Way] = set()
        metrics.watch(lambda: len(self._tasks), lambda: len(self._judge.unhealthy), lambda: self._judge.blind)

    def follows(self, target: Target) -> bool:
        """Whether a target is probed."""
        return target in self._tasks

    def health(self, target: Target) -> Health:
        """What is known of a target; HEALTHY when it is not followed, or was never probed."""
        return self._judge.health(target)

    def why(self, target: Target) -> str:
        """Why a target is not healthy, for people, as it was when it turned; empty where that is not known."""
        return self._reasons.get(target, "")

    def obstacle(self, check: Check) -> str:
        """Why a check tells nothing of its targets, or of those of an IP version, for people; else empty."""
        kind = check.probe.kind
        if kind not in self._possible and kind in self._obstacles:
            return self._obstacles[kind]
        blind = " and ".join(f"IPv{version}" for version in (4, 6) if self._judge.is_blind((version, kind)))
        return f"no address answers over {blind}, so the fault may be here" if blind else ""

    @property
    def unhealthy(self) -> Collection[Target]:
        """The targets that are failing or damped."""
        return self._judge.unhealthy

    def follow(
        self, targets: Iterable[Target], own: Sequence[Network] = (), *, failing: Container[Target] = ()
    ) -> None:
        """Have exactly these targets, at once. Addresses of ``own``, the Site this runs in, are not probed.

        From inside a Site its own WAN address is reached by hairpin NAT, or not at all, whatever the world sees. What
        is not probed counts as healthy; ``changed`` is called soon, not from in here, where that is news. ``failing``
        are those of the targets that another checker found so; they are believed until something else is seen.
        """
        wanted = {
            target: None
            for target in targets
            if (target in self._tasks or self._checkable(target.address)) and not within(target.address, own)
        }  # fmt: skip
        excess = len(wanted) - self._limit
        if excess > 0:
            kept = [target for target in wanted if target in self._tasks]
            wanted = dict.fromkeys([*kept, *wanted][: self._limit])
        if excess > 0 and not self._left_out:
            _log.warning("too many targets, the rest counts as healthy", limit=self._limit, left_out=excess)
        self._left_out = max(excess, 0)
        before = set(self._judge.unhealthy)
        self._have(wanted, failing)
        for address in {target.address for target in before ^ set(self._judge.unhealthy)}:
            asyncio.get_running_loop().call_soon(self._changed, address)

    def _have(self, wanted: Collection[Target], failing: Container[Target] = ()) -> None:
        self._judge.follow(wanted, failing)
        for target in [target for target in self._tasks if target not in wanted]:
            self._tasks.pop(target).cancel()
            self._why.pop(target, None)
            self._reasons.pop(target, None)
        for target in wanted:
            if target not in self._tasks:
                task = asyncio.create_task(self._watch(target))
                task.add_done_callback(partial(self._ended, target))
                self._tasks[target] = task

    async def close(self) -> None:
        """End all probes."""
        tasks = list(self._tasks.values())
        self._have(())
        await asyncio.gather(*tasks, return_exceptions=True)
        self._metrics.watch(lambda: 0, lambda: 0, lambda: 0)

    async def _watch(self, target: Target) -> None:
        """Probe one target for ever, beginning somewhere in its interval so that not all go out at once."""
        check = target.check
        due = self._clock.monotonic() + self._chance.random() * check.interval
        while True:
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            async with self._room:
                started = self._clock.monotonic()
                outcome = await self._probe(target)
            self._heard(target, started, outcome)
            due = max(due + check.interval, self._clock.monotonic())

    def _heard(self, target: Target, started: float, outcome: Outcome) -> None:
        now = self._clock.monotonic()
        if outcome.result is Result.TIMEOUT and now - started > target.check.timeout + LATE:
            outcome = Outcome(Result.IMPOSSIBLE, "too busy to notice answers in time")
        self._metrics.probed(target.check.probe.kind, outcome.result.value)
        match outcome.result:
            case Result.IMPOSSIBLE:
                self._tell_obstacle(target, outcome)
                turned = self._judge.skipped(target)
            case Result.SUCCESS:
                self._why.pop(target, None)
                turned = self._judge.succeeded(target, started, now)
            case _:
                self._why[target] = outcome.why
                turned = self._judge.failed(target, started, now)
        if outcome.result is not Result.IMPOSSIBLE:
            self._possible.add(target.check.probe.kind)
            self._tell_sight(way_of(target))
        for other in turned:
            self._tell_turn(other, outcome.result)
            self._changed(other.address)

    def _tell_turn(self, target: Target, last: Result) -> None:
        health = self._judge.health(target)
        about = {"address": str(target.address), "check": str(target.check.probe)}
        self._reasons.pop(target, None)
        match health:
            case Health.FAILING:
                why = self._reasons[target] = self._why.get(target, "")
                _log.warning(
                    "check failed, address left out where others pass", **about, failures=target.check.fall, why=why
                )
            case Health.DAMPED:
                self._reasons[target] = "works again, and failed too often of late"
                _log.info("check succeeds, address stays out for a while since it turned too often", **about)
            case Health.HEALTHY if last is not Result.SUCCESS:
                _log.info("another checker found it failing, which cannot be seen from here: address answered", **about)
            case Health.HEALTHY:
                _log.info("check succeeds, address answered again", **about)

    def _tell_sight(self, way: Way) -> None:
        blind = self._judge.is_blind(way)
        if blind == (way in self._blind):
            return
        about = {"family": f"IPv{way[0]}", "kind": way[1]}
        if blind:
            self._blind.add(way)
            _log.warning("no target answers, so the fault may be here: nothing changes meanwhile", **about)
        else:
            self._blind.discard(way)
            _log.info("targets answer again", **about)

    def _tell_obstacle(self, target: Target, outcome: Outcome) -> None:
        self._obstacles[target.check.probe.kind] = outcome.why
        told = f"{target.check.probe.kind} {outcome.why}"
        if told not in self._told and len(self._told) < _TOLD:
            self._told.add(told)
            _log.warning(
                "check not possible here, its targets keep their health", kind=target.check.probe.kind, why=outcome.why
            )

    def _ended(self, target: Target, task: asyncio.Task[None]) -> None:
        """A probe that broke in a way nobody expected is a fault of ours: its target counts as healthy from now on."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        _log.error("check broke, its address counts as healthy", check=str(target), fault=kind_and_place(error))
        if self._tasks.get(target) is task:
            unhealthy = self._judge.health(target) is not Health.HEALTHY
            self._judge.follow(other for other in self._tasks if other != target)
            if unhealthy:
                self._changed(target.address)
