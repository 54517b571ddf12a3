"""A provider that many Domains share: a few requests at a time, and no more a minute than it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from homing.model.name import Name
from homing.model.rrset import RRset
from homing.plan import NameChange
from homing.providers.base import Provider, Traits
from homing.providers.rate import Rate

PARALLEL = 4
"""Requests at a time at least: one that hangs does not hold up all others (U9)."""

_PATIENCE = 86_400.0
"""Seconds that a request waits for its turn: in a crowd everybody has theirs."""


Cost = Callable[[Name, NameChange | None], int]
"""How many requests it takes at most to read a name, or to make a change of it."""


class Gate:
    """A provider behind a gate. ``fence`` raises NotLeading when nothing may be asked any more."""

    def __init__(
        self,
        provider: Provider,
        fence: Callable[[], None],
        rate: Rate | None = None,
        cost: Cost = lambda _name, _change: 1,
    ) -> None:
        self._provider = provider
        self._fence = fence
        self._rate = rate
        self._cost = cost
        self._paying = asyncio.Lock()
        self._gate = asyncio.Semaphore(max(PARALLEL, provider.traits.parallel))

    @property
    def name(self) -> str:
        """That of the provider."""
        return self._provider.name

    @property
    def traits(self) -> Traits:
        """Those of the provider."""
        return self._provider.traits

    def account(self, name: Name) -> str:
        """The account of the provider."""
        return self._provider.account(name)

    def fingerprint(self, name: Name, salt: bytes) -> str:
        """That of the provider's credentials."""
        return self._provider.fingerprint(name, salt)

    async def read(self, name: Name) -> tuple[RRset, ...]:
        """Read when it is this request's turn, and only while leading: who leads next spends the same rate."""
        async with self._gate:
            await self._admit(name)
            self._fence()
            return await self._provider.read(name)

    async def apply(self, change: NameChange) -> None:
        """Write when it is this request's turn, and only while leading."""
        async with self._gate:
            await self._admit(change.name, change)
            self._fence()
            await self._provider.apply(change)

    async def aclose(self) -> None:
        """Close the provider."""
        await self._provider.aclose()

    async def _admit(self, name: Name, change: NameChange | None = None) -> None:
        """Wait here for all requests of the call: the provider's own time limit runs only once they may go out."""
        if self._rate is not None:
            async with self._paying:
                for _ in range(self._cost(name, change)):
                    await self._rate.admit(_PATIENCE)
