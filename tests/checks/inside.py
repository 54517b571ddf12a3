"""A checker inside a host of the lab: ``python -m tests.checks.inside ADDRESS ...`` pings them, a line a turn.

The first line is ``first``, when each address was probed once; a turn is ``ADDRESS HEALTH``; blindness is ``blind``
and ``seeing``. With ``--once`` instead one probe of each address, ``ADDRESS RESULT``.
"""

from __future__ import annotations

import asyncio
import random
import sys
from ipaddress import ip_address

from prometheus_client import CollectorRegistry

from homing.checks import Check, Checker, CheckMetrics, Icmp, NetworkProbe, Outcome, Target
from homing.effects import log
from homing.effects.clock import SystemClock
from homing.model.address import Address

CHECK = Check(Icmp(), interval=1, timeout=0.5, rise=2, fall=3)


def say(line: str) -> None:
    """To whoever reads."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def once(targets: list[Target]) -> None:
    """One probe of each."""
    for target in targets:
        outcome = await NetworkProbe()(target)
        say(f"{target.address} {outcome.result.value}")


async def forever(targets: list[Target]) -> None:
    """Follow them until killed."""
    network, registry = NetworkProbe(), CollectorRegistry()
    probed: set[Target] = set()
    blind = False

    async def probe(target: Target) -> Outcome:
        nonlocal blind
        outcome = await network(target)
        probed.add(target)
        if probed == set(targets):
            probed.add(Target(target.address, Check(Icmp(), interval=300)))
            say("first")
        if (sees_nothing := bool(registry.get_sample_value("homing_check_blind"))) is not blind:
            blind = sees_nothing
            say("blind" if blind else "seeing")
        return outcome

    def changed(address: Address) -> None:
        say(f"{address} {checker.health(Target(address, CHECK)).value}")

    checker = Checker(probe, changed, clock=SystemClock(), chance=random.Random(1), metrics=CheckMetrics(registry))
    checker.follow(targets)
    await asyncio.Event().wait()


def main() -> None:
    """The command."""
    log.configure()  # to standard error: the lines are read
    words = sys.argv[1:]
    targets = [Target(ip_address(word), CHECK) for word in words if word != "--once"]
    asyncio.run(once(targets) if "--once" in words else forever(targets))


if __name__ == "__main__":
    main()
