"""The page of the operator: the leader's view of Domains, Sites and Zones, and the way there.

The way is an EndpointSlice that the leader keeps for Service ``homing-page``, which selects no pods: the right to write
one object by name is less than the right to label pods, and there is never more than one leader in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket

from msgspec import structs

from homing import __version__
from homing.app.cluster.common import lasting
from homing.app.dns.figures import missing_serials
from homing.app.places import parse_listen
from homing.app.views import SHOWN_CHANGES, change_views
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.effects.metrics import Metrics
from homing.errors import KubeError, NotLeading, StoreError
from homing.kube.client import KubeClient
from homing.kube.kinds import ZONES
from homing.kube.kinds.site import Site
from homing.kube.kinds.zone import Zone
from homing.kube.objects import Condition, Key
from homing.kube.resource import ENDPOINT_SLICES
from homing.kube.watch import Mirror
from homing.model.address import Address, parse_address
from homing.operator.conditions import seconds_of
from homing.operator.entry import Entry, Report, Which
from homing.operator.runtime import Operator, Term
from homing.operator.site_views import DEFAULT
from homing.store import Store
from homing.web.view import ChangeView, FamilyView, NameView, SecondaryView, SiteView, StateView, ZoneView

log = get_logger("page")

SERVICE = "homing-page"
"""The Service that leads to the leader, and its EndpointSlice."""

LOOK = 2.0
"""Seconds between two looks at the history."""

AGAIN = 60.0
"""Seconds after which the EndpointSlice is written again, should somebody have changed it."""


class ClusterPage:
    """What the page shows of a cluster; ``follow`` runs while this replica leads."""

    def __init__(
        self, store: Store, *, identity: str, clock: Clock, chance: random.Random, metrics: Metrics, advertise: str = ""
    ) -> None:
        """``advertise`` is the own address as others reach it. Raises ConfigError or ModelError when it is none."""
        self.operator: Operator | None = None
        self.listen: tuple[tuple[str, int], ...] = ()
        """Where the page is served."""
        self._store = store
        self._identity = identity
        self._clock = clock
        self._chance = chance
        self._metrics = metrics
        self._address = parse_address(parse_listen(advertise, "--advertise", 0)[0]) if advertise else None
        self._started = clock.time()
        self._zones: Mirror[Zone] | None = None
        self._changes: tuple[ChangeView, ...] = ()

    async def follow(self, term: Term, client: KubeClient) -> None:
        """Follow Zones, keep the addresses' history, and be found, until cancelled."""
        self._zones = Mirror(client, ZONES, clock=self._clock, chance=self._chance, on_change=_unheard)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._zones.run())
                for part, work in (("history", self._note), ("page", self._be_found)):
                    group.create_task(
                        lasting(lambda work=work: work(term, client), part, self._metrics, self._clock, NotLeading)  # type: ignore[misc]
                    )
        finally:
            self._zones = None

    async def _note(self, term: Term, _: KubeClient) -> None:
        """Keep the history of Site ``default``, and what the page shows of it."""
        known = {family: good.address for family, good in self._store.good_addresses().items()}
        while True:
            for family, address in term.world.addresses(DEFAULT).items():
                if known.get(family) != address:
                    known[family] = address
                    with contextlib.suppress(StoreError):
                        await asyncio.to_thread(
                            self._store.record_good, family, address, self._clock.time(), f"as Site {DEFAULT} tells"
                        )
            with contextlib.suppress(StoreError):
                self._changes = await asyncio.to_thread(self._recall)
            await self._clock.sleep(LOOK)

    def _recall(self) -> tuple[ChangeView, ...]:
        store = self._store
        return change_views(
            store.address_history(limit=SHOWN_CHANGES),
            store.updates(limit=SHOWN_CHANGES),
            store.events(limit=SHOWN_CHANGES),
        )

    async def _be_found(self, _: Term, client: KubeClient) -> None:
        """Lead Service ``homing-page`` here, where the page can be reached from other machines."""
        open_at = [port for host, port in self.listen if not parse_address(host).is_loopback]
        while self._address is not None and open_at:
            try:
                await client.apply(ENDPOINT_SLICES, SERVICE, _slice(self._address, open_at[0]), client.namespace)
            except KubeError as error:
                log.warning("Service homing-page does not lead here", reason=str(error))
            await self._clock.sleep(AGAIN)

    def view(self) -> StateView:
        """What the leader knows; another replica tells who leads."""
        term = self.operator.term if self.operator is not None else None
        election = self.operator.election if self.operator is not None else None
        leader = self._identity if term is not None else election.leader if election is not None else ""
        base = StateView(
            version=__version__,
            host=socket.gethostname(),
            origin="homing operator",
            started=self._started,
            at=self._clock.time(),
            leader=leader,
            changes=self._changes,
            web_listen=tuple(f"{host}:{port}" for host, port in self.listen),
        )
        if term is None:
            told = f"this replica waits; the leader, {leader}, tells more" if leader else "no leader is known yet"
            return structs.replace(base, trouble=(told,))
        sites = tuple(_site(site) for site in sorted(term.world.sites.values(), key=lambda one: one.metadata.name))
        zones = self._zones.values() if self._zones is not None else ()
        return structs.replace(
            base,
            addresses=next((site.addresses for site in sites if site.name == DEFAULT), ()),
            sites=sites,
            names=tuple(_name(term, which, entry) for which, entry in sorted(term.domains.entries.items())),
            zones=tuple(_zone(zone) for zone in sorted(zones, key=lambda one: one.spec.origin)),
            trouble=(term.memory.trouble,) if term.memory.trouble else (),
        )


