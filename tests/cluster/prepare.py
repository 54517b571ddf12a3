"""What every cluster of the tests and of ``make cluster`` carries before anybody uses it."""

from __future__ import annotations

from tests.cluster.control_plane import ControlPlane


def prepare(plane: ControlPlane) -> None:
    """Give the cluster the kinds of objects that Homing knows: here their definitions are applied."""
