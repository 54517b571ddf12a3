"""Asks a STUN server by hand, standard library only: ``python probe.py ADDRESS PORT COUNT`` inside a host of the lab.

Prints a JSON list of ``[address, seconds]``, one for each question; an unanswered one (1 s) is ``[null, seconds]``.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import struct
import sys
import time

_MAGIC = 0x2112A442


def ask(sock: socket.socket) -> str | None:
    """One Binding request; the XOR-MAPPED-ADDRESS of its answer (RFC 8489, section 14.2)."""
    head = struct.pack("!I", _MAGIC) + os.urandom(12)
    sock.send(struct.pack("!HH", 1, 0) + head)
    try:
        answer = sock.recv(2048)
    except TimeoutError:
        return None
    at = 20
    while answer[4:20] == head and at + 4 <= len(answer):
        kind, size = struct.unpack_from("!HH", answer, at)
        if kind == 0x0020:
            packed = bytes(one ^ two for one, two in zip(answer[at + 8 : at + 4 + size], head, strict=False))
            return str(ipaddress.ip_address(packed))
        at += 4 + size + -size % 4
    return None


def main() -> None:
    """The command."""
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    said: list[tuple[str | None, float]] = []
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.connect((host, port))
        for _ in range(count):
            start = time.monotonic()
            said.append((ask(sock), time.monotonic() - start))
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
