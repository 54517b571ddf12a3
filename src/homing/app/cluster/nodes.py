"""A zone of nodes and Services as flags say it, for ``homing dns``: what the Go node DNS serves, with its flags.

It needs no kinds of ours in the cluster, no Lease and no right but to look at nodes, Services and EndpointSlices: every
replica builds the zone by itself. What was served last is on disk, so a start without the API server serves that.
"""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from homing import __version__
from homing.app.cluster.common import credentials_of, lasting
from homing.app.cluster.metrics import ClusterMetrics, credential_ends, view_ages
from homing.app.cluster.settings import ClusterSettings
from homing.app.transfers import Transfers
from homing.checks import Check, Checker, CheckMetrics, NetworkProbe, parse_probe
from homing.dns.authority import Authority
from homing.dns.lookup import ROOT
from homing.effects.clock import Clock, SystemClock
from homing.effects.garbage import give_back
from homing.effects.log import get_logger
from homing.effects.metrics import Metrics
from homing.errors import ConfigError, ModelError, StoreError
from homing.kube.client import KubeClient
from homing.kube.credentials import Credentials
from homing.kube.kinds.zone import ClusterNames
from homing.model.address import Address, parse_address
from homing.model.name import Name, parse_name
from homing.model.rrset import MAX_TTL
from homing.model.zone import Soa, serial_add
from homing.operator.cluster_views import Reading
from homing.operator.cluster_watch import ClusterWatch
from homing.operator.zone_checks import ZoneChecks
from homing.providers.zone import ZoneProvider
from homing.providers.zone_template import ZoneTemplate, zone_template
from homing.store import Store

log = get_logger("nodes")

AGAIN = 15.0
"""Seconds after which a zone that could not be saved is tried again."""

SETTLED = 1.0
"""Seconds after which what a start told the workers and the disk has gone there."""

SHOWN = 5
"""Names that somebody else has, in one line of the log."""


@dataclass(frozen=True, slots=True)
class NodeFlags:
    """What the flags say, as they were given; times in seconds. The flags of the Go node DNS have its defaults."""

    zone: str
    soa_ns: str
    soa_email: str
    ttl: int = 30
    soa_refresh: int = 3600
    soa_retry: int = 900
    soa_expire: int = 86400
    soa_ttl: int = 30
    soa_neg_ttl: int = 30
    areas_annotation: str = "k8s.pootis.network/node-areas"
    ips_annotation: str = "k8s.pootis.network/node-ips"
    service_annotation: str = "k8s.pootis.network/dns"
    default_ips: str = "none"
    health_check: str = ""

    def template(self) -> ZoneTemplate:
        """The zone but for what follows the cluster. Raises ConfigError."""
        origin = _name("--zone", self.zone)
        soa = Soa(
            origin,
            origin,
            self.soa_refresh,
            self.soa_retry,
            self.soa_expire,
            self.soa_neg_ttl,
            min(self.soa_ttl, MAX_TTL),
        )
        try:
            return zone_template(
                origin, name_servers(self.soa_ns), _mailbox(self.soa_email), ttl=min(self.ttl, MAX_TTL), soa=soa
            )
        except ModelError as error:
            raise ConfigError(
                "--soa-ns", str(error), 'write it like "ns1.lb.example.org:192.0.2.1;ns2.example"'
            ) from None

    def reading(self) -> Reading:
        """How the zone reads the cluster. Raises ConfigError."""
        names = ClusterNames(
            areas_annotation=self.areas_annotation,
            ips_annotation=self.ips_annotation,
            service_annotation=self.service_annotation,
            default_ips="Auto" if self.default_ips == "auto" else "None",
            ttl_seconds=min(self.ttl, MAX_TTL),
        )
        return Reading(_name("--zone", self.zone), names)

    def check(self) -> Check | None:
        """How the addresses of nodes are checked, if at all. Raises ConfigError."""
        try:
            return Check(parse_probe(self.health_check)) if self.health_check else None
        except ModelError as error:
            raise ConfigError("--health-check", str(error), "leave it out for no checks") from None


def _name(flag: str, text: str) -> Name:
    try:
        name = parse_name(text)
    except ModelError as error:
        raise ConfigError(flag, str(error), "write it like lb.example.org") from None
    return Name(name.key)


