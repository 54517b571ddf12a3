"""Pure: what a name should hold, as RRsets. No I/O, no clock."""

from homing.records.want import Want, want_addresses

__all__ = ["Want", "want_addresses"]
