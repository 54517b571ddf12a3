"""The first hops towards the internet: UDP packets that may not go far, and the errors that come back for them.

Needs no right on Linux: the kernel keeps the ICMP errors of a socket for it (ip(7), IP_RECVERR).
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import sys
import time
from ipaddress import IPv4Address

MOST = 5
"""Hops that are looked at."""

PORT = 33434
"""The first port that traceroute asks for; nobody listens there."""

WAIT = 1.5
"""Seconds for all answers."""

_IP_RECVERR = 11
_ORIGIN_ICMP = 2
_TIME_EXCEEDED = 11
_ERROR = struct.Struct("=IBBBBII")
"""struct sock_extended_err: errno, origin, type, code, pad, info, data; the sender's address follows."""


def first_hops(destination: IPv4Address, port: int = PORT, most: int = MOST) -> tuple[IPv4Address | None, ...]:
    """Who dropped the packet that could go one hop, two hops and so on; None for a silent one. Blocks for ``WAIT``.

    Empty where the system cannot tell. It ends before the destination.
    """
    if sys.platform != "linux":
        return ()
    with contextlib.ExitStack() as stack:
        sockets: dict[int, tuple[int, socket.socket]] = {}
        poll = select.poll()
        try:
            for hop in range(1, most + 1):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop)
                sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
                sock.connect((str(destination), port + hop))
                sock.send(b"homing doctor")
                poll.register(sock, select.POLLERR)
                sockets[sock.fileno()] = (hop, sock)
        except OSError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.ECONNREFUSED):  # an answer to an earlier one
                return ()
        return _collect(poll, sockets, most)


def _collect(
    poll: select.poll, sockets: dict[int, tuple[int, socket.socket]], most: int
) -> tuple[IPv4Address | None, ...]:
    found: dict[int, IPv4Address] = {}
    reached = most + 1
    end = time.monotonic() + WAIT
    while sockets and (left := end - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            hop, sock = sockets[number]
            try:
                _, ancillary, _, _ = sock.recvmsg(512, 512, socket.MSG_ERRQUEUE)
            except OSError:
                ancillary = []
            for level, kind, data in ancillary:
                if (level, kind) == (socket.IPPROTO_IP, _IP_RECVERR):
                    sender = dropped_by(data)
                    if sender is not None:
                        found[hop] = sender
                    else:
                        reached = min(reached, hop)
            poll.unregister(number)
            del sockets[number]
    last = max((hop for hop in found if hop < reached), default=0)
    return tuple(found.get(hop) for hop in range(1, last + 1))


def dropped_by(data: bytes) -> IPv4Address | None:
    """Who said that a packet had gone far enough, from an error of the socket; None for any other error."""
    if len(data) < _ERROR.size + 8:
        return None
    _, origin, kind, _, _, _, _ = _ERROR.unpack_from(data)
    if origin != _ORIGIN_ICMP or kind != _TIME_EXCEEDED:
        return None
    return IPv4Address(data[_ERROR.size + 4 : _ERROR.size + 8])