def name_servers(text: str) -> dict[Name, list[Address]]:
    """``ns1.zone:1.1.1.1,2001:db8::1;ns2.example``: servers, each with its addresses. The first is the primary."""
    found: dict[Name, list[Address]] = {}
    for entry in (part.strip() for part in text.split(";")):
        if entry:
            name, _, addresses = entry.partition(":")
            glue = [parse_address(part) for part in addresses.split(",") if part.strip()]
            found[_name("--soa-ns", name.strip())] = glue
    return found


def _mailbox(text: str) -> Name:
    """``admin@example.org``, or the same as a name; a dot before the @ belongs to the first label."""
    local, at, domain = text.lower().partition("@")
    try:
        return Name((local.encode("ascii"), *parse_name(domain).labels)) if at else parse_name(local)
    except (ModelError, UnicodeEncodeError):
        problem = f"{text[:80]!r} is not an e-mail address"
        raise ConfigError("--soa-email", problem, "write it like admin@example.org") from None


class NodeZone:
    """The zone as a server has it beside its files."""

    def __init__(self, flags: NodeFlags, settings: ClusterSettings, *, clock: Clock | None = None) -> None:
        """Raises ConfigError for flags that say no zone."""
        self._template, self._reading, self._check = flags.template(), flags.reading(), flags.check()
        self._settings = settings
        self._clock = clock or SystemClock()
        self._chance = random.SystemRandom()
        self._metrics = Metrics(__version__)
        self._counted = ClusterMetrics(self._metrics)
        # Not shown where nothing is checked: beside Zones of the cluster theirs are.
        self._checks = CheckMetrics(self._metrics.registry if self._check is not None else CollectorRegistry())
        self._watch: ClusterWatch | None = None
        self._ready = asyncio.Event()
        self._seen = False
        self._running: asyncio.Future[None] | None = None
        self._authority: Authority
        self._transfers: Transfers
        self._provider: ZoneProvider
        self._credentials: Credentials

    @property
    def origin(self) -> Name:
        """The zone's name."""
        return self._reading.origin

    @property
    def origins(self) -> Collection[Name]:
        """The zone; until the cluster was seen all questions are SERVFAIL (SPEC C6)."""
        return (self.origin,) if self._seen else (self.origin, ROOT)

    @property
    def collector(self) -> Collector:
        """Metrics of the API, and how old what is known of the cluster is."""
        return _Counted(self._metrics, self.origin.text, self._age, lambda: self._credentials.ends)

    def problem(self) -> str | None:
        """Why nothing can be served yet."""
        known = self._seen or self._authority.zone(self.origin) is not None
        return None if known else "nodes, Services and EndpointSlices have not all been seen yet"

    def stuck(self) -> str | None:
        """Nothing that starting anew would mend."""
        return None

    def is_live(self) -> bool:
        """Whether the cluster is followed now."""
        return self._seen and self._watch is not None and self._watch.live

    async def open(self, authority: Authority, store: Store, transfers: Transfers, files: Collection[Name]) -> None:
        """Serve what was served last; credentials come later. Raises ConfigError for a file of the same zone."""
        if self.origin in files:
            raise ConfigError("--zone", f"a zone file of {self.origin.text} is served", "remove one of the two")
        self._authority, self._transfers = authority, transfers
        save = transfers.keeper.save
        self._provider = ZoneProvider("zone", authority, (self._template,), save, self._clock, timed=True)
        kept = [zone for zone in transfers.keeper.last_good if zone.origin == self.origin]
        authority.replace(kept, (), () if kept else (self.origin,))
        await transfers.keeper.hold([zone.origin for zone in kept])
        await transfers.list_members([self.origin], source="nodes")
        for zone in kept:
            log.info("zone is served as it was last", zone=zone.origin.text, serial=zone.serial)
        if not kept:  # nothing is kept from being answered: the look at the cluster begins while the server starts
            self._running = asyncio.ensure_future(self._run())

    async def run(self) -> None:
        """Follow the cluster until cancelled. Raises ConfigError for credentials that cannot be used."""
        running = self._running or asyncio.ensure_future(self._run())
        try:
            await running
        finally:
            running.cancel()

    async def _run(self) -> None:
        self._credentials = await credentials_of(self._settings)
        await lasting(self._take_part, "nodes", self._metrics, self._clock)

    async def _take_part(self) -> None:
        async with KubeClient(self._credentials, clock=self._clock, observe=self._counted.asked) as client:
            await self._follow(client)

    async def overtake(self, origin: Name, serial: int) -> None:
        """Give the zone a serial above one that a secondary has."""
        if origin == self.origin:
            await self._provider.overtake(origin, serial)

    async def _follow(self, client: KubeClient) -> None:
        self._ready.clear()
        checks = ZoneChecks(
            self._checker,
            node=self._settings.node_name or socket.gethostname(),
            sites=lambda: self._watch.sites.values() if self._watch is not None else (),
            turned=lambda _: None,
            clock=self._clock,
        )
        checks.want(self.origin, self._check)
        watch = self._watch = ClusterWatch(
            client,
            clock=self._clock,
            chance=self._chance,
            changed=self._provider.follow,
            ready=lambda _: self._ready.set(),
            health=checks.health,
            last=self._provider.changeable_in,
        )
        watch.want({self.origin: self._reading})
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run())
            if self._check is not None:
                group.create_task(checks.run(watch))
            await self._ready.wait()
            while not await self._publish(watch):
                await self._clock.sleep(AGAIN)
            if not self._seen:
                self._seen = True
                gc.freeze()  # all of it stays: looking through it for garbage would hold up changes
                group.create_task(self._settle())
                self._authority.replace((), (ROOT,))
            self._say()

    async def _settle(self) -> None:
        """Give back what the start took, once it has gone to the workers and to disk."""
        await self._clock.sleep(SETTLED)
        give_back()

    def _checker(self, changed: Callable[[Address], None]) -> Checker:
        return Checker(NetworkProbe(), changed, clock=self._clock, chance=self._chance, metrics=self._checks)

    async def _publish(self, watch: ClusterWatch) -> bool:
        """Serve all that is known of the cluster."""
        least = await self._least()
        try:
            await self._provider.put(self._template, [], least=least, cluster=lambda: watch.rrsets(self.origin))
        except StoreError as error:
            log.error("zone cannot be saved, trying again", zone=self.origin.text, reason=str(error))  # noqa: TRY400
            return False
        return True

    async def _least(self) -> int | None:
        """The least serial: above all that may have been served; else as secondaries say, else the time."""
        keeper = self._transfers.keeper
        await keeper.hold([self.origin])
        greatest = keeper.greatest.get(self.origin)
        if greatest is not None:
            return serial_add(greatest, 1)
        if self._authority.zone(self.origin) is not None:
            return None
        return (await self._transfers.first_serials([self.origin]))[self.origin]

    def _say(self) -> None:
        served = self._authority.zone(self.origin)
        if served is not None:
            log.info("zone served", zone=self.origin.text, serial=served.serial, names=len(served.nodes))
        hidden = self._provider.hidden(self.origin)
        if hidden:
            some = [f"{name.text} ({why})" for name, why in sorted(hidden.items())[:SHOWN]]
            log.warning("names of the cluster are taken", zone=self.origin.text, names=some, count=len(hidden))

    def _age(self) -> float:
        return self._clock.monotonic() - self._watch.seen_at if self._watch is not None else float("inf")


SHOWN_METRICS = ("homing_kubernetes_request_duration_seconds", "homing_internal_faults", "homing_check_")
"""What this part counts."""


class _Counted(Collector):
    """The metrics of the cluster's part, beside those of the server."""

    def __init__(
        self, metrics: Metrics, zone: str, age: Callable[[], float], ends: Callable[[], Mapping[str, float]]
    ) -> None:
        self._metrics = metrics
        self._ends = ends
        self._zone = zone
        self._age = age

    def collect(self) -> Iterator[Metric]:
        """The view's age, how the API server answers, and what is checked."""
        yield view_ages({self._zone: self._age()})
        yield credential_ends(self._ends())
        for metric in self._metrics.registry.collect():
            if metric.name.startswith(SHOWN_METRICS):
                yield metric
