"""The cluster as fixtures, for the tests of every folder: one control plane a run, a namespace for each test."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.control_plane import ADMIN, ControlPlane
from tests.cluster.nodes import forget_nodes
from tests.cluster.prepare import prepare
from tests.cluster.programs import ProgramsMissing
from tests.cluster.proxy import Proxy
from tests.cluster.relay import Relay


class Cluster:
    """A namespace of the control plane, and ways to it."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    @property
    def labels(self) -> dict[str, str]:
        """Labels for nodes and other objects outside of namespaces: nodes that carry them go with the test."""
        return {"test.homing.dev/namespace": self.namespace}

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """What kubectl prints, as the administrator in the namespace."""
        return self.plane.kubectl("-n", self.namespace, *words, stdin=stdin)

    def apply(self, manifest: str | Path) -> str:
        """``kubectl apply`` into the namespace."""
        return self.plane.apply(manifest, "-n", self.namespace)

    def kubeconfig(self, user: str = ADMIN, *, server: str = "") -> Path:
        """A kubeconfig file with the namespace as its default; ``server`` is the relay's or the proxy's."""
        return self.plane.kubeconfig(user, server=server, namespace=self.namespace)

    def as_service_account(self, name: str, *, server: str = "") -> Path:
        """A kubeconfig file with a token of a service account of the namespace."""
        return self.plane.as_service_account(self.namespace, name, server=server)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One control plane for the whole run, started when the first test wants it."""
    try:
        plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    except ProgramsMissing as error:
        pytest.fail(str(error), pytrace=False)
    with plane:
        prepare(plane)
        yield plane


@pytest.fixture
def cluster(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A fresh namespace, named after the test; its end is asked for and not awaited."""
    word = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    name = f"{word}-{secrets.token_hex(3)}"
    body = {"metadata": {"name": name}}
    control_plane.admin.request("POST", "/api/v1/namespaces", body)
    made = Cluster(control_plane, name)
    yield made
    forget_nodes(control_plane.admin, made.labels)
    control_plane.admin.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def relay(control_plane: ControlPlane) -> Iterator[Relay]:
    """A TCP relay before the API server."""
    with Relay(control_plane.port) as made:
        yield made


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[Proxy]:
    """An HTTP proxy before the API server."""
    with Proxy(control_plane.server, control_plane.authority) as made:
        yield made
