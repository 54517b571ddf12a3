"""The agent of a node: finds its Site, and observes for it while it holds the Site's Lease."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import KubeError
from homing.kube.client import KubeClient
from homing.kube.kinds import SITES
from homing.kube.kinds.site import Site
from homing.kube.lease import Election, Leadership
from homing.kube.objects import Key
from homing.kube.resource import NODES
from homing.kube.watch import Mirror
from homing.model.observation import Verdict
from homing.operator.site_views import site_of
from homing.operator.sites import MakeDetector, SiteObserver

log = get_logger("agent")

LEASE_DURATION, LOOKS = 40.0, 5
"""Seconds that a Site's Lease holds, as those of nodes do, and how often in that time each of its agents looks.

Thousands of them look, and an agent that is lost leaves the last good address standing.
"""

LABELS_LOOK = 300.0
"""Seconds between two looks at the labels of the own node."""


def lease_name(site: str) -> str:
    """The Lease that the agents of a Site elect one of them by."""
    return f"homing-site-{site}"


class Agent:
    """One node's agent. Asks nobody outside the cluster unless it holds its Site's Lease.

    ``identity`` is of this process alone: while an agent is replaced, two of them run on the node.
    """

    def __init__(
        self,
        client: KubeClient,
        make: MakeDetector,
        *,
        node: str,
        identity: str,
        clock: Clock,
        chance: random.Random,
        lease_duration: float = LEASE_DURATION,
        heard: Callable[[Verdict, bool], None] = lambda _verdict, _new: None,
    ) -> None:
        self._client = client
        self._make = make
        self._node = node
        self._identity = identity
        self._clock = clock
        self._chance = chance
        self._lease_duration = lease_duration
        self._heard = heard
        self._sites = Mirror(client, SITES, clock=clock, chance=chance, on_change=self._changed)
        self._labels: dict[str, str] | None = None
        self._news = asyncio.Event()
        self.site = ""
        self.election: Election | None = None

    @property
    def ready(self) -> bool:
        """Whether it knows its Site."""
        return bool(self.site)

    async def run(self) -> None:
        """Observe when it is this node's turn, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sites.run())
            group.create_task(self._look_at_node())
            await self._sites.synced.wait()
            known: tuple[str, int] | None = None
            running: asyncio.Task[None] | None = None
            while True:
                await self._news.wait()
                self._news.clear()
                site = site_of(self._labels, self._sites.values()) if self._labels is not None else None
                now = (site.metadata.uid, site.metadata.generation) if site is not None else None
                if now == known:
                    continue
                if running is not None:
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
                known, running = now, None
                self.site = site.metadata.name if site is not None else ""
                if site is None:
                    log.warning("no Site has this node; create Site default, or one that selects it", node=self._node)
                else:
                    log.info("this node belongs to a Site", node=self._node, site=self.site)
                    running = group.create_task(self._take_part(site.metadata.name))

    async def _take_part(self, site: str) -> None:
        election = self.election = Election(
            self._client,
            name=lease_name(site),
            namespace=self._client.namespace,
            identity=self._identity,
            clock=self._clock,
            chance=self._chance,
            lease_duration=self._lease_duration,
            look_period=self._lease_duration / LOOKS,
        )

        async def observe(_: Leadership) -> None:
            found = self._sites.get(("", site))
            if found is not None:
                log.info("observing for the Site", site=site, node=self._node)
                observer = SiteObserver(
                    self._client, found, self._make, by=self._node, clock=self._clock, heard=self._heard
                )
                await observer.run()

        await election.run(observe)

    def _changed(self, _: Key, old: Site | None, new: Site | None) -> None:
        if old is None or new is None or old.metadata.generation != new.metadata.generation:
            self._news.set()

    async def _look_at_node(self) -> None:
        while True:
            try:
                labels = dict((await self._client.get(NODES, self._node)).metadata.labels)
                if labels != self._labels:
                    self._labels = labels
                    self._news.set()
                pause = LABELS_LOOK
            except KubeError as error:
                log.warning("the labels of this node cannot be read", node=self._node, reason=str(error))
                pause = 10.0
            await self._clock.sleep(pause)
