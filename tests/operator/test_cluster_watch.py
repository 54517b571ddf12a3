"""What zones hold of a cluster follows the API server: when it begins, what it waits for, what is left out."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Iterable, Mapping
from ipaddress import ip_address
from typing import Any

import pytest

from homing.effects.clock import SystemClock
from homing.kube.kinds.zone import ClusterNames
from homing.model.address import Address
from homing.model.health import Health
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, address_rrsets
from homing.operator import cluster_watch
from homing.operator.cluster_views import Reading
from homing.operator.cluster_watch import ClusterWatch
from homing.records.cluster import Changes
from tests.kube.fake_server import FakeServer, serving
from tests.kube.test_watch import eventually

ZONE = parse_name("lb.test")


class World:
    """A server with nodes, and what a zone holds by what it was told."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.ready: list[Name] = []
        self.health: dict[tuple[Name, Address], Health] = {}
        self.held: dict[tuple[Name, int], RRset] = {}
        self.watch: ClusterWatch

    def node(self, name: str, ips: str, areas: str = "home", **more: Any) -> None:
        """Make a node, or change it."""
        annotations = {"k8s.pootis.network/node-areas": areas, "k8s.pootis.network/node-ips": ips}
        external = [{"type": "ExternalIP", "address": "198.51.100.1"}]
        status = {"conditions": [{"type": "Ready", "status": "True"}], "addresses": external}
        self.server.put(name, "", "nodes", metadata={"annotations": annotations, **more}, status=status)

    def site(self, address: str, **spec: Any) -> None:
        """Site default has this address."""
        status = {"addresses": [{"family": "IPv4", "address": address}]}
        self.server.put("default", "", "sites", spec=spec, status=status)

    def changed(self, origin: Name, changes: Changes) -> None:
        assert origin == ZONE
        for key, item in changes.items():
            if item is None:
                del self.held[key]
            else:
                self.held[key] = item

    def became(self, origin: Name) -> None:
        """Look at all that a zone holds, which has become ready."""
        self.ready.append(origin)
        self.held = {item.key: item for item in self.watch.rrsets(origin)}

    def at(self, name: str = "home.lb.test") -> set[str]:
        """The IPv4 addresses at a name."""
        found = self.held.get((parse_name(name), 1))
        return set(found.values) if found is not None else set()


@contextlib.asynccontextmanager
async def watching(
    readings: Mapping[Name, Reading] | None = None, *, nodes: int = 0, area: str = "home", last: Iterable[RRset] = ()
) -> AsyncGenerator[World]:
    """A zone that follows a server; what it held to is held against a look at everything in the end.

    ``nodes`` are there before it looks, ``area`` may hold their number; ``last`` is what the zone was served with.
    """
    async with serving() as (server, client):
        world = World(server)
        for number in range(nodes):
            world.node(f"n{number}", f"192.0.2.{number}", area.format(number))
        watch = world.watch = ClusterWatch(
            client,
            clock=SystemClock(),
            chance=random.Random(1),
            changed=world.changed,
            ready=world.became,
            health=lambda origin, address: world.health.get((origin, address), Health.HEALTHY),
            last=lambda _: last,
        )
        task = asyncio.create_task(watch.run())
        try:
            watch.want(readings if readings is not None else {ZONE: Reading(ZONE)})
            yield world
            assert {item.key: item for item in watch.rrsets(ZONE)} == world.held
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_a_zone_is_ready_when_all_has_been_seen() -> None:
    """From then on it is told what changes, and that it is followed."""
    async with watching() as world:
        assert not world.watch.is_ready(ZONE)
        await eventually(lambda: world.ready)
        assert world.watch.live
        world.node("n1", "192.0.2.1")
        await eventually(lambda: world.at() == {"192.0.2.1"})
        world.server.remove("n1", "", "nodes")
        await eventually(lambda: not world.held)
        assert world.ready == [ZONE]


async def test_another_reading_is_a_new_look() -> None:
    """A zone is ready again when it has been looked at with it."""
    async with watching() as world:
        world.node("n1", "192.0.2.1")
        await eventually(lambda: world.at() == {"192.0.2.1"})
        world.watch.want({ZONE: Reading(ZONE, ClusterNames(host_names="Keep"))})
        assert not world.watch.is_ready(ZONE)
        await eventually(lambda: len(world.ready) == 2)
        assert world.at("n1.nodes.lb.test") == {"192.0.2.1"}


