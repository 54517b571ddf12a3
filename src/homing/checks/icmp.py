"""ICMP echo (RFC 792; RFC 4443, section 4), by ping sockets where the kernel allows them, else by raw ones."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from homing.errors import HomingError
from homing.model.address import Address

_TYPES = {4: (8, 0), 6: (128, 129)}
"""Echo request and echo reply, by IP version."""

_HEAD = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number."""

MAX_STRANGE = 32
"""Packets from the target that are no answer to this request, after which it counts as answered by nothing."""


class NotPossible(HomingError):  # noqa: N818 - a state
    """This process may not send echo requests."""


async def echo(address: Address) -> None:
    """Send an echo request and wait for its reply. Raises NotPossible and OSError; the caller bounds the time."""
    loop = asyncio.get_running_loop()
    request, reply = _TYPES[address.version]
    ident, token = os.urandom(2), os.urandom(16)  # not guessed by somebody who wants a dead address answered
    sock, raw = _open(address.version)
    with sock:
        sock.setblocking(False)
        sock.connect((str(address), 0))  # the kernel drops what comes from elsewhere, and tells of ICMP errors
        await loop.sock_sendall(sock, _packet(request, int.from_bytes(ident), token))
        for _ in range(MAX_STRANGE):
            data = await loop.sock_recv(sock, 2048)
            if raw and address.version == 4:
                data = data[(data[0] & 15) * 4 :] if data else data
            if is_reply(data, reply, token):
                return
        raise ConnectionError("strange packets instead of a reply")


def is_reply(data: bytes, kind: int, token: bytes) -> bool:
    """Whether an ICMP message is the reply to the request that held this token; identifiers are the kernel's matter."""
    return len(data) >= _HEAD.size and data[0] == kind and data[1] == 0 and data[_HEAD.size :] == token


def _open(version: int) -> tuple[socket.socket, bool]:
    """A socket for echo requests, and whether it is a raw one."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(family, kind, protocol), kind == socket.SOCK_RAW
        except PermissionError:
            continue
    raise NotPossible(
        "ping is forbidden to this process: let net.ipv4.ping_group_range hold its group, or give it CAP_NET_RAW"
    )


def _packet(kind: int, ident: int, token: bytes) -> bytes:
    """A request; over ping sockets and IPv6 the kernel fills in the checksum itself."""
    whole = _HEAD.pack(kind, 0, 0, ident, 1) + token
    total = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    total = (total >> 16) + (total & 0xFFFF)
    return _HEAD.pack(kind, 0, ~(total + (total >> 16)) & 0xFFFF, ident, 1) + token
