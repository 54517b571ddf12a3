"""The Gandi stand-in keeps records and complains as LiveDNS v5 does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homing.effects.clock import ManualClock
from homing.effects.http import HttpClient
from homing.standins import GandiServer
from homing.standins.faults import answer
from tests.waiting import patience

TOKEN = {"Authorization": "Bearer token"}
RRSET = {"rrset_values": ["84.17.33.10"], "rrset_ttl": 300}


class Client:
    """Asks LiveDNS."""

    def __init__(self, server: GandiServer, http: HttpClient) -> None:
        self.server = server
        self.http = http

    async def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and body of the answer below ``domains/``."""
        url = self.server.endpoints[0].url(f"/v5/livedns/domains/{path}")
        reply = await self.http.request(
            method, url, timeout=2 * patience(), headers=TOKEN if headers is None else headers, json=body
        )
        return reply.status, json.loads(reply.body or b"null")


@pytest.fixture
async def gandi() -> AsyncIterator[Client]:
    """A client of a server with one domain."""
    server = GandiServer(["example.com"], token="token", key="key", limit=20, clock=ManualClock())
    async with server, HttpClient() as http:
        yield Client(server, http)


async def test_a_record_is_created_read_replaced_and_deleted(gandi: Client) -> None:
    """PUT, GET and DELETE of one RRset, with the statuses of the real one."""
    path = "example.com/records/www/A"
    assert await gandi.ask("PUT", path, RRSET) == (201, {"message": "DNS Record Created"})
    status, record = await gandi.ask("GET", path)
    assert record.pop("rrset_href").endswith(f"/v5/livedns/domains/{path}")
    assert (status, record) == (200, {"rrset_name": "www", "rrset_type": "A", **RRSET})
    assert (await gandi.ask("PUT", path, {**RRSET, "rrset_values": ["84.17.39.77"]}))[0] == 201
    assert gandi.server.values("example.com", "www", "A") == ("84.17.39.77",)
    assert await gandi.ask("DELETE", path) == (204, None)
    status, missing = await gandi.ask("GET", path)
    assert (status, missing["object"]) == (404, "dns-record")


async def test_all_records_of_a_name_are_listed(gandi: Client) -> None:
    """GET of a name answers the RRsets of all types there, and none of other names."""
    await gandi.ask("PUT", "example.com/records/@/A", RRSET)
    await gandi.ask("PUT", "example.com/records/@/AAAA", {**RRSET, "rrset_values": ["2A01:4F8::1"]})
    await gandi.ask("PUT", "example.com/records/www/A", RRSET)
    status, records = await gandi.ask("GET", "example.com/records/@")
    assert status == 200
    assert [(r["rrset_type"], r["rrset_values"]) for r in records] == [
        ("A", ["84.17.33.10"]),
        ("AAAA", ["2a01:4f8::1"]),
    ]
    assert len((await gandi.ask("GET", "example.com/records"))[1]) == 3


async def test_a_domain_is_found_and_an_unknown_one_not(gandi: Client) -> None:
    """404 on the domain means that it is not in LiveDNS."""
    status, domain = await gandi.ask("GET", "example.com")
    assert (status, domain["fqdn"]) == (200, "example.com")
    status, missing = await gandi.ask("GET", "example.org")
    assert (status, missing["object"]) == (404, "HTTPNotFound")


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Bearer wrong", 403), ("Bearer key", 403), ("Apikey wrong", 401), ("Apikey key", 200)],
)
async def test_credentials_are_checked(gandi: Client, header: str | None, status: int) -> None:
    """A token and a key are taken each in its own scheme."""
    headers = {} if header is None else {"Authorization": header}
    assert (await gandi.ask("GET", "example.com", headers=headers))[0] == status


@pytest.mark.parametrize(
    "body",
    [
        {**RRSET, "rrset_ttl": 299},
        {**RRSET, "rrset_values": []},
        {**RRSET, "rrset_values": ["2a01::1"]},
        {**RRSET, "rrset_ttl": "300"},
        {"rrset_ttl": 300},
        [],
    ],
)
async def test_a_bad_body_is_refused(gandi: Client, body: object) -> None:
    """400 with the list of errors, and nothing changes."""
    status, answered = await gandi.ask("PUT", "example.com/records/www/A", body)
    assert (status, answered["status"]) == (400, "error")
    assert answered["errors"][0]["location"] == "body"
    assert gandi.server.records == {}


async def test_too_many_requests_are_429(gandi: Client) -> None:
    """The limit counts all requests of one address within a minute."""
    statuses = [(await gandi.ask("GET", "example.com"))[0] for _ in range(22)]
    assert statuses == [200] * 20 + [429] * 2


async def test_faults_go_by_method(gandi: Client) -> None:
    """Reading works while writing is scripted to fail; both are in the log."""
    gandi.server.faults.add(answer('{"code": 500}', 500, "application/json"), key="PUT", times=None)
    assert (await gandi.ask("GET", "example.com"))[0] == 200
    assert (await gandi.ask("PUT", "example.com/records/www/A", RRSET))[0] == 500
    assert [(request.method, request.status) for request in gandi.server.log] == [("GET", 200), ("PUT", 0)]