def _unheard(_key: Key, _old: Zone | None, _new: Zone | None) -> None:
    """What is shown is looked up."""


def _slice(address: Address, port: int) -> dict[str, object]:
    labels = {"kubernetes.io/service-name": SERVICE, "endpointslice.kubernetes.io/managed-by": "homing.dev"}
    return {
        "metadata": {"name": SERVICE, "labels": labels},
        "addressType": f"IPv{address.version}",
        "endpoints": [{"addresses": [str(address)], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


def _site(site: Site) -> SiteView:
    status = site.status
    votes = {vote.family: vote for vote in status.votes}
    known = {item.family: item for item in status.addresses}
    at = seconds_of(status.detected_at)
    families = tuple(
        FamilyView(
            family=int(family.removeprefix("IPv")),
            address=known[family].address if family in known else "",
            since=seconds_of(known[family].since) if family in known else 0.0,
            confirmed=seconds_of(known[family].confirmed_at) if family in known else 0.0,
            outcome=votes[family].outcome.lower() if family in votes else "unknown",
            reason=votes[family].reason if family in votes else "nobody has looked yet",
            at=at,
            seconds=0.0,
            votes=(),
        )
        for family in sorted({*known, *votes})
    )
    return SiteView(site.metadata.name, families, status.detected_by or "", _why(status.conditions, "Detected"))


def _why(conditions: tuple[Condition, ...], kind: str) -> str:
    """The message of a condition that is not met."""
    return next((one.message for one in conditions if one.type == kind and one.status != "True"), "")


def _zone(zone: Zone) -> ZoneView:
    status = zone.status
    served = status.serial
    secondaries = tuple(
        SecondaryView(
            f"{one.address}:{one.port}",
            one.serial,
            missing_serials(one.serial, served) if served is not None else None,
            one.lag_seconds,
        )
        for one in status.secondaries
    )
    return ZoneView(zone.spec.origin, served or 0, status.records, secondaries)


def _name(term: Term, which: Which, entry: Entry) -> NameView:
    """A Domain: by its last turn here, else by its status, as for those that the DNS leader cares for."""
    report, known, reconciler = term.domains.reports.get(which), entry.known, term.domains.reconciler(which)
    state = reconciler.states.get(entry.name) if reconciler is not None else None
    readable = reconciler is not None and reconciler.provider.traits.readable
    published = tuple(str(one) for one in (report.addresses if report is not None else known.addresses))
    word, detail = _word(entry, report)
    wanted = tuple(value for item in state.wanted for value in item.values) if state is not None else ()
    if word == "in-sync" and entry.site:
        now = tuple(str(one) for one in entry.source.addresses(term.world.view(entry)).addresses)
        if not set(now) <= set(published):  # its Site has another address, and its next turn has not ended
            word, detail, wanted = "pending", "not published yet", now
    return NameView(
        fqdn=entry.name.text,
        provider=entry.provider.key,
        source="wan" if entry.site else entry.mode.lower(),
        ttl=(report.ttl if report is not None else known.ttl) or entry.ttl,
        wanted=wanted or (published if word == "in-sync" else ()),
        published=published,
        state=word,
        detail=detail,
        last_sync=report.last_sync if report is not None else known.last_sync,
        next_turn=report.next_at if report is not None else 0.0,
        observed=published if readable and state is not None and state.last_read else (),
        observed_at=state.last_read if readable and state is not None else 0.0,
        owner=str(which),
    )


def _word(entry: Entry, report: Report | None) -> tuple[str, str]:
    if not entry.enabled:
        return "disabled", "spec.enabled is false"
    if report is not None:
        if report.ready:
            return "in-sync", ""
        word = "failed" if report.ok is False else "pending"
        return "locked" if report.locked else "held" if report.conflict else word, report.message
    ready = next((one for one in entry.known.conditions if one.type == "Ready"), None)
    if ready is None:
        return "pending", "it has not had a turn yet"
    return ("in-sync", "") if ready.status == "True" else ("pending", ready.message)
