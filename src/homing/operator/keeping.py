"""What is kept of providers while Domains have their turns: lockouts where the next leader finds them, and figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from homing.effects.clock import Clock
from homing.effects.metrics import Metrics
from homing.kube.client import KubeClient
from homing.model.lockout import Lockout
from homing.model.name import Name
from homing.model.rrset import FAMILIES
from homing.operator.accounts import LOCKOUTS, MAX_LOCKOUTS, latest, lockouts_text
from homing.operator.entry import Entry, ProviderId, Which
from homing.operator.providers import STRATO, Found
from homing.operator.telling import Adapter
from homing.turn.memory import Memory

MAX_REQUESTS, OLD = 10_000, 3600.0
"""Names of which is known when they were last asked for; beyond, those older than so many seconds are forgotten."""


class Keeping:
    """Lockouts and figures of providers. ``keep_lockouts`` writes those that the status of a provider keeps."""

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        *,
        client: KubeClient,
        memory: Memory,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.keep_lockouts: Callable[[ProviderId], Awaitable[object]] = _nowhere
        self._adapters = adapters
        self._client = client
        self._memory = memory
        self._clock = clock
        self._metrics = metrics
        self._unkept: set[tuple[Which, ProviderId]] = set()
        self._holding: dict[ProviderId, set[Which]] = {}

    def locks(self, provider: ProviderId) -> list[Lockout]:
        """The lockouts of a provider."""
        return [one for one in self._memory.lockouts if one.provider == provider.key]

    async def keep(self, entry: Entry, provider: ProviderId, before: list[Lockout]) -> None:
        """Lockouts outlive this process before anything else is told (law 8)."""
        now = self.locks(provider)
        if now != before:
            self._unkept.add((entry.which, provider))
            if len(now) > MAX_LOCKOUTS:
                forgotten = set(now) - set(latest(now))
                self._memory.lockouts = [one for one in self._memory.lockouts if one not in forgotten]
        if (entry.which, provider) in self._unkept:
            await self._keep_one(entry, provider)
            self._unkept.discard((entry.which, provider))

    def count(self, entry: Entry, found: Found, *, held: bool) -> None:
        """Figures of a provider are those of all its Domains; each reconciler knows its own only."""
        holding = self._holding.setdefault(found.id, set())
        (holding.add if held else holding.discard)(entry.which)
        self._metrics.held.labels(found.id.key).set(len(holding))
        self._metrics.locked(found.id.key, self.locks(found.id))

    def forget(self, which: Which) -> None:
        """A Domain is gone, or another has its name now."""
        self._unkept = {one for one in self._unkept if one[0] != which}

    def forget_name(self, which: Which, provider: ProviderId, name: Name) -> None:
        """A Domain has no longer a name at a provider."""
        for rtype in FAMILIES:
            self._memory.published.pop((provider.key, name, rtype), None)
        self._memory.accounts.pop((provider.key, name), None)
        self._metrics.in_sync.remove_by_labels({"fqdn": name.text, "provider": provider.key})
        self._holding.get(provider, set()).discard(which)

    def forget_provider(self, provider: ProviderId) -> None:
        """A provider is gone, and its figures with it; its lockouts are kept, since it may come back."""
        self._holding.pop(provider, None)
        metrics = self._metrics
        gauges = (metrics.lockouts, metrics.lockout_until, metrics.held, metrics.last_turn)
        for figures in (metrics.updates, metrics.update_seconds, *gauges):
            figures.remove_by_labels({"provider": provider.key})
        if len(self._memory.requests) > MAX_REQUESTS:
            old = self._clock.time() - OLD
            self._memory.requests = {key: at for key, at in self._memory.requests.items() if at > old}

    async def _keep_one(self, entry: Entry, provider: ProviderId) -> None:
        if provider.kind != STRATO:
            await self.keep_lockouts(provider)
            return
        body = {"metadata": {"annotations": {LOCKOUTS: lockouts_text(self._memory, provider, entry.name)}}}
        await self._client.patch(
            self._adapters[entry.which.kind].resource, entry.which.name, body, entry.which.namespace
        )


async def _nowhere(_: ProviderId) -> None:
    """Lockouts are kept nowhere yet."""
