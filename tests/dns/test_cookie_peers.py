"""Cookies of Knot, NSD and BIND that share a secret with Homing, as servers of one anycast address do."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import dns.edns
import dns.message
import pytest

from homing.dns.cookie import Cookies, CookieVerdict
from tests.dns.peers import peers

pytestmark = pytest.mark.peers

SECRET = "0123456789abcdef0011223344556677"
CLIENT = bytes(range(8))
LOOPBACK = ip_address("127.0.0.1").packed
ZONE = "@ 60 SOA ns hostmaster 1 3600 900 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.53\n"


def test_servers_that_share_a_secret_take_each_others_cookies(tmp_path: Path) -> None:
    """Each peer makes, of one moment, the very cookie that Homing makes (RFC 9018, section 4)."""
    path = tmp_path / "example.net.zone"
    path.write_text(ZONE)
    cookies = Cookies(bytes.fromhex(SECRET))
    query = dns.message.make_query("example.net", "SOA", use_edns=0)
    query.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.COOKIE, CLIENT)])
    with peers(tmp_path, {"example.net": path}, cookies=SECRET) as served:
        for peer in served:
            response = peer.ask(query.to_wire())
            assert response is not None
            (told,) = [item.to_wire() or b"" for item in dns.message.from_wire(response).options]
            made_at = int.from_bytes(told[12:16])
            assert cookies.option(LOOPBACK, CLIENT, made_at)[4:] == told, peer.name
            assert cookies.verify(LOOPBACK, told, made_at + 60) is CookieVerdict.VALID
