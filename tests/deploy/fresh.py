"""A cluster that has never seen Homing, and the kinds of others that deploy/ writes objects of: fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import ProgramsMissing
from tests.deploy.programs import KINDS, found
from tests.waiting import until


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of its own: Homing is installed into clusters without its kinds, under names that others use."""
    try:
        files = [found(name) for name in KINDS]
        plane = ControlPlane(tmp_path_factory.mktemp("fresh"))
    except ProgramsMissing as error:
        pytest.fail(str(error), pytrace=False)
    with plane:
        # Server-side: some are too long for the annotation of a plain apply.
        plane.kubectl("apply", "--server-side", *(f"--filename={file}" for file in files if file.stem != "metallb"))
        for name in ("web", "argocd"):
            plane.kubectl("create", "namespace", name)
        yield plane


NAMESPACES = ("homing", "homing-agent", "life", "life-agent", "metallb-system", "reader", "esddns")
"""What the modules make."""


def await_end(plane: ControlPlane, *namespaces: str) -> None:
    """Wait until namespaces that are being deleted are gone with all that is in them."""

    def gone() -> bool:
        items = plane.admin.request("GET", "/api/v1/namespaces")["items"]
        return not {item["metadata"]["name"] for item in items} & set(namespaces)

    until(gone, 60, f"the end of {namespaces}")


@pytest.fixture(scope="module")
def nothing(fresh: ControlPlane) -> Iterator[None]:
    """A cluster without Homing; what a module makes goes with it, and the next one waits until it has gone."""
    await_end(fresh, *NAMESPACES)
    yield
    how = ("--ignore-not-found", "--wait=false")
    fresh.kubectl("delete", *how, "namespace", *NAMESPACES)
    rights = "clusterrole,clusterrolebinding,role,rolebinding"
    fresh.kubectl("delete", *how, rights, "--all-namespaces", "--selector=app.kubernetes.io/part-of=homing")
