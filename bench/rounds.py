"""Rounds one after the other in one process, as the daemon has them: ``python rounds.py warm|cold COUNT``.

``cold`` forgets the addresses of the observers before each round, which after five minutes the daemon does too.
Each round prints one line of JSON: a list of verdicts.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys

from homing.app.observe import build_observing
from homing.app.settings import default_settings
from homing.detect.round import run_rounds
from homing.effects.clock import SystemClock
from homing.effects.http import HttpClient

PAUSE = 0.5
"""Seconds between two rounds."""


async def main(*, cold: bool, count: int) -> None:
    """Print the verdicts of ``count`` rounds with default settings."""
    clock, chance, loaded = SystemClock(), random.SystemRandom(), default_settings("bench")
    async with HttpClient() as http:
        observing = build_observing(loaded, http, clock=clock, chance=chance)
        for _ in range(count):
            ask = build_observing(loaded, http, clock=clock, chance=chance).ask if cold else observing.ask
            verdicts = await run_rounds(observing.observers(), ask, clock=clock, settings=observing.settings.round)
            rows = [
                {
                    "family": verdict.family.value,
                    "outcome": verdict.outcome.value,
                    "reason": verdict.reason,
                    "seconds": verdict.elapsed,
                }
                for verdict in verdicts.values()
            ]
            print(json.dumps(rows), flush=True)
            await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    asyncio.run(main(cold=sys.argv[1] == "cold", count=int(sys.argv[2])))
