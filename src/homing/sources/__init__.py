"""What a name should hold: the WAN address, a machine's own addresses, fixed ones, those of nodes. Pure."""

from homing.sources.nodes import NodesSource, ServiceSource
from homing.sources.sources import (
    InterfaceSource,
    NodeView,
    ServiceView,
    Source,
    Sourced,
    StaticSource,
    View,
    WanSource,
)

__all__ = [
    "InterfaceSource",
    "NodeView",
    "NodesSource",
    "ServiceSource",
    "ServiceView",
    "Source",
    "Sourced",
    "StaticSource",
    "View",
    "WanSource",
]
