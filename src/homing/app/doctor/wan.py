"""The WAN address, as the configured observers tell it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from homing.app.doctor.case import Case
from homing.app.doctor.finding import Finding, Level
from homing.detect.interface import has_route
from homing.model.address import Family
from homing.model.observation import Outcome, Verdict

WAN = "WAN address"


async def wan(case: Case) -> Sequence[Finding]:
    """A round of the observers, as ``homing detect`` makes it."""
    verdicts = await case.wan()
    needed = {Family(number) for name in case.loaded.settings.names if name.source == "wan" for number in name.families}
    return list(judge(verdicts, {family for family in verdicts if has_route(family)}, needed))


def judge(verdicts: Mapping[Family, Verdict], routes: set[Family], needed: set[Family]) -> Iterator[Finding]:
    """``routes`` are the families that this machine has a way out for, ``needed`` those that names follow."""
    agreed = {family for family, verdict in verdicts.items() if verdict.outcome is Outcome.AGREED}
    for family, verdict in verdicts.items():
        match verdict.outcome:
            case Outcome.UNKNOWN | Outcome.DISPUTED if not needed:
                yield Finding(WAN, Level.NOTE, f"{family} is {verdict.outcome.value}, and no name follows it")
            case Outcome.AGREED:
                yield Finding(WAN, Level.OK, f"{family} {verdict.address}: {verdict.reason}")
            case Outcome.DISPUTED:
                yield Finding(
                    WAN,
                    Level.ERROR,
                    f"{family} is disputed, so names keep their last address: {verdict.reason}",
                    "see who says what: homing detect; leave out who lies: [detect.stun] servers, [detect.http] "
                    "services; with several uplinks, tie this machine to one",
                )
            case Outcome.UNKNOWN if family not in routes:
                level = Level.NOTE if agreed or family not in needed else Level.ERROR
                remedy = "" if level is Level.NOTE else "check cable, router and default route: ip route"
                yield Finding(WAN, level, f"{family}: this machine has no way to the internet by it", remedy)
            case Outcome.UNKNOWN:
                known = bool(agreed)
                remedy = (
                    f"if there is no {family} here, say so: [detect] families = [{min(agreed).value}]"
                    if known
                    else "check the connection and the firewall: UDP 3478 (STUN) and HTTPS out; see: homing detect"
                )
                level = Level.WARNING if known else Level.ERROR
                yield Finding(WAN, level, f"{family} is not known: {verdict.reason}", remedy)
