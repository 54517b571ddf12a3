"""Pure: the part of Linux's rtnetlink that tells of addresses, links and default routes (RFC 3549; rtnetlink(7)).

Written here because reading three message types takes a page, while a netlink library at rest takes 9 MB of the
daemon's memory.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from homing.model.address import Address

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE = 24, 25

GROUPS = 0x10 | 0x100 | 0x40 | 0x400
"""RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_IPV4_ROUTE and RTMGRP_IPV6_ROUTE."""

IFF_UP, IFF_LOOPBACK = 0x1, 0x8
F_TEMPORARY, F_DADFAILED, F_DEPRECATED, F_TENTATIVE = 0x01, 0x08, 0x20, 0x40

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFLA_IFNAME = 3
_RTA_OIF, _RTA_GATEWAY = 4, 5
_RT_TABLE_MAIN = 254
_RTM_F_CLONED = 0x200
_DUMP = 0x1 | 0x300  # NLM_F_REQUEST | NLM_F_DUMP


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface; ``flags`` are those of netdevice(7)."""

    index: int
    name: str
    flags: int


@dataclass(frozen=True, slots=True)
class AddressMessage:
    """An address that is there (or, with ``gone``, no longer); ``flags`` are IFA_F_*, ``scope`` RT_SCOPE_*."""

    index: int
    address: Address
    prefix_length: int
    flags: int
    scope: int
    gone: bool


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """A default route of the main table that is there (or, with ``gone``, no longer)."""

    family: int
    interface: bytes
    gateway: bytes
    gone: bool


Message = Link | AddressMessage | DefaultRoute


def dump_request(kind: int, sequence: int) -> bytes:
    """Asks for all objects of a kind (RTM_GETLINK, RTM_GETADDR)."""
    return _HEADER.pack(_HEADER.size + 4, kind, _DUMP, sequence, 0) + bytes(4)


def is_last(data: bytes) -> bool:
    """Whether a packet ends a dump (also when it ends with an error)."""
    return any(kind in {NLMSG_DONE, NLMSG_ERROR} for kind, _ in _split(data))


def parse(data: bytes) -> Iterator[Message]:
    """The messages in a packet; what is malformed, or of other kinds, is skipped."""
    for kind, body in _split(data):
        message: Message | None = None
        if kind == RTM_NEWLINK and len(body) >= _LINK.size:
            message = _link(body)
        elif kind in (RTM_NEWADDR, RTM_DELADDR) and len(body) >= _ADDRESS.size:
            message = _address(body, gone=kind == RTM_DELADDR)
        elif kind in (RTM_NEWROUTE, RTM_DELROUTE) and len(body) >= _ROUTE.size:
            message = _default_route(body, gone=kind == RTM_DELROUTE)
        if message is not None:
            yield message


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += length + -length % 4


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4 or offset + length > len(data):
            break
        found.setdefault(kind, data[offset + 4 : offset + length])
        offset += length + -length % 4
    return found


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    name = _attributes(body[_LINK.size :]).get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
    return Link(index, name or f"if{index}", flags)


def _address(body: bytes, *, gone: bool) -> AddressMessage | None:
    family, prefix_length, flags, scope, index = _ADDRESS.unpack_from(body)
    attributes = _attributes(body[_ADDRESS.size :])
    # On a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL this one.
    packed = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS, b""))
    address: Address
    if family == socket.AF_INET and len(packed) == 4:
        address = IPv4Address(packed)
    elif family == socket.AF_INET6 and len(packed) == 16:
        address = IPv6Address(packed)
    else:
        return None
    wide = attributes.get(_IFA_FLAGS, b"")
    if len(wide) == 4:
        (flags,) = struct.unpack("=I", wide)
    return AddressMessage(index, address, prefix_length, flags, scope, gone)


def _default_route(body: bytes, *, gone: bool) -> DefaultRoute | None:
    family, length, _, _, table, _, _, _, flags = _ROUTE.unpack_from(body)
    if length or table != _RT_TABLE_MAIN or flags & _RTM_F_CLONED:
        return None
    attributes = _attributes(body[_ROUTE.size :])
    return DefaultRoute(family, attributes.get(_RTA_OIF, b""), attributes.get(_RTA_GATEWAY, b""), gone)
