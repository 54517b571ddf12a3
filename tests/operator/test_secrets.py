"""Secrets are read when they changed, once for all who ask."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from homing.kube.client import KubeClient
from homing.kube.objects import ObjectMeta, PartialObject, Secret
from homing.kube.watch import Mirror
from homing.operator.secrets import Secrets


class Cluster:
    """One Secret, read when it is let."""

    def __init__(self) -> None:
        self.version = 1
        self.reads = 0
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    def meta(self) -> ObjectMeta:
        """Of the Secret as it is now."""
        return ObjectMeta(name="gandi", namespace="web", uid="u", resource_version=str(self.version))

    async def get(self, *_: object) -> Secret:
        """What it was when it was asked for."""
        self.reads += 1
        self.asked.set()
        found = Secret(metadata=self.meta(), data={"key": f"secret {self.version}".encode()})
        await self.may.wait()
        return found


def secrets_of(cluster: Cluster) -> Secrets:
    """Secrets that are read there; its watch lags behind nothing."""

    class Metadata:
        def get(self, _: Any) -> PartialObject:
            return PartialObject(metadata=cluster.meta())

    return Secrets(cast("KubeClient", cluster), cast("Mirror[PartialObject]", Metadata()))


async def test_many_who_ask_at_once_share_a_reading() -> None:
    """A thousand Domains of one account ask the API server once; one that is cut off takes nothing from the others."""
    cluster = Cluster()
    secrets = secrets_of(cluster)
    asking = [asyncio.create_task(secrets.fetch("web", "gandi", "key")) for _ in range(1000)]
    await asyncio.wait_for(cluster.asked.wait(), 5)
    asking[0].cancel()
    cluster.may.set()
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1:] == [None] * 999
    assert cluster.reads == 1
    assert secrets.secret("web", "gandi", "key").reveal() == "secret 1"


async def test_a_change_during_the_reading_is_read_again() -> None:
    """Who asks after the change has what it says now, though a reading from before was under way."""
    cluster = Cluster()
    secrets = secrets_of(cluster)
    first = asyncio.create_task(secrets.fetch("web", "gandi", "key"))
    await asyncio.wait_for(cluster.asked.wait(), 5)
    cluster.version = 2
    later = [asyncio.create_task(secrets.fetch("web", "gandi", "key")) for _ in range(10)]
    cluster.may.set()
    await asyncio.gather(first, *later)
    assert cluster.reads == 2
    assert secrets.secret("web", "gandi", "key").reveal() == "secret 2"
