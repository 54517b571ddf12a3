"""A Site's addresses: observed by one, written to its status for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from homing.detect.consensus import votes
from homing.detect.detector import Detector
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import ConfigError, Conflict, KubeError, NotFound
from homing.kube.client import KubeClient
from homing.kube.kinds import SITES
from homing.kube.kinds.site import Detect, Site
from homing.kube.objects import Condition
from homing.model.address import Address, Family
from homing.model.observation import Outcome, Verdict
from homing.operator.conditions import condition, condition_data, moment, seconds_of
from homing.operator.site_views import site_addresses

log = get_logger("sites")

GATHER = 0.3
"""Seconds after a change of one family in which the other may follow, so that both are told at once."""

AGAIN = 5.0
"""Seconds after which a status that could not be written is written again."""

MakeDetector = Callable[[Detect, Callable[[Verdict], None]], Detector]
"""Makes the detector that a Site's spec asks for; it tells each round that ended."""


@dataclass(slots=True)
class _Good:
    """An address that was agreed on; times are Unix seconds."""

    address: Address
    since: float
    confirmed: float


@dataclass(slots=True)
class SiteView:
    """What is known of a Site's addresses. Starts from its status, so that a restart forgets nothing (law 8)."""

    good: dict[Family, _Good] = field(default_factory=dict[Family, _Good])
    verdicts: dict[Family, Verdict] = field(default_factory=dict[Family, Verdict])

    @classmethod
    def of(cls, site: Site) -> SiteView:
        """What the status says."""
        known = {item.address: item for item in site.status.addresses}
        return cls(
            {
                family: _Good(
                    address, seconds_of(known[str(address)].since), seconds_of(known[str(address)].confirmed_at)
                )
                for family, address in site_addresses(site).items()
                if str(address) in known
            }
        )

    def take(self, verdict: Verdict) -> bool:
        """Note how a round ended; True when there is a new address. A round without agreement takes nothing away."""
        self.verdicts[verdict.family] = verdict
        if verdict.outcome is not Outcome.AGREED or verdict.address is None:
            return False
        before = self.good.get(verdict.family)
        if before is not None and before.address == verdict.address:
            before.confirmed = verdict.at
            return False
        self.good[verdict.family] = _Good(verdict.address, verdict.at, verdict.at)
        return True

    def status(self, before: tuple[Condition, ...], by: str, generation: int) -> dict[str, Any]:
        """The status of the Site."""
        at = max((verdict.at for verdict in self.verdicts.values()), default=0.0)
        disputed = [one for one in self.verdicts.values() if one.outcome is Outcome.DISPUTED]
        agreed = [one for one in self.verdicts.values() if one.outcome is Outcome.AGREED]
        told = "; ".join(f"{one.family}: {one.reason}" for one in self.verdicts.values())
        conditions = (
            condition(
                before,
                "Detected",
                bool(self.good),
                "Agreed" if agreed else "LastGood" if self.good else "Unknown",
                told if agreed or not self.good else f"the last good address stays; {told}",
                at=at,
                generation=generation,
            ),
            condition(
                before,
                "Disputed",
                bool(disputed),
                "Disputed" if disputed else "NotDisputed",
                "; ".join(f"{one.family}: {one.reason}; the last good address stays" for one in disputed),
                at=at,
                generation=generation,
            ),
        )
        return {
            "ipv4": self._text(Family.V4),
            "ipv6": self._text(Family.V6),
            "addresses": [
                {
                    "family": str(family),
                    "address": str(good.address),
                    "since": moment(good.since),
                    "confirmedAt": moment(good.confirmed),
                }
                for family, good in sorted(self.good.items())
            ],
            "votes": [_vote(verdict) for _, verdict in sorted(self.verdicts.items())],
            "detectedAt": moment(at),
            "detectedBy": by,
            "observedGeneration": generation,
            "conditions": [condition_data(item) for item in conditions],
        }

    def _text(self, family: Family) -> str | None:
        good = self.good.get(family)
        return str(good.address) if good is not None else None


