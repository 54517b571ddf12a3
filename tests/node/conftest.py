"""One node for all tests of this folder, with Homing's image."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.cluster.programs import NODE_PROGRAMS, PROGRAMS, missing
from tests.image import builder
from tests.node.cell import obstacle
from tests.node.guide import walk
from tests.node.install import install
from tests.node.internet import Internet
from tests.node.manifests import NAMESPACE, ZONES
from tests.node.node import NEEDED, Node
from tests.node.world import AGENT, DNS, OPERATOR, World


@pytest.fixture(scope="session")
def image() -> builder.Image:
    """The image of the sources as they are; the tests are skipped where it or a node cannot be had."""
    absent = missing((*PROGRAMS, *NODE_PROGRAMS))
    reason = obstacle(NEEDED) or builder.obstacle() or (f"no {', '.join(absent)}: run make e2e" if absent else "")
    if reason:
        pytest.skip(reason)
    return builder.build()


@pytest.fixture(scope="session")
def node(image: builder.Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The node, which has the image."""
    with Node(tmp_path_factory.mktemp("node"), builder.build_pause(), image) as made:
        yield made


@pytest.fixture(scope="session")
def internet(node: Node) -> Iterator[Internet]:
    """What Homing asks and where it publishes."""
    with Internet(node.cell) as made:
        yield made


@pytest.fixture(scope="session")
def walked(node: Node, image: builder.Image, internet: Internet) -> subprocess.CompletedProcess[str]:
    """The five minutes of the guide were done on the new cluster; how it went is for its own test."""
    return walk(node, image, internet)


@pytest.fixture(scope="session")
def world(node: Node, image: builder.Image, internet: Internet, walked: subprocess.CompletedProcess[str]) -> World:
    """Who did the five minutes goes on: agents, providers, all examples."""
    install(node, image, internet)
    node.apply(internet.site())
    service = node.get("service", ZONES, f"--namespace={NAMESPACE}")
    made = World(node, internet, service["spec"]["clusterIP"])
    made.settled(OPERATOR, DNS, AGENT)
    node.apply(*internet.examples())
    return made
