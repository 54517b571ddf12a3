"""The configuration, the state, and the modes of the files that hold secrets; asks nobody."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from homing.app.check import check
from homing.app.doctor.case import Case
from homing.app.doctor.finding import Finding, Level
from homing.app.places import expanded
from homing.app.settings import Loaded
from homing.errors import ConfigError

CONFIGURATION, STATE, SECRETS = "configuration", "state", "secrets"


async def configuration(case: Case) -> Sequence[Finding]:
    """Everything that ``homing check`` says."""
    report = await check(case.loaded)
    found: list[Finding] = []
    for error in report.errors:
        text, _, remedy = error.partition("; ")
        found.append(Finding(CONFIGURATION, Level.ERROR, text, remedy))
    found += [Finding(CONFIGURATION, Level.NOTE, note) for note in report.notes]
    if not report.errors:
        names = f"{report.names} name{'s' if report.names != 1 else ''}"
        found.insert(0, Finding(CONFIGURATION, Level.OK, f"{case.loaded.origin}: fine, {names}"))
    return found


async def state(case: Case) -> Sequence[Finding]:
    """Whether the state can be read, and who holds it."""
    disk = case.disk
    if disk.fresh:
        return [Finding(STATE, Level.NOTE, f"none in {case.state} yet: no daemon has run with it")]
    if disk.problem:
        remedy = "run this as the daemon's user, as by sudo -u homing homing doctor, or name the state with --state"
        return [Finding(STATE, Level.WARNING, disk.problem, remedy)]
    if disk.daemon is None:
        return [Finding(STATE, Level.NOTE, f"no daemon runs with {case.state}")]
    return [Finding(STATE, Level.OK, f"process {disk.daemon} runs with {case.state}")]


async def secrets(case: Case) -> Sequence[Finding]:
    """Whether strangers may read a file that holds a secret."""
    found: list[Finding] = []
    files = sorted(set(secret_files(case.loaded)))
    for path in files:
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # the configuration's check tells that it cannot be read
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            doing = "read" if mode & stat.S_IROTH else "change"
            found.append(Finding(SECRETS, Level.WARNING, f"everybody may {doing} {path}", f"chmod o= {path}"))
    if not found and files:
        found.append(Finding(SECRETS, Level.OK, "no stranger may read a file that holds one"))
    return found


def secret_files(loaded: Loaded) -> Iterator[Path]:
    """The files that the settings name for secrets."""
    settings = loaded.settings
    tables: list[tuple[str, msgspec.Struct]] = [(f"providers.{key}", item) for key, item in settings.providers.items()]
    if settings.dns is not None:
        tables += [("dns", settings.dns), *(("dns.keys", key) for key in settings.dns.keys)]
    for where, table in tables:
        for field in table.__struct_fields__:
            value: object = getattr(table, field)
            if field.endswith("_file") and field != "ca_file" and isinstance(value, str) and value:
                try:
                    yield loaded.base / expanded(value, f"{where}.{field}")
                except ConfigError:
                    continue  # told by the configuration's check