async def test_a_node_that_comes_to_follow_its_site_waits_for_the_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps its addresses until they have been read; then it has those of the Site that selects it."""
    monkeypatch.setattr(cluster_watch, "SITES_LOOK", 60.0)
    async with watching() as world:
        world.site("203.0.113.1")
        world.node("n1", "192.0.2.1")
        await eventually(lambda: world.at() == {"192.0.2.1"})
        world.node("n1", "auto")
        await eventually(lambda: world.at() != {"192.0.2.1"})
        assert world.at() == {"203.0.113.1"}
        world.site("203.0.113.2")
        await eventually(lambda: world.at() == {"203.0.113.2"})
        world.site("203.0.113.2", nodeSelector={"of": "others"})
        await eventually(lambda: world.at() == {"198.51.100.1"})
        world.node("n1", "auto", labels={"of": "others"})
        await eventually(lambda: world.at() == {"203.0.113.2"})


async def test_addresses_that_fail_a_check_are_left_out() -> None:
    """From the beginning, and when the check says so; it is known which addresses are worth one."""
    one, two = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    async with watching({}) as world:
        world.health[ZONE, one] = Health.FAILING
        world.node("n1", str(one))
        world.node("n2", str(two))
        world.watch.want({ZONE: Reading(ZONE)})
        await eventually(lambda: world.ready)
        assert world.at() == {"192.0.2.2"}
        assert world.watch.addresses(ZONE) == {one, two}
        assert world.watch.addresses_of("n2") == {two}
        world.health.clear()
        world.watch.checked(one)
        assert world.at() == {"192.0.2.1", "192.0.2.2"}


def served(count: int, area: str = "home") -> list[RRset]:
    """What a zone was served with when it had so many nodes."""
    members: dict[str, list[Address]] = {}
    for number in range(count):
        members.setdefault(area.format(number), []).append(ip_address(f"192.0.2.{number}"))
    return [address_rrsets(parse_name(f"{name}.lb.test"), 30, found)[0] for name, found in members.items()]


@pytest.mark.parametrize("area", ["home", "a{}"])
@pytest.mark.parametrize("back", [0, 6])
async def test_a_first_look_that_shows_far_less_is_believed_the_second_time(
    back: int, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start too, whether nodes share an area or have one each; what is back by then is never gone."""
    monkeypatch.setattr(cluster_watch, "SECOND_LOOK", 1.0)
    async with watching(nodes=6, area=area, last=served(12, area)) as world:
        await eventually(lambda: world.watch.held_back)
        assert (world.watch.is_ready(ZONE), world.ready) == (False, [])
        for number in range(6, 6 + back):
            world.node(f"n{number}", f"192.0.2.{number}", area.format(number))
        await eventually(lambda: world.ready)
        assert world.watch.held_back == 0
        assert len({value for key, item in world.held.items() if key[1] == 1 for value in item.values}) == 6 + back


async def test_a_first_look_that_shows_a_little_less_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one of a small zone, and one of nodes that are there and not ready: that is a word, not silence."""
    monkeypatch.setattr(cluster_watch, "SECOND_LOOK", 3600.0)
    for nodes, last in ((9, 12), (1, 9)):
        async with watching(nodes=nodes, last=served(last)) as world:
            await eventually(lambda: world.ready)
            assert len(world.at()) == nodes
    async with watching({}, last=served(12)) as world:
        for number in range(12):
            world.node(f"n{number}", f"192.0.2.{number}")
            world.server.objects["nodes", "", f"n{number}"]["status"]["conditions"][0]["status"] = "Unknown"
        world.watch.want({ZONE: Reading(ZONE)})
        await eventually(lambda: world.ready)
        assert world.at() == set()


async def test_what_is_wrong_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Not with every sign of life, and again when it is another thing."""
    async with watching() as world:
        await eventually(lambda: world.ready)
        for number in range(3):
            world.node("n1", "192.0.2.1,wrong", labels={"number": str(number)})
        world.node("n1", "192.0.2.2,worse")
        await eventually(lambda: world.at() == {"192.0.2.2"})
        told = capsys.readouterr().out
        assert (told.count("'wrong'"), told.count("'worse'")) == (1, 1)
        world.node("n1", "192.0.2.3,worse,worst")
        await eventually(lambda: world.at() == {"192.0.2.3"})
        told = capsys.readouterr().out
        assert (told.count("'worse'"), told.count("'worst'")) == (0, 1)


async def test_what_is_told_is_bounded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one object some things and how many more there are; of many objects, that there are more."""
    monkeypatch.setattr(cluster_watch, "MAX_TOLD", 2)
    async with watching() as world:
        await eventually(lambda: world.ready)
        world.node("n1", ",".join(f"wrong-{number}" for number in range(60)))
        for number in range(2, 5):
            world.node(f"n{number}", f"192.0.2.{number},wrong-too")
        await eventually(lambda: world.at() == {"192.0.2.2", "192.0.2.3", "192.0.2.4"})
        told = capsys.readouterr().out
        assert (told.count("'wrong-"), told.count("and 52 more"), told.count("others")) == (8 + 1, 1, 1)
