"""The clock: TSIG allows 300 s (RFC 8945, section 10), certificates are judged by it too."""

from __future__ import annotations

import asyncio
import ctypes
import statistics
import sys
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from homing.app.doctor.case import Case
from homing.app.doctor.finding import Finding, Level
from homing.app.observe import build_observing
from homing.detect.observers import HttpService
from homing.effects.clock import Clock
from homing.effects.http import HttpClient, HttpError
from homing.errors import ConfigError
from homing.model.observation import Method

CLOCK = "clock"

TSIG_FUDGE = 300.0
"""Seconds between two clocks beyond which a TSIG signature is refused (RFC 8945, section 10)."""

WORRYING = 30.0
"""Seconds from which on something drifts that nobody corrects."""

ASKED = 3
"""Services whose clocks are compared with."""

PATIENCE = 5.0

_STA_UNSYNC = 0x40
_TIMEX_OCTETS = 512
"""More than a ``struct timex`` has anywhere."""

_SET = "let a time service set it: sudo timedatectl set-ntp true (or install chrony)"
_WORDS_OF_TIME = ("expired", "not yet valid")


async def clock(case: Case) -> Sequence[Finding]:
    """Compare with the Date that services answer with (RFC 9110, section 6.6.1), and ask the kernel."""
    try:
        observing = build_observing(
            case.loaded, case.http, clock=case.clock, chance=case.chance, methods=frozenset({Method.HTTP})
        )
    except ConfigError:
        return [judge([], synchronized(), [])]
    services = [item for item in observing.observers() if isinstance(item, HttpService)][:ASKED]
    answers = await asyncio.gather(*(_offset(item.url, case.http, case.clock) for item in services))
    return [
        judge(
            [answer for answer in answers if isinstance(answer, float)],
            synchronized(),
            [answer for answer in answers if isinstance(answer, str)],
        )
    ]


def judge(offsets: Sequence[float], kept: bool | None, failures: Sequence[str]) -> Finding:
    """``offsets`` are seconds by which other clocks are ahead, ``kept`` whether a time service sets this one."""
    if not offsets:
        if any(word in failure for failure in failures for word in _WORDS_OF_TIME):
            return Finding(CLOCK, Level.ERROR, f"probably far off: {failures[0]}", _SET)
        if kept:
            return Finding(CLOCK, Level.OK, "a time service keeps it; nobody was there to compare with")
        return Finding(CLOCK, Level.SKIPPED, "not known: no service told the time")
    middle = statistics.median(offsets)
    way = "behind" if middle > 0 else "ahead"
    by = f"{abs(middle):.0f} s {way} of {len(offsets)} service{'s' if len(offsets) > 1 else ''}"
    if abs(middle) >= TSIG_FUDGE:
        return Finding(CLOCK, Level.ERROR, f"{by}: TSIG signatures and certificates are refused", _SET)
    if abs(middle) >= WORRYING:
        return Finding(CLOCK, Level.WARNING, f"{by}; from {TSIG_FUDGE:.0f} s on, TSIG signatures are refused", _SET)
    right = f"right within {max(abs(middle), 1):.0f} s"
    if kept is False:
        return Finding(CLOCK, Level.NOTE, f"{right} now, yet the kernel says that no time service keeps it", _SET)
    return Finding(CLOCK, Level.OK, f"{right}, as {len(offsets)} service{'s' if len(offsets) > 1 else ''} tell it")


def synchronized() -> bool | None:
    """Whether the kernel says that a time service keeps the clock (adjtimex(2)); None where it does not say."""
    if sys.platform != "linux":
        return None
    buffer = ctypes.create_string_buffer(_TIMEX_OCTETS)  # modes 0: only read
    try:
        state: int = ctypes.CDLL(None).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    # struct timex: modes, offset, freq, maxerror, esterror, status; all but modes and status are long
    word = ctypes.sizeof(ctypes.c_long)
    status = int.from_bytes(buffer.raw[5 * word : 5 * word + 4], sys.byteorder)
    return not status & _STA_UNSYNC


async def _offset(url: str, http: HttpClient, clock: Clock) -> float | str:
    """By how many seconds the service's clock is ahead, or why that is not known."""
    begin = clock.time()
    host = urlsplit(url).hostname or "a service"
    try:
        response = await http.request("GET", url, timeout=PATIENCE, max_redirects=0)
    except HttpError as error:
        return str(error)
    end = clock.time()
    text = next((value for name, value in response.headers.items() if name.lower() == "date"), "")
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return f"{host} tells no time"
    return date.timestamp() + 0.5 - (begin + end) / 2
