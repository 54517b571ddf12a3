"""The page, /raw, health and metrics over a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from homing.effects.http import HttpClient
from homing.errors import ListenError
from homing.web.server import WebServer
from homing.web.view import SiteView
from tests.web.serving import FAMILIES, HOSTILE, STATE, Site, name, served


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with served() as found:
        yield found


async def test_the_page_tells_addresses_votes_names_pauses_and_changes(site: Site) -> None:
    """Everything a person wants to know within ten seconds is in the HTML itself."""
    status, text, _ = await site.get("/")
    assert status == 200
    for word in ("8.8.8.8", "stun.example:3478/udp", "www.example.org", "badauth", "home.arpa.", "no observer answered",
                 "1 of 2 names", "the disk is full", "berlin", "agent of node-1", "homing-operator-0", "192.0.2.53",
                 "2 behind", "for 12 s", "up to date", "web/x"):  # fmt: skip
        assert word in text


FINE = structs.replace(STATE, names=(name(),), trouble=(), providers=())
OFF = structs.replace(FAMILIES[0], outcome="disputed")
REMEDY = "there is no Provider web/gandi; create it"


@pytest.mark.parametrize(
    ("changes", "mood", "words"),
    [
        ({}, "good", "The name is right<"),
        ({"names": (name(state="pending", detail="not published yet"),)}, "wait", "1 of 1 names is not right yet<"),
        ({"names": (name(state="pending", detail=REMEDY),)}, "bad", "1 of 1 names is not right<"),
        ({"names": (name(state="disabled", detail="off; as told"),)}, "wait", "No names to keep right yet<"),
        ({"addresses": (OFF,), "sites": ()}, "bad", "The name is right, the address is disputed<"),
        ({"sites": (SiteView("berlin", (OFF,)),)}, "bad", "disagree about the IPv4 address of Site berlin;"),
        ({"trouble": ("the disk is full",)}, "bad", "The name is right, Homing has trouble<"),
        ({"names": (), "addresses": (), "sites": ()}, "good", "1 zone served<"),
        ({"names": (), "addresses": (), "sites": (), "trouble": ("x",)}, "bad", "1 zone served, with trouble<"),
        ({"names": (), "addresses": (), "sites": (), "zones": (), "trouble": ("this replica waits",)}, "wait",
         "Nothing to show here<"),
    ],
)  # fmt: skip
async def test_the_headline_says_what_matters_most(
    site: Site, changes: dict[str, object], mood: str, words: str
) -> None:
    """Red where a person has to do something, yellow where time will do, green where all is well."""
    site.state = structs.replace(FINE, **changes)
    _, text, _ = await site.get("/")
    assert f'<div class="headline {mood}">' in text
    assert words in text


async def test_what_comes_from_outside_does_not_run(site: Site) -> None:
    """Texts are escaped, scripts are forbidden altogether, and nobody may frame the page."""
    _, text, headers = await site.get("/")
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_raw_is_the_json_that_esddns_users_know(site: Site) -> None:
    """B10, key by key; only IPv4 values are in its A record."""
    _, text, _ = await site.get("/raw")
    raw = json.loads(text)
    assert raw["wan_ip_state"] == {"usable": True, "IP": "8.8.8.8"}
    assert raw["record_state"] == {
        "in_sync": True,
        "record_data": {
            "rrset_name": "www",
            "rrset_type": "A",
            "rrset_ttl": 300,
            "rrset_values": ["8.8.8.8"],
            "rrset_href": "https://api.gandi.net/v5/livedns/domains/example.org/records/www/A",
        },
    }
    assert len(raw["poll_date"]) == len("2026-01-01 00:00:00")


async def test_health_and_readiness(site: Site) -> None:
    """/readyz is 503 with the reason until Homing can serve, then tells what it serves; /healthz is 200 all along."""
    for live, view in ((False, "last-good"), (True, "live")):
        site.live = live
        status, text, _ = await site.get("/readyz")
        assert (status, json.loads(text)) == (200, {"status": "ready", "view": view})
    site.ready = "no zone is loaded yet"
    status, text, _ = await site.get("/readyz")
    assert (status, json.loads(text)["status"]) == (503, "no zone is loaded yet")
    assert (await site.get("/healthz"))[0] == 200


async def test_metrics_carry_the_names_of_esddns_too(site: Site) -> None:
    """B11: the names that its dashboards and alerts query are there."""
    site.metrics.esddns_updates.inc()
    site.metrics.esddns_wan_ip.labels("8.8.8.8").set(1)
    _, text, _ = await site.get("/metrics")
    for line in ("esddns_dns_updates_total 1.0", "esddns_dns_update_failures_total 0.0", "esddns_state_in_sync 0.0",
                 'esddns_current_wan_ip_info{ip="8.8.8.8"} 1.0', "esddns_last_dns_update_timestamp 0.0",
                 "esddns_service_health 0.0", 'homing_build_info{version="1"} 1.0'):  # fmt: skip
        assert line in text


async def test_legacy_addresses_serve_the_page_and_raw_only() -> None:
    """What a dns.ini opens to the network has no metrics, no health and no API; its page needs no other path."""
    server = WebServer(lambda: STATE, ready=lambda: None, metrics=lambda: b"", legacy=True)
    ((host, port),) = await server.start([("127.0.0.1", 0)])
    async with HttpClient() as client:
        found = {
            path: (await client.request("GET", f"http://{host}:{port}{path}", timeout=5)).status
            for path in ("/", "/raw", "/metrics", "/healthz", "/live", "/api/v1/names")
        }
        page = (await client.request("GET", f"http://{host}:{port}/", timeout=5)).text
    await server.aclose()
    assert found.pop("/") == found.pop("/raw") == 200
    assert set(found.values()) == {404}
    assert "<script" not in page
    assert 'http-equiv="refresh"' in page
    assert "www.example.org" in page


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("localhost", 200), ("[::1]:80", 200)])
async def test_a_page_for_this_machine_knows_its_own_names_only(site: Site, host: str, status: int) -> None:
    """A strange name that was made to lead to loopback reads nothing (DNS rebinding)."""
    response = await site.client.request("GET", site.base + "/raw", timeout=5, headers={"Host": host})
    assert response.status == status


async def test_a_port_in_use_is_told_with_a_remedy(site: Site) -> None:
    """The error names address, port and option."""
    server = WebServer(lambda: STATE, ready=lambda: None, metrics=lambda: b"")
    with pytest.raises(ListenError, match="--web"):
        await server.start([("127.0.0.1", int(site.base.rpartition(":")[2]))])
