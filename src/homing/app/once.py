"""One turn and no more: ``homing plan`` and ``homing apply``."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homing import __version__
from homing.app.household import Household
from homing.app.places import dns_addresses
from homing.app.secondaries import transfer_policy
from homing.app.settings import Loaded
from homing.app.transfers import Transfers
from homing.dns.authority import Authority
from homing.effects.clock import SystemClock
from homing.effects.metrics import Metrics
from homing.errors import StoreError
from homing.model.observation import Outcome
from homing.plan import Plan
from homing.store import StateLock, Store
from homing.turn.memory import Memory


@dataclass(frozen=True, slots=True)
class Once:
    """What one turn came to: a plan for each provider, names left alone and why (``unknown``), and what failed.

    ``in_sync``: whether every enabled name is known to hold what it should.
    """

    plans: tuple[Plan, ...]
    outcomes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    unknown: list[str] = field(default_factory=list[str])
    errors: list[str] = field(default_factory=list[str])
    in_sync: bool = True


async def plan_once(loaded: Loaded, state: Path) -> Once:
    """What would change. Nothing is written, so it may run beside the daemon, and without any state too."""
    with contextlib.ExitStack() as stack:
        store: Store | None = None
        with contextlib.suppress(StoreError):
            store = stack.enter_context(Store(state, readonly=True))
        memory = Memory(store, write=False)
        stack.callback(memory.close)
        async with _household(loaded, memory, store, state) as household:
            view = household.view()
            plans = await asyncio.gather(*(one.preview(view) for one in household.reconcilers.values()))
            return Once(tuple(plans), [], *_told(household))


async def apply_once(loaded: Loaded, state: Path, accept: str) -> Once:
    """Change what has to change. Raises StateLocked beside a running daemon."""
    with StateLock(state), Store(state) as store, contextlib.closing(Memory(store)) as memory:
        async with _household(loaded, memory, store, state) as household:
            view = household.view()
            turns = await asyncio.gather(
                *(one.turn(view, accept=accept, everything=True) for one in household.reconcilers.values())
            )
            outcomes = [
                {
                    "provider": item.change.provider,
                    "name": item.change.name.text,
                    "ok": item.ok,
                    "code": item.code,
                    "detail": item.detail,
                }
                for turn in turns
                for item in turn.outcomes
            ]
            return Once(tuple(turn.plan for turn in turns), outcomes, *_told(household))


@contextlib.asynccontextmanager
async def _household(
    loaded: Loaded, memory: Memory, store: Store | None, state: Path
) -> AsyncGenerator[Household, None]:
    """The household after one look at the world."""
    authority, clock, chance = Authority(), SystemClock(), random.SystemRandom()
    transfers = Transfers(authority, memory, store, clock=clock, chance=chance)
    household = Household(
        loaded,
        memory,
        authority,
        Metrics(__version__),
        clock=clock,
        chance=chance,
        listen=dns_addresses(loaded),
        cache=state / "cache",
        keeper=transfers.keeper,
        first=transfers.first_serials,
    )
    async with transfers:
        try:
            transfers.follow(transfer_policy(loaded))
            await household.open()
            await household.look()
            yield household
        finally:
            await household.aclose()


def _told(household: Household) -> tuple[list[str], list[str], bool]:
    """What is left alone, what failed, and whether all is as it should be."""
    unknown: list[str] = []
    errors: list[str] = []
    for spec in household.names:
        state = household.reconcilers[spec.provider].states[spec.name]
        if state.missing:
            unknown.append(f"{spec.name.text} at {spec.provider}: {state.missing}")
        if state.error:
            errors.append(state.error)
    unknown += [
        f"the WAN address stays as it was: {verdict.reason}"
        for verdict in household.verdicts.values()
        if verdict.outcome is Outcome.DISPUTED
    ]
    enabled = [spec for spec in household.names if spec.enabled]
    return unknown, errors, all(household.reconcilers[spec.provider].is_in_sync(spec.name) for spec in enabled)
