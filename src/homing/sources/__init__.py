"""What a name should hold: the WAN address, this machine's own addresses, or fixed ones. Pure."""

from homing.sources.sources import InterfaceSource, Source, Sourced, StaticSource, View, WanSource

__all__ = ["InterfaceSource", "Source", "Sourced", "StaticSource", "View", "WanSource"]
