"""What the leader does for Site ``default``: its ConfigMap for ESDDNS's users, and observing where no agent does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from homing.effects.clock import Clock, wait_until
from homing.effects.log import get_logger
from homing.errors import Conflict, Invalid, KubeError
from homing.kube.client import KubeClient
from homing.kube.kinds import SITES
from homing.kube.kinds.site import Site
from homing.kube.objects import Key, Lease
from homing.kube.recorder import Recorder
from homing.kube.resource import CONFIG_MAPS, LEASES
from homing.kube.watch import Mirror
from homing.model.address import Family
from homing.model.observation import Verdict
from homing.operator.agent import lease_name
from homing.operator.conditions import seconds_of
from homing.operator.own import reference
from homing.operator.site_views import DEFAULT, site_addresses
from homing.operator.sites import MakeDetector, SiteObserver, detected_at

log = get_logger("home")

LOOK = 5.0
"""Seconds between two looks, should a change go unseen."""

INTERVALS = 2
"""Intervals of a Site after which its agents' word is too old."""

MAX_LEASE = 600
"""Seconds of an agent's Lease that are believed."""

CONFIG_MAP = "esddns-wan-ip"
"""The ConfigMap that ESDDNS's users read (SPEC B8)."""


MANAGED = "app.kubernetes.io/managed-by=homing"
"""The label of a Site ``default`` that the operator created; without it the Site is somebody else's."""


class Home:
    """Keeps Site ``default`` observed and its address in a ConfigMap."""

    def __init__(
        self,
        client: KubeClient,
        sites: Mirror[Site],
        make: MakeDetector,
        *,
        recorder: Recorder,
        clock: Clock,
        chance: random.Random,
        config_map: str = CONFIG_MAP,
        interval: int = 300,
        detect: Callable[[], Mapping[str, Any] | None] = dict,
        heard: Callable[[Verdict, bool], None] = lambda _verdict, _new: None,
    ) -> None:
        """``detect`` gives fields of ``spec.detect`` for a Site ``default`` that is created; None while not known."""
        self._client = client
        self._sites = sites
        self._make = make
        self._recorder = recorder
        self._clock = clock
        self._config_map = config_map
        self._interval = interval
        self._detect = detect
        self._heard = heard
        self._leases = Mirror(
            client,
            LEASES,
            clock=clock,
            chance=chance,
            namespaces=(client.namespace,),
            field_selector=f"metadata.name={lease_name(DEFAULT)}",
            on_change=self._lease_changed,
        )
        self._renewed = clock.monotonic()
        self._news = asyncio.Event()
        self._written: dict[str, str] | None = None
        self._settled: Mapping[str, Any] | None = None
        self._observing: tuple[tuple[str, int], asyncio.Task[None]] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._leases.run())
            await self._sites.synced.wait()
            await self._leases.synced.wait()
            while True:
                try:
                    await self._look(group)
                except KubeError as error:
                    log.warning("trying again", reason=str(error))
                await wait_until(self._news, LOOK, self._clock)
                self._news.clear()

    @property
    def is_observing(self) -> bool:
        """Whether this process observes for Site ``default`` itself."""
        return self._observing is not None

    def hurry(self) -> None:
        """Site ``default`` changed: look now."""
        self._news.set()

    async def copied(self) -> None:
        """Write the ConfigMap where it differs."""
        site = self._sites.get(("", DEFAULT))
        addresses = site_addresses(site) if site is not None else {}
        if site is None or not addresses:
            return  # not seeing is not knowing (law 1)
        address = addresses.get(Family.V4) or next(iter(addresses.values()))
        data = {"current_ip": str(address), "detected_at": _unzoned(detected_at(site))}
        if data == self._written:
            return
        body = {
            "metadata": {"name": self._config_map},
            "data": {**data, "timestamp": _unzoned(self._clock.time())},
        }
        await self._client.apply(CONFIG_MAPS, self._config_map, body, self._client.namespace)
        self._written = data

    async def _look(self, group: asyncio.TaskGroup) -> None:
        site = self._sites.get(("", DEFAULT))
        await self._settle(site)
        if site is None:
            return
        reason = self._unobserved(site)
        state = (site.metadata.uid, site.metadata.generation)
        if self._observing is not None and (not reason or self._observing[0] != state):
            self._observing[1].cancel()
            await asyncio.gather(self._observing[1], return_exceptions=True)
            self._observing = None
        if reason and self._observing is None:
            told = f"the operator observes for this Site itself: {reason}"
            log.info("observing for Site default", reason=reason)
            self._recorder.event(
                reference(SITES.kind, SITES.api_version, site.metadata), "Normal", "ObservedByOperator", told, "Detect"
            )
            observer = SiteObserver(self._client, site, self._make, by="operator", clock=self._clock, heard=self._heard)
            self._observing = (state, group.create_task(observer.run()))
        await self.copied()

    async def _settle(self, site: Site | None) -> None:
        """Create Site ``default``, and keep one that we created as the settings have it; no field of anybody else's."""
        wanted = self._detect()
        if wanted is None or (site is not None and (wanted == self._settled or MANAGED not in _labels(site))):
            return
        detect = {"intervalSeconds": self._interval, **wanted}
        try:
            await self._apply(detect)
        except Conflict as error:
            log.warning("Site default stays as somebody else wrote it", reason=str(error))
        except Invalid as error:  # told, and observed all the same
            log.warning("Site default does not take what ESDDNS's ConfigMap asks for", reason=str(error))
            if site is None:
                await self._apply({"intervalSeconds": self._interval})
        self._settled = wanted

    async def _apply(self, detect: Mapping[str, Any]) -> None:
        key, _, value = MANAGED.partition("=")
        body = {"metadata": {"name": DEFAULT, "labels": {key: value}}, "spec": {"detect": detect}}
        await self._client.apply(SITES, DEFAULT, body, force=False)
        log.info("Site default applied", **detect)

    def _unobserved(self, site: Site) -> str:
        """Why no agent can be relied on; empty when one can."""
        lease = self._leases.get((self._client.namespace, lease_name(DEFAULT)))
        holder = lease.spec.holder_identity if lease is not None else None
        if lease is None or not holder:
            return "no agent holds its Lease"
        duration = float(min(lease.spec.lease_duration_seconds or 15, MAX_LEASE))
        if self._clock.monotonic() - self._renewed > duration + LOOK:
            return f"agent {holder} no longer renews its Lease"
        limit = INTERVALS * site.spec.detect.interval_seconds
        if self._clock.time() - detected_at(site) > limit and self._leading_for(lease) > limit:
            return f"agent {holder} has said nothing for over {limit} s"
        return ""

    def _leading_for(self, lease: Lease) -> float:
        return self._clock.time() - seconds_of(lease.spec.acquire_time)

    def _lease_changed(self, _: Key, old: Lease | None, new: Lease | None) -> None:
        if new is not None:
            self._renewed = self._clock.monotonic()
        if (old and old.spec.holder_identity) != (new and new.spec.holder_identity):
            self._news.set()


def _labels(site: Site) -> set[str]:
    return {f"{key}={value}" for key, value in site.metadata.labels.items()}


def _unzoned(seconds: float) -> str:
    """ISO 8601 without a zone, as ESDDNS wrote it; UTC."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
