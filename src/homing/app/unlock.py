"""``homing unlock``: a person ends a pause, beside a running daemon or without one."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from homing.model.lockout import Lockout
from homing.store import Event, Store, holder


def unlock(directory: Path, provider: str, host: str) -> list[Lockout]:
    """End the pauses of a provider, or of one host there; gives those that were ended. Raises StoreError."""
    with Store(directory, readonly=True):
        pass  # says so when there is no state at all, instead of making one
    with Store(directory) as store:
        ended = [item for item in store.lockouts() if item.provider == provider and host in ("", item.host)]
        for lockout in ended:
            store.lift_lockout(lockout)
            detail = f"{lockout.code} of {lockout.host or 'the account'} ended by hand"
            store.record_event(Event(time.time(), "recovered", provider, detail))
    daemon = holder(directory) if ended else None
    if daemon is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon, signal.SIGHUP)
    return ended
