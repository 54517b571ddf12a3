"""Site default at the leader: observed whatever it says, and the one that is there now."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from homing.effects.clock import ManualClock, settle
from homing.errors import ConfigError, Invalid
from homing.kube.kinds import SITES
from homing.kube.kinds.site import Detect, Site
from homing.kube.objects import Lease
from homing.kube.recorder import Recorder
from homing.kube.resource import Resource
from homing.kube.watch import Mirror
from homing.model.observation import Verdict
from homing.operator.home import Home
from tests.operator.house import Answering


class Applying(Answering):
    """A client that refuses what a Site does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.applied: list[Any] = []
        self.invalid: Any = None

    async def apply(
        self,
        res: Resource[Any],
        name: str,
        body: Mapping[str, Any] | msgspec.Struct,
        namespace: str = "",
        *,
        field_manager: str = "homing",
        force: bool = True,
    ) -> Any:
        """Keep it, or refuse."""
        fields = msgspec.to_builtins(body)
        if self.invalid is not None and self.invalid in str(fields):
            raise Invalid(422, "Invalid", "not so")
        self.applied.append(fields)


class Bench:
    """Home with a Site, and the specs that were observed for."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self.client, self.clock, chance = Applying(), ManualClock(), random.Random(1)
        self.sites: Mirror[Site] = Mirror(self.client, SITES, clock=self.clock, chance=chance, on_change=ignored)
        recorder = Recorder(self.client, clock=self.clock, chance=chance)
        self.observed: list[Detect] = []
        self.home = Home(
            self.client,
            self.sites,
            self.make,
            recorder=recorder,
            clock=self.clock,
            chance=chance,
            detect=lambda: wanted,
        )

    def make(self, detect: Detect, told: Callable[[Verdict], None]) -> Any:
        """A detector that cannot be."""
        self.observed.append(detect)
        raise ConfigError("spec", "is not so")

    def site(self, uid: str, version: str, **detect: Any) -> None:
        """Site default, the first generation of it."""
        meta = {"name": "default", "uid": uid, "resourceVersion": version, "generation": 1}
        self.sites._hold(("", "default"), msgspec.convert({"metadata": meta, "spec": {"detect": detect}}, type=Site))


def ignored(*_: object) -> None:
    """Nobody listens."""


async def test_a_site_made_anew_has_an_observer_of_its_own() -> None:
    """Its generation begins anew too, so that alone tells nothing."""
    bench = Bench({})
    async with asyncio.TaskGroup() as group:
        bench.site("one", "1", quorum=1)
        await bench.home._look(group)
        await settle()
        bench.site("two", "2", quorum=2)
        await bench.home._look(group)
        await settle()
        assert [detect.quorum for detect in bench.observed] == [1, 2]
        assert [body["metadata"]["uid"] for _, _, body in bench.client.patches] == ["one", "two"]
        running = bench.home._observing
        assert running is not None
        running[1].cancel()


async def test_a_configuration_that_no_site_takes_leaves_it_observed() -> None:
    """Site default is made without it, and one that is there is observed for as it is."""
    bench = Bench({"quorum": 77})
    bench.client.invalid = "77"
    async with asyncio.TaskGroup() as group:
        await bench.home._look(group)
        (made,) = bench.client.applied
        assert made["spec"]["detect"] == {"intervalSeconds": 300}
        bench.site("one", "1")
        await bench.home._look(group)
        await settle()
        assert len(bench.observed) == 1
        running = bench.home._observing
        assert running is not None
        running[1].cancel()


@pytest.mark.parametrize("duration", [10**9, 0, None])
async def test_an_agent_that_stopped_is_not_waited_for(duration: int | None) -> None:
    """However long its Lease says that it holds."""
    bench = Bench({})
    bench.site("one", "1")
    spec = {"holderIdentity": "agent", "leaseDurationSeconds": duration, "acquireTime": "2023-01-01T00:00:00Z"}
    meta = {"name": "homing-site-default", "namespace": "homing", "resourceVersion": "1"}
    lease = msgspec.convert({"metadata": meta, "spec": spec}, type=Lease)
    bench.home._leases._hold(("homing", "homing-site-default"), lease)
    await bench.clock.advance(700)
    site = bench.sites.get(("", "default"))
    assert site is not None
    assert "no longer renews" in bench.home._unobserved(site)
