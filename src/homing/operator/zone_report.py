"""How a Zone is, told: its status with its conditions, events of what became wrong or right, the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from homing.dns.authority import Authority
from homing.effects.clock import Clock
from homing.effects.log import get_logger
from homing.errors import Conflict, KubeError, NotFound
from homing.kube.client import KubeClient
from homing.kube.kinds import ZONES
from homing.kube.kinds.zone import MAX_UNHEALTHY, Zone
from homing.kube.objects import Condition, ObjectReference
from homing.kube.recorder import Recorder
from homing.model.name import Name
from homing.operator.conditions import condition, condition_data
from homing.operator.entry import Unready
from homing.operator.own import reference
from homing.operator.zone_checks import Checked
from homing.operator.zone_state import House, Known
from homing.operator.zones import status_of
from homing.providers.zone import ZoneProvider

log = get_logger("zones")

AGAIN = 15.0
"""Seconds after which what failed is tried again."""

WAITS_FOR = 60.0
"""Seconds until a Zone that cannot be served is looked at again, should the change that mends it go unseen."""

SHOWN = 5
"""Names or addresses in one message."""

STANDING = 5.0
"""Seconds between two looks at how far secondaries are."""

REST = 2.0
"""Seconds between two writes of a status in which nothing moved but the serial, and what follows from it."""

HEALTHY = "AddressesHealthy"
"""The condition that tells whether the addresses of nodes pass their check."""


class ZoneReports:
    """Tells how Zones are. ``checked`` gives what a zone knows by its health check, None where it has none."""

    def __init__(
        self,
        client: KubeClient,
        provider: ZoneProvider,
        authority: Authority,
        house: House,
        recorder: Recorder,
        checked: Callable[[Name], Checked | None],
        clock: Clock,
    ) -> None:
        self._client = client
        self._provider = provider
        self._authority = authority
        self._house = house
        self._recorder = recorder
        self._checked = checked
        self._clock = clock

    async def report(self, found: Zone, known: Known | None, problem: Unready | None) -> float | None:
        """Tell how a Zone is; the seconds until it is to be told again, None for when something changes."""
        name = found.metadata.name
        problem = problem or (known.follow.problem if known is not None else None)
        standings = [item for item in self._house.standings() if known is not None and item.origin == known.origin]
        checked = self._checked(known.origin) if known is not None else None
        served = self._authority.zone(known.origin) if known is not None else None
        conditions = [self._ready(found, known, problem), *self._healthy(found, checked)]
        status = status_of(found, served, standings, map(condition_data, conditions))
        unhealthy = list(checked.unhealthy)[:MAX_UNHEALTHY] if checked is not None else []
        status["unhealthyAddresses"] = [str(address) for address in unhealthy]
        self._tell(found, known, problem)
        await self._tell_checked(found, known, checked)
        wait = WAITS_FOR if problem is not None else STANDING if standings else None
        if known is not None and status == known.status:
            return wait
        rest = known.written_at + REST - self._clock.monotonic() if known is not None else 0.0
        if known is not None and rest > 0 and _standing(status) == _standing(known.status):
            return rest
        body = {"metadata": {"uid": found.metadata.uid}, "status": status}
        try:
            await self._client.patch(ZONES, name, body, sub="status")
        except (NotFound, Conflict):
            return None  # it is gone, or another one of its name
        except KubeError as error:
            log.warning("status not written, trying again", zone=name, reason=str(error))
            return AGAIN
        if known is not None:
            known.status, known.written_at = status, self._clock.monotonic()
        return wait

    async def served(self, found: Zone, origin: Name) -> None:
        """Tell that a zone is served as its Zone says now."""
        zone = self._authority.zone(origin)
        assert zone is not None  # noqa: S101 - just now
        told = f"{origin.text} is served with serial {zone.serial} and {zone.records} records"
        log.info("zone served", zone=origin.text, serial=zone.serial, records=zone.records)
        self._recorder.event(_reference(found), "Normal", "Served", told, "Serve")
        await self._house.happened(origin, f"Zone {found.metadata.name}: serial {zone.serial}")

    def _condition(self, found: Zone, kind: str, status: bool | None, reason: str, message: str) -> Condition:
        at, generation = self._clock.time(), found.metadata.generation
        return condition(found.status.conditions, kind, status, reason, message, at=at, generation=generation)

    def _ready(self, found: Zone, known: Known | None, problem: Unready | None) -> Condition:
        hidden = self._hidden(found, known)
        if problem is not None:
            return self._condition(found, "Ready", False, problem.reason, str(problem))
        unlisted = found.spec.catalog and not self._house.has_catalog
        message = "not listed in a catalog: start homing dns with --catalog NAME" if unlisted else hidden
        return self._condition(found, "Ready", True, "Served", message)

    def _healthy(self, found: Zone, checked: Checked | None) -> Iterable[Condition]:
        """Whether all addresses pass; as the last leader told it until they are checked."""
        if checked is None:
            return
        if not checked.began:
            kept = [item for item in found.status.conditions if item.type == HEALTHY]
            yield from kept or [self._condition(found, HEALTHY, None, "NotYetChecked", "no address was checked yet")]
        elif checked.unhealthy:
            some = _some([f"{address} ({why})" for address, why in checked.unhealthy.items()])
            told = f"{len(checked.unhealthy)} of {checked.addresses} addresses fail {checked.probe}: {some}"
            yield self._condition(found, HEALTHY, False, "SomeFail", f"{told}; left out where others pass")
        elif not checked.addresses:
            yield self._condition(
                found, HEALTHY, None, "NothingChecked", "no node outside of the own Site has an address"
            )
        elif checked.obstacle:
            yield self._condition(found, HEALTHY, None, "CannotTell", checked.obstacle)
        else:
            yield self._condition(
                found, HEALTHY, True, "AllPass", f"{checked.addresses} addresses are checked by {checked.probe}"
            )

    def _tell(self, found: Zone, known: Known | None, problem: Unready | None) -> None:
        """An event for what is wrong, when it became so."""
        told = (problem.reason, str(problem)) if problem is not None else ("", "")
        if (known is None or known.told != told) and problem is not None:
            log.warning("zone not as it should be", zone=found.metadata.name, reason=str(problem))
            self._recorder.event(_reference(found), "Warning", *told, "Serve")
        if known is not None:
            known.told = told

    async def _tell_checked(self, found: Zone, known: Known | None, checked: Checked | None) -> None:
        """Events and history of addresses that fail or pass again; the log tells each where it is checked."""
        if known is None or (checked is not None and not checked.began):
            return
        now = {str(address): why for address, why in checked.unhealthy.items()} if checked is not None else {}
        before = known.unhealthy if known.unhealthy is not None else set(found.status.unhealthy_addresses)
        known.unhealthy = set(now)
        failing = [f"{address} ({why})" for address, why in now.items() if address not in before]
        passing = [address for address in sorted(before) if address not in now]
        for some, kind, reason, told in (
            (failing, "Warning", "AddressFailing", "check failed, left out where others pass"),
            (passing, "Normal", "AddressHealthy", "answered again"),
        ):
            if some:
                message = f"{told}: {_some(some)}"
                self._recorder.event(_reference(found), kind, reason, message, "Check")
                await self._house.happened(known.origin, message)

    def _hidden(self, found: Zone, known: Known | None) -> str:
        """Names of the cluster's that somebody else has, in a sentence; an event when they became others."""
        hidden: Mapping[Name, str] = self._provider.hidden(known.origin) if known is not None else {}
        some = _some([f"{name.text} ({why})" for name, why in sorted(hidden.items())])
        told = f"names that areas, Services or nodes do not have: {some}" if hidden else ""
        if known is not None and known.hidden != hidden:
            known.hidden = dict(hidden)
            if told:
                log.warning("names of the cluster are taken", zone=found.metadata.name, names=some, count=len(hidden))
                self._recorder.event(_reference(found), "Warning", "NameTaken", told, "Serve")
        return told


def _some(items: list[Any]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _standing(status: Mapping[str, Any]) -> Any:
    """What a status says beside numbers that every version moves."""
    return status.get("observedGeneration"), status.get("conditions"), status.get("unhealthyAddresses")


def _reference(found: Zone) -> ObjectReference:
    return reference(ZONES.kind, ZONES.api_version, found.metadata)
