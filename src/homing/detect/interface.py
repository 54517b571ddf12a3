"""This machine's own addresses, with the flags that tell which of them last."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from homing.detect import netlink
from homing.effects.sockets import prefer_stable_source
from homing.errors import ObservationError
from homing.model.address import Address, Family, Reach, parse_address, reach_of

MAX_DUMP = 64
"""Packets of a netlink dump that are read (32 KiB each)."""

_GLOBAL_DESTINATION: dict[Family, Address] = {
    Family.V4: IPv4Address("1.1.1.1"),
    Family.V6: IPv6Address("2606:4700:4700::1111"),
}
_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of an interface of this machine."""

    interface: str
    address: Address
    prefix_length: int
    up: bool = True
    temporary: bool = False
    deprecated: bool = False
    tentative: bool = False
    dad_failed: bool = False


def stable(addresses: Iterable[InterfaceAddress]) -> tuple[InterfaceAddress, ...]:
    """The addresses that last and are of use to others.

    Left out: temporary, deprecated and tentative ones, those whose duplicate address detection failed, loopback and
    link-local ones, and those of interfaces that are down.
    """
    return tuple(
        one
        for one in addresses
        if one.up
        and not (one.temporary or one.deprecated or one.tentative or one.dad_failed)
        and reach_of(one.address) not in (Reach.LOOPBACK, Reach.LINK_LOCAL, Reach.MULTICAST)
    )


def interface_addresses() -> tuple[InterfaceAddress, ...]:
    """All addresses of this machine, from the kernel; takes about a millisecond.

    Where there is no netlink, the source address of each family is all that can be told. Raises ObservationError.
    """
    if sys.platform != "linux":
        return tuple(_sources())
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
            sock.settimeout(_TIMEOUT)
            sock.bind((0, 0))
            links = {one.index: one for one in _dump(sock, netlink.RTM_GETLINK, 1) if isinstance(one, netlink.Link)}
            found = [one for one in _dump(sock, netlink.RTM_GETADDR, 2) if isinstance(one, netlink.AddressMessage)]
    except OSError as error:
        raise ObservationError(f"the kernel does not tell this machine's addresses: {error}") from None
    return tuple(_described(one, links.get(one.index)) for one in found)


def source_address(family: Family) -> Address:
    """The address this machine sends from to the internet: no packet leaves. Raises ObservationError.

    The kernel is asked for a stable, not a temporary, IPv6 address (RFC 5014).
    """
    destination = _GLOBAL_DESTINATION[family]
    kind = socket.AF_INET if family is Family.V4 else socket.AF_INET6
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:
            prefer_stable_source(sock)
            sock.connect((str(destination), 53))
            return parse_address(sock.getsockname()[0])
    except OSError:
        raise ObservationError(f"this machine has no {family} route to the internet") from None


def has_route(family: Family) -> bool:
    """Whether the kernel knows a way to the internet of this family; says nothing of whether it works."""
    with contextlib.suppress(ObservationError):
        return bool(source_address(family))
    return False


def _sources() -> Iterable[InterfaceAddress]:
    for family in Family:
        with contextlib.suppress(ObservationError):
            address = source_address(family)
            yield InterfaceAddress("default", address, address.max_prefixlen)


def _dump(sock: socket.socket, kind: int, sequence: int) -> Iterable[netlink.Message]:
    sock.send(netlink.dump_request(kind, sequence))
    for _ in range(MAX_DUMP):
        data = sock.recv(32 * 1024)
        yield from netlink.parse(data)
        if netlink.is_last(data):
            return


def _described(one: netlink.AddressMessage, link: netlink.Link | None) -> InterfaceAddress:
    return InterfaceAddress(
        interface=link.name if link else f"if{one.index}",
        address=one.address,
        prefix_length=one.prefix_length,
        up=link is None or bool(link.flags & netlink.IFF_UP),
        # For IPv4 the same bit says "secondary", which does not make an address short-lived.
        temporary=one.address.version == 6 and bool(one.flags & netlink.F_TEMPORARY),
        deprecated=bool(one.flags & netlink.F_DEPRECATED),
        tentative=bool(one.flags & netlink.F_TENTATIVE),
        dad_failed=bool(one.flags & netlink.F_DADFAILED),
    )