class SiteObserver:
    """Observes for one Site and writes its status until cancelled. ``by`` is the node, or ``operator``."""

    def __init__(
        self,
        client: KubeClient,
        site: Site,
        make: MakeDetector,
        *,
        by: str,
        clock: Clock,
        heard: Callable[[Verdict, bool], None] = lambda _verdict, _new: None,
    ) -> None:
        """``heard`` is told each round that ended, and whether its address is new."""
        self._client = client
        self._site = site
        self._clock = clock
        self._by = by
        self._heard = heard
        self._view = SiteView.of(site)
        self._families = len(set(site.spec.detect.families))
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._detector: Detector | None = None
        self._problem = ""
        try:
            self._detector = make(site.spec.detect, self._on_round)
        except ConfigError as error:
            self._problem = str(error)

    async def run(self) -> None:
        """Observe and write; a spec that cannot be right is told, and changes nothing else."""
        if self._detector is None:
            log.warning("the Site cannot be observed for", site=self._site.metadata.name, reason=self._problem)
            await self._tell_problem()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._detector.run())
            group.create_task(self._write())

    async def _tell_problem(self) -> None:
        """Write why nothing is observed, then wait for another spec, which has an observer of its own."""
        meta, before = self._site.metadata, self._site.status.conditions
        told = condition(
            before,
            "Detected",
            bool(self._view.good),
            "InvalidSpec",
            f"{self._problem}; the last good address stays",
            at=self._clock.time(),
            generation=meta.generation,
        )
        others = [condition_data(item) for item in before if item.type != told.type]
        status = {"observedGeneration": meta.generation, "conditions": [condition_data(told), *others]}
        while not await self._wrote(status):
            await self._clock.sleep(AGAIN)
        await asyncio.Event().wait()

    async def _wrote(self, status: dict[str, Any]) -> bool:
        """Write the status of this very Site, not of one that was made anew under its name."""
        meta = self._site.metadata
        try:
            await self._client.patch(SITES, meta.name, {"metadata": {"uid": meta.uid}, "status": status}, sub="status")
        except (NotFound, Conflict):
            log.warning("the Site is gone", site=meta.name)
        except KubeError as error:
            log.warning("status of the Site not written, trying again", site=meta.name, reason=str(error))
            return False
        return True

    def _on_round(self, verdict: Verdict) -> None:
        new = self._view.take(verdict)
        self._heard(verdict, new)
        if new:
            log.info(
                "WAN address", site=self._site.metadata.name, family=str(verdict.family), address=str(verdict.address)
            )
            if self._detector is not None:
                self._detector.trigger()
        self._news.set()

    async def _write(self) -> None:
        conditions = tuple(self._site.status.conditions)
        while True:
            await self._news.wait()
            self._news.clear()
            await self._clock.sleep(GATHER)
            while len(self._view.verdicts) < self._families:  # half of the first look would go out alone
                await self._news.wait()
                self._news.clear()
            status = self._view.status(conditions, self._by, self._site.metadata.generation)
            if await self._wrote(status):
                conditions = tuple(Condition(**_snake(item)) for item in status["conditions"])
            else:
                await self._clock.sleep(AGAIN)
                self._news.set()


def detected_at(site: Site) -> float:
    """When the last round for a Site ended (Unix seconds), 0 for never."""
    return seconds_of(site.status.detected_at)


def _vote(verdict: Verdict) -> dict[str, Any]:
    ballots = list(votes(verdict.observations).values())
    most = max((ballots.count(one) for one in ballots if one is not None), default=0)
    return {
        "family": str(verdict.family),
        "outcome": verdict.outcome.value.capitalize(),
        "asked": len(verdict.observations),
        "answered": sum(item.counts for item in verdict.observations),
        "agreed": most,
        "disagreed": len(ballots) - most,
        "reason": verdict.reason[:1024],
    }


def _snake(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": item["type"],
        "status": item["status"],
        "last_transition_time": item["lastTransitionTime"],
    }
