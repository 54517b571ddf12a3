"""The throw-away certificates are good, expired or for another host, as a real client judges them."""

from __future__ import annotations

from pathlib import Path

import pytest

from homing.effects.http import HttpClient, HttpError
from homing.standins import CheckIpServer, Listen
from homing.standins.tls import Authority


async def test_a_certificate_is_trusted_with_its_authority(tmp_path: Path) -> None:
    """A client that trusts the authority gets an answer for name and address alike."""
    authority = Authority(tmp_path)
    context = authority.issue(["localhost", "127.0.0.1"]).context()
    async with CheckIpServer((Listen(tls=context),)) as server, HttpClient(ca_file=authority.ca_file) as client:
        endpoint = server.endpoints[0]
        for url in (endpoint.url(), endpoint.url().replace("127.0.0.1", "localhost")):
            assert (await client.request("GET", url, timeout=5)).text == "127.0.0.1\n"


@pytest.mark.parametrize(
    ("names", "expired", "reason"),
    [(["127.0.0.1"], True, "expired"), (["127.0.0.2"], False, "IP address mismatch")],
)
async def test_a_bad_certificate_is_seen(tmp_path: Path, names: list[str], expired: bool, reason: str) -> None:
    """An expired certificate and one for another host are refused for what they are."""
    authority = Authority(tmp_path)
    context = authority.issue(names, expired=expired).context()
    async with CheckIpServer((Listen(tls=context),)) as server, HttpClient(ca_file=authority.ca_file) as client:
        with pytest.raises(HttpError, match=reason):
            await client.request("GET", server.endpoints[0].url(), timeout=5)


async def test_an_unknown_authority_is_not_trusted(tmp_path: Path) -> None:
    """Without the authority's certificate the client refuses."""
    context = Authority(tmp_path).issue(["127.0.0.1"]).context()
    async with CheckIpServer((Listen(tls=context),)) as server, HttpClient() as client:
        with pytest.raises(HttpError) as caught:
            await client.request("GET", server.endpoints[0].url(), timeout=5)
    assert caught.value.code == "tls"


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    """Nobody else can read a key's file."""
    assert Authority(tmp_path).issue(["a.example"]).key_file.stat().st_mode & 0o077 == 0
