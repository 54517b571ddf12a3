"""The operator: one leader at a time, and what it runs while it leads."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from homing.effects.clock import Clock
from homing.effects.log import get_logger, tell_fault
from homing.effects.metrics import Metrics
from homing.kube.client import KubeClient
from homing.kube.kinds import CLUSTER_PROVIDERS, DOMAINS, PROVIDERS, STRATO_DOMAINS
from homing.kube.lease import Election, Leadership
from homing.kube.objects import Key, PartialObject
from homing.kube.recorder import COMPONENT, Recorder
from homing.kube.resource import NODES, SECRETS_METADATA, Resource
from homing.kube.watch import Mirror
from homing.model.name import Name
from homing.model.rrset import RRset
from homing.operator.accounts import Accounts
from homing.operator.domains import Domains
from homing.operator.entry import ProviderId, Unready, Which
from homing.operator.esddns import Esddns, ReadConfig
from homing.operator.home import CONFIG_MAP, Home
from homing.operator.own import OwnAdapter
from homing.operator.providers import COOLDOWN, Found, Providers
from homing.operator.queue import Turns
from homing.operator.secrets import Secrets
from homing.operator.site_views import DEFAULT
from homing.operator.sites import MakeDetector
from homing.operator.strato import StratoAdapter
from homing.operator.world import AREAS, IPS, World
from homing.providers.zone import ZoneProvider
from homing.sources import NodesSource, ServiceSource
from homing.store import Event
from homing.turn.memory import Memory

log = get_logger("operator")

LEASE = "homing-operator"
"""The Lease of the operator's leader."""

ZONES_COMPONENT = "homing-dns"
"""Who reports of the Domains in the own zones."""

LEASE_DURATION = 15.0
"""Seconds that it holds, as those of other controllers do."""

FIRST_LOOK = 10.0
"""Seconds that the first turns wait for the Strato Domains, whose kind need not be installed."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the operator runs. Durations in seconds; no ``namespaces`` means all; servers are for who names none."""

    identity: str
    namespaces: tuple[str, ...] = ()
    config_map: str = CONFIG_MAP
    areas: str = AREAS
    ips: str = IPS
    strato_server: str = ""
    strato_cooldown: float = COOLDOWN
    gandi_server: str = ""
    esddns: ReadConfig | None = None
    """Reads ESDDNS's ConfigMap of the own namespace, where that is cared for; None leaves it alone."""
    lease: str = LEASE
    lease_duration: float = LEASE_DURATION
    interval: int = 300
    """Seconds between the rounds of a Site ``default`` that it creates."""


Beside = Callable[["Term", KubeClient], Coroutine[None, None, None]]
"""What goes on while a replica leads, with the rights of its term."""


class Operator:
    """Takes part in the election; what it does while it leads is a ``Term``."""

    def __init__(
        self,
        connect: Callable[[Callable[[], None]], KubeClient],
        make: MakeDetector,
        options: Options,
        *,
        memory: Callable[[Callable[[Event], None]], Memory],
        clock: Clock,
        chance: random.Random,
        metrics: Metrics,
        turned: Callable[[str, str], None] = lambda _kind, _outcome: None,
        beside: Beside | None = None,
    ) -> None:
        """``turned`` counts turns. ``connect`` makes a client that asks a fence before it writes. ``beside`` runs as
        long as it leads; it does not raise.
        """
        self._beside = beside
        self._connect = connect
        self._make = make
        self._options = options
        self._memory = memory
        self._clock = clock
        self._chance = chance
        self._metrics = metrics
        self._turned = turned
        self.term: Term | None = None
        self.election: Election | None = None

    async def run(self) -> None:
        """Until cancelled."""
        duration = self._options.lease_duration
        async with self._connect(lambda: None) as client:
            self.election = Election(
                client,
                name=self._options.lease,
                namespace=client.namespace,
                identity=self._options.identity,
                clock=self._clock,
                chance=self._chance,
                lease_duration=duration,
                look_period=duration / 30,
            )
            await self.election.run(self._lead)

    async def _lead(self, leadership: Leadership) -> None:
        log.info("leading", identity=leadership.identity)
        async with self._connect(leadership.check) as client:
            term = Term(
                client,
                self._make,
                self._options,
                fence=leadership.check,
                memory=self._memory,
                clock=self._clock,
                chance=self._chance,
                metrics=self._metrics,
                turned=self._turned,
            )
            self.term = term
            beside = asyncio.ensure_future(self._beside(term, client)) if self._beside is not None else None
            try:
                await term.run()
            finally:
                self.term = None
                if beside is not None:
                    beside.cancel()
                    await asyncio.gather(beside, return_exceptions=True)
                log.info("not leading any more", identity=leadership.identity)


