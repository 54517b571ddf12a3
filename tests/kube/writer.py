"""A process that stands for election on a fake server and, while leading, writes as fast as it can: PORT IDENTITY."""

from __future__ import annotations

import asyncio
import random
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
    async with KubeClient(credentials(port), clock=clock) as client:

        async def lead(leadership: Leadership) -> None:
            fenced = client.fenced(leadership.check)
            while True:
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
