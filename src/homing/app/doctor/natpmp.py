"""The router's outer address by NAT-PMP (RFC 6886, section 3.2): two octets there, twelve back."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from homing.detect.datagram import exchange
from homing.errors import ObservationError

PORT = 5351

WAITS = (0.25, 0.5, 1.0)
"""Seconds after each request (section 3.1 begins with 250 ms and doubles)."""

_REQUEST = b"\x00\x00"
_RESULTS = {
    1: "it speaks another version (PCP)",
    2: "it is told to say nothing",
    3: "it has no outer address now",
    4: "it is out of resources",
    5: "it does not know the question",
}
_GATEWAY = 0x2
_UP = 0x1


@dataclass(frozen=True, slots=True)
class Outer:
    """What the gateway said: its outer address, or why none is known."""

    address: IPv4Address | None = None
    why: str = ""


async def outer_address(gateway: IPv4Address, port: int = PORT, waits: Iterable[float] = WAITS) -> Outer:
    """Ask a gateway. Whoever answers nothing has said nothing."""
    try:
        return await exchange(gateway, port, _REQUEST, waits, parse)
    except ConnectionRefusedError:
        return Outer(why="it offers no NAT-PMP")
    except (ObservationError, OSError):
        return Outer(why="it does not answer to NAT-PMP")


def parse(packet: bytes) -> Outer | None:
    """The answer in a packet; None for a packet that is no answer to this request."""
    if len(packet) < 4 or packet[0] != 0 or packet[1] != 128:
        return None
    (result,) = struct.unpack_from("!H", packet, 2)
    if result:
        return Outer(why=_RESULTS.get(result, f"it says {result}"))
    if len(packet) < 12:
        return None
    address = IPv4Address(packet[8:12])
    return Outer(address) if int(address) else Outer(why=_RESULTS[3])


def gateway(table: Path = Path("/proc/net/route")) -> IPv4Address | None:
    """The default gateway that the kernel prefers, from its table of routes (proc(5)); None when there is none."""
    found: list[tuple[int, IPv4Address]] = []
    with contextlib.suppress(OSError), table.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            words = line.split()
            with contextlib.suppress(ValueError, IndexError):
                flags, mask = int(words[3], 16), int(words[7], 16)
                if int(words[1], 16) == 0 and mask == 0 and flags & _UP and flags & _GATEWAY:
                    # hexadecimal digits of the machine's own octet order
                    found.append((int(words[6]), IPv4Address(struct.pack("=I", int(words[2], 16)))))
    return min(found, default=(0, None))[1]
