"""A process that stands for election on a fake server and, while leading, writes as fast as it can: PORT IDENTITY.

Told by SIGUSR1 it freezes at the worst moment: inside a write, right before the fence is asked and the bytes leave.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys

from homing.effects.clock import SystemClock
from homing.errors import KubeUnavailable
from homing.kube.client import KubeClient
from homing.kube.lease import Election, Leadership
from homing.kube.resource import CONFIG_MAPS
from tests.kube.fake_server import credentials


async def main(port: int, identity: str) -> None:
    """Run until killed."""
    clock = SystemClock()
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)

    async with KubeClient(credentials(port), clock=clock) as client:

        async def lead(leadership: Leadership) -> None:
            asked = 0

            def fence() -> None:
                nonlocal asked
                asked += 1
                if told.is_set() and asked == 2:  # asked first before anything is done, then where the bytes leave
                    told.clear()
                    os.kill(os.getpid(), signal.SIGSTOP)
                leadership.check()

            fenced = client.fenced(fence)
            while True:
                asked = 0
                try:
                    await fenced.patch(CONFIG_MAPS, "written", {"data": {"by": identity}}, "web")
                except KubeUnavailable:
                    await asyncio.sleep(0.01)

        election = Election(
            client,
            name="homing",
            namespace="web",
            identity=identity,
            clock=clock,
            chance=random.Random(identity),
            lease_duration=1.0,
            renew_deadline=0.7,
            retry_period=0.2,
        )
        await election.run(lead)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
