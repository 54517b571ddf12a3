"""When a provider must be left alone: lockouts and cooldowns, decided. Pure: no clock, no I/O, nothing is kept here.

=====================  ==========================================
a lockout              ends
=====================  ==========================================
until a person acts    when the credentials change (U7)
for a time (911)       when its time has come, and not before
=====================  ==========================================
"""

from __future__ import annotations

from collections.abc import Iterable

from homing.errors import ProviderLocked
from homing.model.lockout import Lockout
from homing.model.name import Name


def lockout_for(
    error: ProviderLocked, provider: str, account: str, name: Name, now: float, fingerprint: str
) -> Lockout:
    """The lockout that an answer earns: for the whole account, or for the host that was asked for.

    ``now`` is Unix seconds, ``fingerprint`` that of the credentials the request was made with.
    """
    host = "" if error.account else name.text
    until = None if error.seconds is None else now + error.seconds
    return Lockout(provider, account, host, error.code, str(error), now, until, fingerprint)


def active(
    lockouts: Iterable[Lockout], provider: str, account: str, name: Name, now: float, fingerprint: str
) -> Lockout | None:
    """The lockout that holds a name back now, or None.

    ``fingerprint`` is that of the credentials as they are now; ``""`` (they cannot be read) lifts nothing: not
    seeing is not knowing (law 1). Of several lockouts the one that lasts longest is given.
    """
    holding = [
        lockout
        for lockout in lockouts
        if (lockout.provider, lockout.account) == (provider, account)
        and lockout.host in ("", name.text)
        and _holds(lockout, now, fingerprint)
    ]
    return max(holding, key=_lasting, default=None)


def next_allowed(last: float | None, cooldown: float, now: float) -> float:
    """When a host may be asked for again after a request at ``last`` (Unix seconds; None: never asked).

    A ``last`` in the future (the clock was set back) delays by one ``cooldown`` (seconds) at most.
    """
    if last is None:
        return now
    return max(now, min(last, now) + cooldown)


def _holds(lockout: Lockout, now: float, fingerprint: str) -> bool:
    if lockout.until is not None:
        return now < lockout.until
    return not fingerprint or fingerprint == lockout.fingerprint


def _lasting(lockout: Lockout) -> float:
    return float("inf") if lockout.until is None else lockout.until
