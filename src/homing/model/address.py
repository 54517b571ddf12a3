"""IP addresses: parsing, families, how far they reach."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from homing.errors import ModelError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_CGNAT = IPv4Network("100.64.0.0/10")
_NAT64 = IPv6Network("64:ff9b::/96")


class Family(enum.IntEnum):
    """An address family by the number people say."""

    V4 = 4
    V6 = 6

    def __str__(self) -> str:
        return f"IPv{self.value}"


class Reach(enum.Enum):
    """How far an address reaches (IANA special-purpose registries, RFC 6890)."""

    GLOBAL = "global"
    CGNAT = "carrier-grade NAT (100.64.0.0/10, RFC 6598)"
    PRIVATE = "private"
    LINK_LOCAL = "link-local"
    LOOPBACK = "loopback"
    MULTICAST = "multicast"
    RESERVED = "reserved"

    @property
    def description(self) -> str:
        """How the reach is told to a person, as in ``a private address``."""
        return self.value


def parse_address(text: str) -> Address:
    """Read an address; an IPv4-mapped IPv6 address becomes IPv4 and a zone index is refused.

    Raises ModelError.
    """
    try:
        address = ip_address(text.strip())
    except ValueError:
        raise ModelError(f"{text[:80]!r} is not an IP address") from None
    if isinstance(address, IPv6Address):
        if address.scope_id:
            raise ModelError(f"{text[:80]!r} has a zone index")
        if address.ipv4_mapped:
            return address.ipv4_mapped
    return address


def family_of(address: Address) -> Family:
    """The family of an address."""
    return Family(address.version)


def reach_of(address: Address) -> Reach:
    """How far an address reaches; anything not known to be globally reachable is not GLOBAL."""
    if address.is_multicast:
        return Reach.MULTICAST
    if address.is_loopback:
        return Reach.LOOPBACK
    if address.is_link_local:
        return Reach.LINK_LOCAL
    if isinstance(address, IPv4Address) and address in _CGNAT:
        return Reach.CGNAT
    if isinstance(address, IPv6Address) and address in _NAT64:
        return Reach.RESERVED
    if address.is_global and not address.is_reserved:
        return Reach.GLOBAL
    if address.is_private and not address.is_reserved and not address.is_unspecified and not _documentation(address):
        return Reach.PRIVATE
    return Reach.RESERVED


_DOCUMENTATION: tuple[Network, ...] = tuple(
    ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
)


def _documentation(address: Address) -> bool:
    return any(address in net for net in _DOCUMENTATION if net.version == address.version)


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether any of the networks holds the address; families may be mixed."""
    return any(address in net for net in networks if net.version == address.version)


def publishable(address: Address, accepted: Sequence[Network] = ()) -> bool:
    """Whether an address may go to a public provider: globally reachable, or in a network the user accepted."""
    return reach_of(address) is Reach.GLOBAL or within(address, accepted)


def parse_host_id(text: str) -> int:
    """Read an IPv6 host identifier such as ``::10``: the low 64 bits of an address. Raises ModelError."""
    try:
        value = int(IPv6Address(text.strip()))
    except ValueError:
        raise ModelError(f"{text[:80]!r} is not a host id; write the low 64 bits, like '::10'") from None
    if value == 0 or value >> 64:
        raise ModelError(
            f"host id {text[:80]!r} must have zeros in its first 64 bits and something behind, like '::10'"
        )
    return value


def with_host_id(address: IPv6Address, host_id: int) -> IPv6Address:
    """The address of another host in the same /64 (the subnet of RFC 4291, section 2.5.1)."""
    return IPv6Address((int(address) >> 64 << 64) | host_id)
