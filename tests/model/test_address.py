"""Addresses and how far they reach."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_network

import pytest

from homing.errors import ModelError
from homing.model.address import Reach, parse_address, parse_host_id, publishable, reach_of, with_host_id


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("8.8.8.8", Reach.GLOBAL),
        ("2a00:1450::1", Reach.GLOBAL),
        ("100.64.0.1", Reach.CGNAT),
        ("100.127.255.254", Reach.CGNAT),
        ("10.0.0.1", Reach.PRIVATE),
        ("192.168.178.20", Reach.PRIVATE),
        ("fd00::2", Reach.PRIVATE),
        ("169.254.1.1", Reach.LINK_LOCAL),
        ("fe80::1", Reach.LINK_LOCAL),
        ("127.0.0.1", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("224.0.0.1", Reach.MULTICAST),
        ("ff02::1", Reach.MULTICAST),
        ("0.0.0.0", Reach.RESERVED),
        ("192.0.2.1", Reach.RESERVED),
        ("2001:db8::1", Reach.RESERVED),
        ("240.0.0.1", Reach.RESERVED),
        ("64:ff9b::8.8.8.8", Reach.RESERVED),
        ("::ffff:8.8.8.8", Reach.GLOBAL),
    ],
)
def test_reach(text: str, reach: Reach) -> None:
    """Only what the IANA registries call globally reachable is GLOBAL."""
    assert reach_of(parse_address(text)) is reach
    assert publishable(parse_address(text)) is (reach is Reach.GLOBAL)


def test_networks_the_user_accepts_are_publishable() -> None:
    """An accepted network makes its addresses publishable, and no others."""
    accepted = (ip_network("10.1.0.0/16"),)
    assert publishable(parse_address("10.1.2.3"), accepted)
    assert not publishable(parse_address("10.2.2.3"), accepted)
    assert not publishable(parse_address("fd00::1"), accepted)


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "example.de", "1.2.3.4/24", "0x7f.1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Names, networks, zone indices and odd notations are errors."""
    with pytest.raises(ModelError):
        parse_address(text)


def test_host_id_takes_the_prefix_of_the_site() -> None:
    """U6: a prefix plus a host id."""
    assert with_host_id(IPv6Address("2a00:1:2:3:aaaa::1"), parse_host_id("::10")) == IPv6Address("2a00:1:2:3::10")


@pytest.mark.parametrize("text", ["::", "2a00::10", "10", "1.2.3.4"])
def test_host_ids_are_the_low_half(text: str) -> None:
    """A host id with a prefix, or none at all, is an error."""
    with pytest.raises(ModelError):
        parse_host_id(text)
