"""/api/v1: answers as the OpenAPI document promises, pages, filters, and errors as JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from homing.model.address import Family, parse_address
from homing.store import Event, Update
from tests.web.serving import HOSTILE, Site, served

PATHS = ("addresses", "names", "zones", "history", "events")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with served(state=tmp_path / "state") as found:
        assert found.store is not None
        for number in range(5):
            at = float(10 * number)
            found.store.record_good(Family.V4, parse_address(f"8.8.8.{number}"), at, "moved")
            found.store.record_update(Update(at + 1, "gandi", "www.example.org", "A", number != 3, "ok", HOSTILE, 0.2))
            found.store.record_event(Event(at + 2, "drift" if number % 2 else "lockout", "www", HOSTILE))
        yield found


def checked(document: dict[str, Any], where: str, answer: object, status: str = "200") -> None:
    """An answer is what the document says, with no key that it does not tell."""
    (content,) = document["paths"][where]["get"]["responses"][status]["content"].values()
    schemas = copy.deepcopy(document["components"]["schemas"])
    for schema in schemas.values():
        if schema.get("type") == "object":
            schema["additionalProperties"] = False
    Draft202012Validator({**content["schema"], "components": {"schemas": schemas}}).validate(answer)


async def test_every_answer_is_what_the_openapi_document_promises(site: Site) -> None:
    """The document is valid, tells all paths with their parameters, and no key of an answer is missing in it."""
    document = await site.json("/api/v1/openapi.json")
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {f"/api/v1/{path}" for path in PATHS}
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for path in PATHS:
        answer = await site.json(f"/api/v1/{path}")
        checked(document, f"/api/v1/{path}", answer)
        assert any(answer.values())
        for parameter in document["paths"][f"/api/v1/{path}"]["get"]["parameters"]:
            assert parameter["in"] == "query"
            Draft202012Validator.check_schema(parameter["schema"])
        status, text, headers = await site.get(f"/api/v1/{path}?nonsense=1")
        assert (status, headers["Content-Type"]) == (400, "application/problem+json")
        checked(document, f"/api/v1/{path}", json.loads(text), "400")


async def test_the_api_tells_what_the_page_shows(site: Site) -> None:
    """Addresses with votes, names with what they hold and should, zones with their secondaries."""
    told = await site.json("/api/v1/addresses")
    assert (told["addresses"][0]["address"], told["addresses"][0]["votes"][0]["operator"]) == ("8.8.8.8", "example")
    assert told["sites"][0]["name"] == "berlin"
    names = (await site.json("/api/v1/names"))["names"]
    assert (names[0]["wanted"], names[0]["published"], names[0]["observed_at"]) == (
        ["8.8.8.8"],
        ["8.8.8.8", "2a00::1"],
        95.0,
    )
    zones = await site.json("/api/v1/zones")
    assert [one["behind"] for one in zones["zones"][0]["secondaries"]] == [2, 0, None]


async def test_names_are_found_by_name_and_state(site: Site) -> None:
    """Without regard to case and the dot at the end."""
    for query, found in (
        ("name=MAIL.example.org.", ["mail.example.org"]),
        ("state=in-sync", ["www.example.org"]),
        ("state=failed&name=www.example.org", []),
    ):
        assert [one["fqdn"] for one in (await site.json(f"/api/v1/names?{query}"))["names"]] == found


async def test_next_leads_through_the_whole_history(site: Site) -> None:
    """Ten lines by threes, newest first, each once."""
    found: list[float] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await site.json(f"/api/v1/history?limit=3&cursor={cursor}")
        found += [line["at"] for line in page["lines"]]
        cursor = page["next"]
    assert found == sorted((*(10.0 * n for n in range(5)), *(10.0 * n + 1 for n in range(5))), reverse=True)


@pytest.mark.parametrize(
    ("query", "times"),
    [
        ("history?type=address&since=20", [40, 30, 20]),
        ("history?failed=true", [31]),
        ("history?name=www.example.org&until=11", [11, 1]),
        ("history?name=nobody.example.org", []),
        ("history?type=address&failed=true", []),
        ("events?kind=lockout&limit=2", [42, 22]),
    ],
)
async def test_the_history_is_filtered(site: Site, query: str, times: list[float]) -> None:
    """By type, name, failure, kind and time."""
    (lines, _) = (await site.json(f"/api/v1/{query}")).values()
    assert [line["at"] for line in lines] == times


@pytest.mark.parametrize(
    "query",
    ["history?limit=0", "history?limit=501", "history?limit=x", "history?cursor=%3C%3E", "history?cursor=MSAyIC01",
     "history?type=event", "names?state=%3Cscript%3E", "history?limit=1&limit=2", "history?since=nan"],
)  # fmt: skip
async def test_a_wrong_parameter_is_a_problem_told_in_json(site: Site, query: str) -> None:
    """RFC 9457: type, title, status, detail."""
    status, text, headers = await site.get(f"/api/v1/{query}")
    told = json.loads(text)
    assert (status, told["status"], told["title"], told["type"]) == (400, 400, "Bad Request", "about:blank")
    assert headers["Content-Type"] == "application/problem+json"
    assert told["detail"]


async def test_the_api_is_read_only(site: Site) -> None:
    """Other methods and paths are refused, in JSON too."""
    for method, path, status in (("POST", "names", 405), ("DELETE", "history", 405), ("GET", "nothing", 404)):
        response = await site.client.request(method, f"{site.base}/api/v1/{path}", timeout=5)
        assert (response.status, json.loads(response.text)["status"]) == (status, status)
        assert response.headers["X-Frame-Options"] == "DENY"


async def test_a_history_that_cannot_be_read_is_told(site: Site) -> None:
    """503 with the reason; the rest of the API goes on."""
    assert site.store is not None
    site.store.close()
    status, text, _ = await site.get("/api/v1/history")
    assert (status, json.loads(text)["status"]) == (503, 503)
    assert (await site.get("/api/v1/names"))[0] == 200
    assert (await site.get("/"))[0] == 200
