"""What ``homing doctor`` looks at on one machine."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable
from pathlib import Path

from homing.app.doctor.case import Case, read_state
from homing.app.doctor.clock import clock
from homing.app.doctor.configuration import configuration, secrets, state
from homing.app.doctor.finding import Finding
from homing.app.doctor.logins import logins
from homing.app.doctor.nat import nat
from homing.app.doctor.ports import ports
from homing.app.doctor.run import Check, examine
from homing.app.doctor.secondaries import secondaries
from homing.app.doctor.wan import wan
from homing.app.doctor.zones import zones
from homing.app.settings import Loaded
from homing.effects.clock import SystemClock
from homing.effects.http import HttpClient

CHECKS = (
    ("configuration", configuration),
    ("state", state),
    ("secrets", secrets),
    ("ports", ports),
    ("clock", clock),
    ("WAN address", wan),
    ("NAT", nat),
    ("providers", logins),
    ("zones", zones),
    ("secondaries", secondaries),
)


async def look_at_house(
    loaded: Loaded, directory: Path, resolver: tuple[str, int] | None, tell: Callable[[Finding], None]
) -> list[Finding]:
    """All checks of one machine."""
    disk = await asyncio.to_thread(read_state, directory)
    async with HttpClient() as http:
        case = Case(loaded, directory, http, SystemClock(), random.SystemRandom(), disk, resolver)
        try:
            return await examine([Check(name, functools.partial(look, case)) for name, look in CHECKS], tell)
        finally:
            await case.aclose()
