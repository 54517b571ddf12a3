"""Logins at the providers, tried without an update: those that can be read are read, dyndns2 is asked for a host that
nobody has. A provider that wants to be left alone is left alone; each login is tried once a run, and at most once a
minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from msgspec import structs

from homing.app.build import build_provider, http_client
from homing.app.doctor.case import Case, OnDisk
from homing.app.doctor.finding import Finding, Level, told
from homing.app.settings import ProviderSettings, Rfc2136Settings
from homing.errors import ConfigError, ModelError, ProviderBusy, ProviderError
from homing.model.lockout import Lockout
from homing.model.name import Name, parse_name
from homing.providers.base import Provider
from homing.providers.dyndns2 import Dyndns2
from homing.providers.lockout import active

PATIENCE = 6.0
"""Seconds for one provider."""

PAUSE = 60.0
"""Seconds between two logins at a dyndns2 service."""

FILE = "doctor.json"
"""In the state directory: when each dyndns2 login was tried last, and what came of it."""

MAX_FILE = 256 * 1024

RIGHT = frozenset(("nohost", "notfqdn"))
"""What a service says of a host that nobody has, once it took the login."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A login tried before, at Unix time ``at`` with credentials that ``fingerprint`` stands for."""

    at: float
    fingerprint: str
    code: str


async def logins(case: Case) -> Sequence[Finding]:
    """One finding a provider."""
    providers = case.loaded.settings.providers
    found = await asyncio.gather(*(_login(case, key, settings) for key, settings in providers.items()))
    return [finding for findings in found for finding in findings]


def paused(check: str, lockout: Lockout) -> Finding:
    """A pause on disk: nobody is asked meanwhile."""
    host = f" for {lockout.host}" if lockout.host else ""
    since = f"since {when(lockout.since)}"
    happened, remedy = told(ProviderError(lockout.code, lockout.reason))
    if lockout.until is not None:
        text = f"paused{host} until {when(lockout.until)}, {since}: {happened}"
        return Finding(check, Level.ERROR, text, remedy or "it goes on by itself")
    back = f"then, if the credentials stay the same: homing unlock {lockout.provider}"
    return Finding(check, Level.ERROR, f"paused{host} {since}: {happened}", f"{remedy}; {back}" if remedy else back)


def judge_code(check: str, code: str, remedy: str, at: str = "") -> Finding:
    """What the code of a dyndns2 login means; ``at`` tells when it was tried, if not now."""
    before = f", tried {at}" if at else ""
    if code in RIGHT:
        return Finding(check, Level.OK, f"the login works{before}")
    if code in ("good", "nochg"):
        text = f"the service says {code} to a host that nobody has{before}: what it says cannot be trusted"
        return Finding(check, Level.WARNING, text, "check server and type of the provider")
    level = Level.WARNING if code in ("911", "dnserr") else Level.ERROR
    return Finding(check, level, f"the service says {code}{before}", remedy)


async def _login(case: Case, key: str, settings: ProviderSettings) -> list[Finding]:
    check = f"provider {key}"
    names = [
        parse_name(entry.fqdn) for entry in case.loaded.settings.names if entry.provider == key and _sound(entry.fqdn)
    ]
    if not names:
        return []
    bounded = structs.replace(settings, timeout=min(settings.timeout, PATIENCE))
    try:
        async with http_client(case.loaded, settings.ca_file, check) as http:
            provider = build_provider(key, bounded, case.loaded, http)
            try:
                lockout = await asyncio.to_thread(_lockout, provider, names, case.disk, case.clock.time())
                if lockout is not None:
                    return [paused(check, lockout)]
                if isinstance(provider, Dyndns2) and case.disk.problem and not case.disk.fresh:
                    text = "not tried: the state cannot be read, and so whether the service wants to be left alone"
                    return [Finding(check, Level.SKIPPED, text)]
                if isinstance(provider, Dyndns2):
                    return [await _dyndns2(case, check, provider, names[0])]
                return [await _read(check, provider, bounded, names[0])]
            finally:
                await provider.aclose()
    except ConfigError:
        return []  # told by the configuration's check


