"""A wire with a delay: takes Ethernet frames from one interface and puts them on the other some milliseconds later.

The kernel of many a container host has no ``tc netem``, and a relay of connections would hide who sends; frames keep
everything as it is. Run as ``python wire.py LEFT RIGHT DELAY``, all in seconds; a new delay may be written to its
standard input, a line each. ``python wire.py --no-offload INTERFACE`` makes a sender compute its own checksums
and segments, since a frame read from a packet socket must be whole.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import select
import socket
import struct
import sys
import time
from collections import deque

_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_SIOCETHTOOL = 0x8946
_SWITCHES = (0x17, 0x1F, 0x25, 0x2D)  # ETHTOOL_STXCSUM, STSO, SGSO, SGRO of linux/ethtool.h
MAX_FRAMES = 10_000
"""Frames on their way in one direction; further ones are lost, as in a real queue."""


def no_offload(interface: str) -> None:
    """Have an interface send whole frames only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for switch in _SWITCHES:
            value = array.array("I", (switch, 0))
            request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
            try:
                fcntl.ioctl(sock, _SIOCETHTOOL, request)
            except OSError as error:
                sys.stderr.write(f"{interface}: ethtool switch {switch:#x}: {error}\n")


def relay(left: str, right: str, delay: float) -> None:
    """Carry frames both ways until standard input ends."""
    ends: list[socket.socket] = []
    for interface in (left, right):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        sock.bind((interface, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.setblocking(False)
        ends.append(sock)
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    underway: deque[tuple[float, socket.socket, bytes]] = deque()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        wait = max(0.0, underway[0][0] - time.monotonic()) if underway else None
        readable, _, _ = select.select([*ends, sys.stdin], [], [], wait)
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            delay = float(line)
        for sock in ends:
            if sock in readable:
                _take(sock, other[sock], delay, underway)
        now = time.monotonic()
        while underway and underway[0][0] <= now:
            _, sock, frame = underway.popleft()
            with contextlib.suppress(OSError):  # a full or closed interface loses frames, as a wire does
                sock.send(frame)


def _take(
    source: socket.socket, target: socket.socket, delay: float, underway: deque[tuple[float, socket.socket, bytes]]
) -> None:
    for _ in range(64):
        try:
            frame, address = source.recvfrom(65536)
        except OSError:
            return
        if address[2] != _PACKET_OUTGOING and len(underway) < 2 * MAX_FRAMES:
            underway.append((time.monotonic() + delay, target, frame))


if __name__ == "__main__":
    if sys.argv[1] == "--no-offload":
        no_offload(sys.argv[2])
    else:
        relay(sys.argv[1], sys.argv[2], float(sys.argv[3]))