class Term:
    """What runs while leading: mirrors tell the queue what changed, turns make it so.

    ``zones`` publishes in the own zones; a process that has them cares for the Domains of that provider, one that has
    not for all others.
    """

    def __init__(
        self,
        client: KubeClient,
        make: MakeDetector | None,
        options: Options,
        *,
        fence: Callable[[], None],
        memory: Callable[[Callable[[Event], None]], Memory],
        clock: Clock,
        chance: random.Random,
        metrics: Metrics,
        zones: ZoneProvider | None = None,
        turned: Callable[[str, str], None] = lambda _kind, _outcome: None,
    ) -> None:
        self._metrics = metrics
        self._turned = turned
        self.turns: Turns[Which | ProviderId] = Turns(
            self._turn, clock=clock, chance=chance, on_fault=lambda _: metrics.faults.labels("turn").inc()
        )
        component = COMPONENT if zones is None else ZONES_COMPONENT
        self.recorder = Recorder(client, clock=clock, chance=chance, component=component)
        self.world = World(
            client,
            clock=clock,
            chance=chance,
            changed=self._world_changed,
            areas=options.areas,
            ips=options.ips,
            namespaces=options.namespaces,
        )

        def mirror(resource: Resource[Any], on_change: Callable[[Key, Any, Any], None]) -> Mirror[Any]:
            names = options.namespaces if resource.namespaced else ()

            def told(key: Key, old: Any, new: Any) -> None:
                try:
                    on_change(key, old, new)
                except Exception as fault:  # noqa: BLE001 - one object takes no other down with it, as in the queue
                    tell_fault(log, f"{resource.kind} {'/'.join(key)}", fault)
                    metrics.faults.labels("change").inc()

            return Mirror(client, resource, clock=clock, chance=chance, namespaces=names, on_change=told)

        self._secrets_seen = mirror(SECRETS_METADATA, self._secret_changed)
        self._providers_seen = mirror(PROVIDERS, partial(self._provider_changed, "Provider"))
        self._cluster_seen = mirror(CLUSTER_PROVIDERS, partial(self._provider_changed, "ClusterProvider"))
        self._domains_seen = mirror(DOMAINS, partial(self._domain_changed, "Domain"))
        self._strato_seen = mirror(STRATO_DOMAINS, partial(self._domain_changed, "StratoDomain"))
        self._secrets = Secrets(client, self._secrets_seen)
        self.memory = memory(self._happened)
        self._providers = Providers(
            self._providers_seen,
            self._cluster_seen,
            self._secrets,
            clock=clock,
            chance=chance,
            fence=fence,
            strato_server=options.strato_server,
            strato_cooldown=options.strato_cooldown,
            gandi_server=options.gandi_server,
            zones=zones,
        )
        self._serves_zones = zones is not None
        self.domains = Domains(
            {"Domain": OwnAdapter(), "StratoDomain": StratoAdapter()},
            self._providers,
            client=client,
            memory=self.memory,
            recorder=self.recorder,
            view=self.world.view,
            accepted=self.world.accepted,
            looked=self.world.looked,
            has_site=self.world.has_site,
            wake=self.turns.wake,
            ours=self._ours,
            clock=clock,
            chance=chance,
            metrics=metrics,
        )
        self._accounts = Accounts(
            self._providers_seen,
            self._cluster_seen,
            self._providers,
            client=client,
            memory=self.memory,
            recorder=self.recorder,
            users=lambda which: len(self.domains.of_provider(which)),
            clock=clock,
        )
        self.domains.keep_lockouts_by(self._keep_lockouts)
        self._esddns: Esddns | None = None
        self.home: Home | None = None
        if make is not None:
            if options.esddns is not None and client.namespace in (options.namespaces or (client.namespace,)):
                self._esddns = Esddns(
                    client,
                    options.esddns,
                    recorder=self.recorder,
                    clock=clock,
                    chance=chance,
                    read_anew=lambda: self._world_changed(DEFAULT),
                )
            self.home = Home(
                client,
                self.world.sites,
                make,
                recorder=self.recorder,
                clock=clock,
                chance=chance,
                config_map=options.config_map,
                interval=options.interval,
                detect=lambda: self._esddns.detect if self._esddns is not None else {},
                heard=metrics.heard,
            )

    async def run(self, before: Callable[[], Awaitable[None]] | None = None) -> None:
        """Until cancelled; ``before`` the first turn, when the cluster has been seen."""
        try:
            async with asyncio.TaskGroup() as group:
                for seen in self._mirrors:
                    group.create_task(seen.run())
                group.create_task(self.world.run())
                group.create_task(self.recorder.run())
                if self.home is not None:
                    group.create_task(self.home.run())
                if self._esddns is not None:
                    group.create_task(self._esddns.run())
                for seen in (*self._mirrors, self.world.sites):
                    with contextlib.suppress(
                        TimeoutError
                    ):  # not wait_for, which may lose a cancellation in Python 3.11
                        async with asyncio.timeout(FIRST_LOOK if seen is self._strato_seen else None):
                            await seen.synced.wait()
                if before is not None:
                    await before()
                await self.turns.run()
        finally:
            await self._providers.aclose()
            self.memory.close()

    @property
    def synced(self) -> bool:
        """Whether the cluster has been seen once."""
        return all(seen.synced.is_set() for seen in self._mirrors if seen is not self._strato_seen)

    @property
    def _mirrors(self) -> list[Mirror[Any]]:
        """What is followed; who serves zones needs no right to Secrets, other providers and the accounts at Strato."""
        beside = [] if self._serves_zones else [self._secrets_seen, self._providers_seen, self._strato_seen]
        return [self._cluster_seen, self._domains_seen, *beside]

    def held(self, origin: Name) -> list[RRset]:
        """What the Domains of the own zones hold there as their statuses tell; of two of a name the older one's."""
        found: dict[tuple[Name, int], RRset] = {}
        for entry in sorted(self.domains.entries.values(), key=lambda entry: entry.age):
            where = self._providers.object(entry.known.provider) if entry.known.provider is not None else None
            name = self.domains.published_name(entry)
            if where is None or where.type != "zone" or name is None or not name.is_within(origin):
                continue
            # A status may be forged: what it says is held to what its Domain asks for and may publish.
            with contextlib.suppress(Unready):
                self._providers.allowed(where, entry, name)
                for item in entry.known.rrsets(name, entry.ttl) if name == entry.name else ():
                    found.setdefault(item.key, item)
        return list(found.values())

    def look_again(self, origin: Name) -> None:
        """A zone came, changed or went: the Domains in it look at what it holds, now."""
        for which, entry in self.domains.entries.items():
            if entry.name.is_within(origin):
                self.domains.hurry(which)

    async def _turn(self, key: Which | ProviderId) -> float | None:
        if isinstance(key, ProviderId):
            return await self._accounts.turn(key) if not self._serves_zones else None
        seconds = await self.domains.turn(key)
        report = self.domains.reports.get(key)
        if report is not None:
            self._turned(key.kind, report.reason)
        return seconds

    async def _keep_lockouts(self, which: ProviderId) -> None:
        seconds = await self._accounts.turn(which)
        if seconds is not None:
            self.turns.wake(which, seconds)

    def _ours(self, found: Found | None) -> bool:
        """The Domains of the own zones belong to the DNS leader, all others to the operator's."""
        return (found is not None and found.type == "zone") == self._serves_zones

    def _domain_changed(self, kind: str, key: Key, _: Any, new: Any) -> None:
        which = Which(kind, *key)
        before = self.domains.entries.get(which)
        self.domains.changed(which, new)
        after = self.domains.entries.get(which)
        for one in {entry.provider for entry in (before, after) if entry is not None}:
            if (before is None or after is None or before.provider != after.provider) and one.kind != "Strato":
                self.turns.wake(one, 0.5)  # it counts its Domains

    def _provider_changed(self, kind: str, key: Key, old: Any, new: Any) -> None:
        which = ProviderId(kind, *key)
        if old is not None and new is not None and old.metadata.generation == new.metadata.generation:
            return  # our own status is no news
        self._accounts.learn(which, new)
        if new is None:
            self.domains.forget_provider(which)
        if not self._serves_zones:
            self.turns.wake(which)
        for domain in self.domains.of_provider(which):
            self.domains.claim(domain)
            self.domains.hurry(domain)

    def _secret_changed(self, key: Key, _: PartialObject | None, new: PartialObject | None) -> None:
        if new is None:
            self._secrets.forget(*key)
        providers: set[ProviderId] = set()
        for which, entry in self.domains.entries.items():
            found = self._providers.find(entry)
            if found is not None and found.secret is not None and found.secret[:2] == key:
                self.domains.hurry(which)
                providers.add(entry.provider)
        for one in providers:
            if one.kind != "Strato" and not self._serves_zones:
                self.turns.wake(one)

    def _world_changed(self, what: str) -> None:
        for which, entry in self.domains.entries.items():
            follows_nodes = isinstance(entry.source, NodesSource | ServiceSource)
            if follows_nodes if what == NODES.plural else entry.site == what:
                self.turns.wake(which)
        if what == DEFAULT:
            if self.home is not None:
                self.home.hurry()
            for family, address in self.world.addresses(DEFAULT).items():
                self._metrics.wan_is(str(family), str(address))

    def _happened(self, event: Event) -> None:
        self.domains.happened(event)
