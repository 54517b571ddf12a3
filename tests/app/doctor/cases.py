"""A case for the doctor without a home of its own: settings as text, a state directory, the system's clock."""

from __future__ import annotations

import contextlib
import random
import tomllib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from homing.app.doctor.case import Case, read_state
from homing.app.doctor.finding import Finding, Level
from homing.app.settings import Loaded, parse
from homing.effects.clock import Clock, SystemClock
from homing.effects.http import HttpClient


@contextlib.asynccontextmanager
async def case_of(
    folder: Path, text: str, *, clock: Clock | None = None, resolver: tuple[str, int] | None = None
) -> AsyncIterator[Case]:
    """A case of these settings; relative paths start from the folder, the state lies in ``folder/state``."""
    loaded = Loaded(parse(tomllib.loads(text), "homing.toml"), "homing.toml", folder)
    async with HttpClient() as http:
        disk = read_state(folder / "state")
        made = Case(loaded, folder / "state", http, clock or SystemClock(), random.Random(7), disk, resolver)
        try:
            yield made
        finally:
            await made.aclose()


def levels(findings: Sequence[Finding]) -> list[Level]:
    """How bad each is."""
    return [finding.level for finding in findings]


def one(findings: Sequence[Finding], level: Level) -> Finding:
    """The one finding of this level."""
    (found,) = [finding for finding in findings if finding.level is level]
    return found
