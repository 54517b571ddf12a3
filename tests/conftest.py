"""Fixtures that more than one folder's tests use."""

from tests.cluster.fixtures import cluster, control_plane, proxy, relay

__all__ = ["cluster", "control_plane", "proxy", "relay"]