async def _read(check: str, provider: Provider, settings: ProviderSettings, name: Name) -> Finding:
    try:
        await provider.read(name)
    except ProviderBusy as error:
        happened, remedy = told(error)
        level = Level.ERROR if error.code == "BADTIME" else Level.WARNING
        return Finding(check, level, happened.removeprefix(f"{check}: "), remedy or "see: homing status")
    except ProviderError as error:
        happened, remedy = told(error)
        return Finding(check, Level.ERROR, happened.removeprefix(f"{check}: "), remedy)
    how = f"TSIG key {settings.key_name} is taken" if isinstance(settings, Rfc2136Settings) else "the login works"
    return Finding(check, Level.OK, f"{how}, {name.text} can be read; whether it may be changed is not tried")


async def _dyndns2(case: Case, check: str, provider: Dyndns2, name: Name) -> Finding:
    if not provider.tries_login:
        return _by_history(check, provider.name, case.disk)
    account = provider.account(name)
    print_now = await asyncio.to_thread(provider.fingerprint, name, case.disk.salt) if case.disk.salt else ""
    memory = case.state / FILE
    known = _remembered(memory).get(account)
    now = case.clock.time()
    if known is not None and known.fingerprint == print_now:
        same = known.code not in RIGHT or 0 <= now - known.at < PAUSE
        if same and not (known.code in ("911", "dnserr") and now - known.at > PAUSE):
            return judge_code(check, known.code, provider.remedy(known.code), when(known.at))
    try:
        code = await provider.login(name)
    except ProviderBusy as error:
        happened, remedy = told(error)
        return Finding(check, Level.WARNING, happened.removeprefix(f"{check}: "), remedy or "see: homing status")
    if print_now:
        await asyncio.to_thread(_remember, memory, account, Tried(now, print_now, code))
    return judge_code(check, code, provider.remedy(code))


def _by_history(check: str, provider: str, disk: OnDisk) -> Finding:
    """Where no login can be tried, the last update tells something."""
    last = next((item for item in disk.updates if item.provider == provider), None)
    alone = "a login alone cannot be tried at this service"
    if last is None:
        return Finding(check, Level.SKIPPED, f"{alone}, and nothing was updated yet")
    if last.ok:
        return Finding(check, Level.OK, f"{alone}; the last update went through, {when(last.at)}")
    happened, remedy = told(ProviderError(last.code, last.detail))
    return Finding(check, Level.ERROR, f"{alone}; the last update failed, {when(last.at)}: {happened}", remedy)


def _lockout(provider: Provider, names: Sequence[Name], disk: OnDisk, now: float) -> Lockout | None:
    """The first pause that holds one of the names back now."""
    for name in names[:20]:
        account = provider.account(name)
        mine = [item for item in disk.lockouts if (item.provider, item.account) == (provider.name, account)]
        if mine and (lockout := active(mine, provider.name, account, name, now, provider.fingerprint(name, disk.salt))):
            return lockout
    return None


def _sound(fqdn: str) -> bool:
    try:
        return bool(parse_name(fqdn).labels)
    except ModelError:
        return False


def _remembered(file: Path) -> Mapping[str, Tried]:
    try:
        with file.open(encoding="utf-8") as source:
            data: object = json.loads(source.read(MAX_FILE))
    except (OSError, ValueError):
        return {}
    rows = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    found: dict[str, Tried] = {}
    for account, row in rows.items():
        with contextlib.suppress(TypeError, ValueError):
            at, fingerprint, code = row
            found[account] = Tried(float(at), str(fingerprint), str(code))
    return found


def _remember(file: Path, account: str, tried: Tried) -> None:
    rows = dict(_remembered(file)) | {account: tried}
    newest = sorted(rows.items(), key=lambda item: item[1].at, reverse=True)[:200]
    beside = file.with_suffix(".new")
    with contextlib.suppress(OSError):  # a state directory that cannot be written: it is only asked once more
        beside.write_text(
            json.dumps({key: [row.at, row.fingerprint, row.code] for key, row in newest}), encoding="utf-8"
        )
        beside.replace(file)


def when(at: float) -> str:
    """A time as people read it, in the machine's zone."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
