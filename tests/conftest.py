"""Fixtures that more than one folder's tests use."""

from tests.cluster.fixtures import cluster, control_plane, proxy, relay
from tests.deploy.fresh import fresh, nothing

__all__ = ["cluster", "control_plane", "fresh", "nothing", "proxy", "relay"]
