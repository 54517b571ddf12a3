"""What every cluster of the tests and of ``make cluster`` carries before anybody uses it."""

from __future__ import annotations

from homing.kube.crd import DEFINITIONS, to_yaml
from tests.cluster.control_plane import ControlPlane


def prepare(plane: ControlPlane) -> None:
    """Give the cluster the kinds of objects that Homing knows, and wait until it serves them."""
    plane.apply(to_yaml(DEFINITIONS))
    plane.kubectl("wait", "--for=condition=Established", "crd", *(item.name for item in DEFINITIONS))
