"""The turn: observe, want, plan, guard, apply, record."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.effects.metrics import Metrics
from homing.effects.trace import exemplar, failed, span, traced
from homing.errors import ProviderBusy, ProviderError, ProviderLocked
from homing.model.name import Name
from homing.model.rrset import FAMILIES, RRset
from homing.plan import Action, GuardPolicy, NameChange, Plan, diff, guard
from homing.providers.base import Provider
from homing.providers.lockout import lockout_for
from homing.records import Want, want_addresses
from homing.sources import View
from homing.store import Event, Update
from homing.turn.memory import Memory
from homing.turn.names import NameSpec, NameState
from homing.turn.restraint import Restraint

log = get_logger("turn")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one name's change ended; ``code`` is ``ok`` or the provider's word."""

    change: NameChange
    ok: bool
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn planned and did. ``next_at`` is when the next one is due (Unix seconds)."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    next_at: float


class Reconciler:
    """Makes the names of one provider hold what they should, one turn at a time.

    One bad name never stops the others (U9), and neither does a provider that hangs: each has a reconciler of its own.
    """

    def __init__(
        self,
        provider: Provider,
        names: Iterable[NameSpec],
        memory: Memory,
        *,
        clock: Clock,
        chance: random.Random,
        metrics: Metrics,
        second_look: float = 600.0,
    ) -> None:
        self.provider = provider
        self.names = tuple(names)
        self.memory = memory
        self.states: dict[Name, NameState] = {spec.name: NameState() for spec in self.names}
        self.restraint = Restraint(provider, self.names, self.states, memory)
        for spec in self.names if not provider.traits.readable else ():
            # What another account or server confirmed says nothing of this one, and cannot be read.
            memory.forget_other_account(spec.key, provider.account(spec.name))
        self._clock = clock
        self._chance = chance
        self._metrics = metrics
        self._second_look = second_look
        self._first_seen: dict[str, float] = {}
        self.turned_at = 0.0
        """When the last turn ended (Unix seconds), 0 for never."""
        self.next_at = clock.time()
        """When the next one is due."""
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def idle(self) -> None:
        """Wait until no provider is being asked to change anything."""
        await self._idle.wait()

    def hurry(self) -> None:
        """The way out is open again: names that failed meanwhile are tried at once."""
        for state in self.states.values():
            state.hurry()

    async def turn(self, view: View, *, accept: str = "", everything: bool = False) -> Turn:
        """Take one turn. ``everything`` looks at names that are not due yet too."""
        now = self._clock.time()
        with span("turn", provider=self.provider.name, names=len(self.names)):
            await self.restraint.notice_clock(now)
            await self.restraint.lift(now)
            wants = self.want(view)
            due = await self.read(wants, now, everything=everything)
            plan = self.guard(self._plan(due), now, accept)
            outcomes = await self.apply(plan)
            return self.record(plan, outcomes)

    async def preview(self, view: View) -> Plan:
        """What a turn would do now, without doing it."""
        now = self._clock.time()
        due = await self.read(self.want(view), now, everything=True)
        return self.guard(self._plan(due), now)

    @traced("plan")
    def _plan(self, due: list[Want]) -> Plan:
        return diff({key: item for want in due for key, item in self._published(want.name).items()}, due)

    @traced("want")
    def want(self, view: View) -> list[Want]:
        """The step of a turn."""
        return self.expect(view)

    def expect(self, view: View) -> list[Want]:
        """What each enabled name should hold by this view; names of which nothing is known are left alone.

        It counts at once, also while a turn by an older view is under way: nobody is told that a name is right then.
        """
        wants: list[Want] = []
        for spec in self.names:
            state = self.states[spec.name]
            sourced = spec.source.addresses(view)
            state.missing = "" if spec.enabled else "disabled"
            if not spec.enabled:
                continue
            state.missing = sourced.missing
            if sourced.missing:
                continue
            ttl = max(spec.ttl, self.provider.traits.min_ttl)
            want = want_addresses(
                spec.provider,
                spec.name,
                ttl,
                sourced.addresses,
                none_of=sourced.none_of,
                accepted=spec.accepted,
            )
            if want.rrsets != state.wanted:
                state.wanted = want.rrsets
                state.hurry()
            wants.append(want)
        return wants

    @traced("read")
    async def read(self, wants: Iterable[Want], now: float, *, everything: bool = False) -> list[Want]:
        """The wants that are due, after asking readable providers what those names hold now."""
        intervals = {spec.name: spec.interval for spec in self.names}
        due: list[Want] = []
        ask: list[Want] = []
        for want in wants:
            state = self.states[want.name]
            if now < state.not_before and not everything:
                continue
            changed = bool(diff(self._published(want.name), [want]).changes)
            overdue = everything or now >= state.last_read + intervals[want.name]
            if overdue and not self.provider.traits.readable:
                state.last_read = now  # there is nothing to read: the look at it is all
            (ask if self.provider.traits.readable and (changed or overdue) else due).append(want)
        gate = asyncio.Semaphore(self.provider.traits.parallel)
        answered = await asyncio.gather(*(self._read(want, now, gate) for want in ask))
        return due + [want for want, known in zip(ask, answered, strict=True) if known]

    @traced("guard")
    def guard(self, plan: Plan, now: float, accept: str = "") -> Plan:
        """The plan with a reason on everything that has to wait."""
        name = self.provider.name
        policy = GuardPolicy(
            public=frozenset({name} if self.provider.traits.public else ()),
            published={name: self.memory.names_at(name) if plan.changes else 0},
            holds=self.restraint.holds(plan, now),
            accept=accept,
            first_seen=self._first_seen,
            second_look=self._second_look,
        )
        guarded = guard(plan, policy, now)
        self._first_seen = {plan.hash: self._first_seen.get(plan.hash, now)} if guarded.held else {}
        return guarded

    @traced("apply")
    async def apply(self, plan: Plan) -> tuple[Outcome, ...]:
        """Publish what the guard lets pass, at most ``parallel`` names at a time."""
        gate = asyncio.Semaphore(self.provider.traits.parallel)
        return tuple(await asyncio.gather(*(self._apply(item, gate) for item in plan.passing)))

    @traced("record")
    def record(self, plan: Plan, outcomes: tuple[Outcome, ...]) -> Turn:
        """Note what came of it, and when to look again."""
        now = self._clock.time()
        touched = {item.name for item in plan.changes}
        for spec in self.names:
            state = self.states[spec.name]
            if spec.name not in touched and self.is_in_sync(spec.name):
                state.held, state.locked = "", False
                if now >= state.not_before:
                    state.succeeded(state.last_sync or now)
            self._metrics.in_sync.labels(spec.name.text, spec.provider).set(self.is_in_sync(spec.name))
        for item in plan.held:
            if self.states[item.name].held != item.held:
                log.warning("change held back", name=item.name.text, provider=item.provider, reason=item.held)
            self.states[item.name].held = item.held
        name = self.provider.name
        self._metrics.locked(name, self.restraint.lockouts)
        self._metrics.held.labels(name).set(len(plan.held))
        self._metrics.last_turn.labels(name).set(now)
        self.turned_at = now
        self.next_at = min((self.next_turn(spec, now) for spec in self.names), default=now + 3600.0)
        return Turn(plan, outcomes, self.next_at)

    def next_turn(self, spec: NameSpec, now: float) -> float:
        """When a name is due again (Unix seconds), if nothing happens before."""
        state = self.states[spec.name]
        if state.not_before > now:
            return state.not_before
        return max(now + 1.0, (state.last_read or now) + spec.interval)

    def status(self, spec: NameSpec) -> tuple[str, str]:
        """One word for a name's state, and a sentence that says why."""
        state = self.states[spec.name]
        if not spec.enabled:
            return "disabled", "enabled = false in the settings"
        if state.locked:
            return "locked", state.held
        if state.held:
            return "held", state.held
        if state.error:
            return "failed", state.error
        if self.is_in_sync(spec.name):
            return "in-sync", ""
        return "pending", state.missing or "not published yet"

    async def _read(self, want: Want, now: float, gate: asyncio.Semaphore) -> bool:
        state, key = self.states[want.name], self._fingerprint(want.name)
        try:
            async with gate:
                rrsets = await self.provider.read(want.name)
        except ProviderError as error:
            await self._failed(want.name, error, now, "read", 0.0, key)
            return False
        state.last_read = now
        known = tuple(self._published(want.name).values())
        # What is just as it should be may be our own write, of which only the answer or the status was lost.
        if known and set(known) != set(rrsets) != set(want.rrsets) and state.last_sync:
            detail = f"{want.name.text} was changed by somebody else: {_told(known)} -> {_told(rrsets)}"
            await self.memory.happened(Event(now, "drift", want.name.text, detail))
            log.warning("drift found", name=want.name.text, provider=want.provider, now=_told(rrsets))
        await self.memory.read(want.provider, want.name, rrsets, now)
        if not diff(self._published(want.name), [want]).changes:
            state.succeeded(now)
        return True

    async def _apply(self, item: NameChange, gate: asyncio.Semaphore) -> Outcome:
        state = self.states[item.name]
        async with gate, self._counted_as_under_way():
            with span("update", fqdn=item.name.text, provider=item.provider):
                return await self._request(item, state)

    async def _request(self, item: NameChange, state: NameState) -> Outcome:
        started, now = self._clock.monotonic(), self._clock.time()
        summary = "; ".join(str(change) for change in item.changes)
        await self.memory.asked(item.provider, item.name, now)
        key = self._fingerprint(item.name)
        try:
            await self.provider.apply(item)
        except asyncio.CancelledError:
            log.warning("request interrupted, it is made again", name=item.name.text, provider=item.provider)
            raise
        except ProviderError as error:
            failed(error.code)
            await self._asked_until_now(item.name)
            await self._failed(item.name, error, now, summary, self._clock.monotonic() - started, key)
            return Outcome(item, ok=False, code=error.code, detail=str(error))
        seconds = self._clock.monotonic() - started
        await self._asked_until_now(item.name)
        update = Update(self._clock.time(), item.provider, item.name.text, summary, True, "ok", "", seconds)
        removed = [change.type for change in item.changes if change.action is Action.DELETE]
        await self.memory.updated(update, item.name, item.wanted, removed, account=self.provider.account(item.name))
        state.succeeded(now)
        state.last_read = now
        self._metrics.updates.labels(item.provider, "ok").inc()
        self._metrics.update_seconds.labels(item.provider).observe(seconds, exemplar())
        self._metrics.esddns_updates.inc()
        log.info("updated", name=item.name.text, provider=item.provider, change=summary)
        return Outcome(item, ok=True, code="ok", detail=summary)

    @contextlib.asynccontextmanager
    async def _counted_as_under_way(self) -> AsyncGenerator[None, None]:
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _asked_until_now(self, name: Name) -> None:
        """The least time between two requests counts from the end of the first."""
        if self.provider.traits.cooldown:
            await self.memory.asked(self.provider.name, name, self._clock.time())

    def _fingerprint(self, name: Name) -> str:
        return self.provider.fingerprint(name, self.memory.salt)

    async def _failed(
        self, name: Name, error: ProviderError, now: float, summary: str, seconds: float, fingerprint: str
    ) -> None:
        """Note a failure. ``fingerprint`` is that of the credentials the request was made with, before it was."""
        provider, state = self.provider.name, self.states[name]
        state.error = str(error)
        state.retry = state.retry.after_failure()
        if isinstance(error, ProviderLocked):
            lockout = lockout_for(error, provider, self.provider.account(name), name, now, fingerprint)
            await self.memory.locked(lockout)
            await self.memory.happened(Event(now, "lockout", provider, lockout.reason))
            state.locked, state.held = True, lockout.reason
            state.not_before = lockout.until if lockout.until is not None else 0.0
            state.patient = True
        elif isinstance(error, ProviderBusy):
            state.not_before = now + max(state.retry.seconds(self._chance), error.seconds or 0.0)
            state.patient = error.seconds is not None
        else:
            state.not_before = now + max(60.0, state.retry.seconds(self._chance))
            state.patient = False
        update = Update(now, provider, name.text, summary, False, error.code, str(error), seconds)
        await self.memory.updated(update, name)
        self._metrics.updates.labels(provider, error.code if error.code in _COUNTED else "error").inc()
        self._metrics.esddns_failures.inc()
        log.warning("update failed", name=name.text, provider=provider, code=error.code, reason=str(error))

    def _published(self, name: Name) -> dict[tuple[str, Name, int], RRset]:
        found = ((self.provider.name, name, rtype) for rtype in FAMILIES)
        return {key: self.memory.published[key] for key in found if key in self.memory.published}

    def is_in_sync(self, name: Name) -> bool:
        """Whether the provider is known to hold what the name should."""
        wanted, published = self.states[name].wanted, self._published(name)
        return bool(wanted) and all(published.get((self.provider.name, name, item.type)) == item for item in wanted)


_COUNTED = frozenset(
    (
        *("badauth", "badagent", "badsys", "notfqdn", "nohost", "numhost", "abuse", "!donator", "!yours"),
        *("911", "dnserr", "timeout", "tls", "reset", "connect"),
    )
)
"""Codes that are a label value of their own; the rest count as ``error``, so that the label stays bounded."""


def _told(rrsets: Iterable[RRset]) -> str:
    return ", ".join(value for item in rrsets for value in item.values) or "nothing"
