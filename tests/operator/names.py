"""Domains at the stand-in Gandi whose addresses are told from others by a number, and what became of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from homing.standins.gandi import GandiRequest
from homing.standins.internet import StandInInternet
from tests.cluster.relay import Relay
from tests.operator.running import Kube


def static(number: int) -> dict[str, list[str]]:
    """Addresses of a Domain."""
    return {"static": [f"203.0.113.{number}"]}


def holds(world: StandInInternet, name: str, number: int) -> bool:
    """Whether a name at Gandi has such an address."""
    return world.gandi.values("example.org", name, "A") == (f"203.0.113.{number}",)


def writes(world: StandInInternet, name: str = "") -> list[GandiRequest]:
    """What Gandi was asked to change, of one name or of all."""
    return [item for item in world.gandi.log if item.method != "GET" and f"/records/{name}" in item.path]


@contextlib.contextmanager
def slowly(kube: Kube, world: StandInInternet) -> Iterator[Relay]:
    """A Provider at Gandi whose answers can be held."""
    with Relay(world.gandi.endpoints[0].port) as way:
        server = f"http://127.0.0.1:{way.port}/v5/livedns"
        kube.gandi(world, gandi={"server": server, "domain": "example.org"})
        yield way
