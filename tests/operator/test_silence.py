"""What a provider's server answers is shown in part and cleaned; the Secret is shown nowhere, whatever it answers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from homing.kube.kinds import PROVIDERS
from homing.operator.entry import Which
from homing.providers.https import excerpt
from tests.operator.house import House

PASSWORD = 'open/sesame"?\\4711~~~ÿ'


@contextlib.asynccontextmanager
async def echoing(status: str, *, escaped: bool) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers with what it was asked, in JSON as PHP writes it; and the lines it was asked."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        given = next(line for line in head.splitlines() if line.lower().startswith("authorization:")).split()[-1]
        with contextlib.suppress(ValueError):
            given = base64.b64decode(given).decode() + " " + given
        text = json.dumps({"you": given}).replace("/", "\\/") if escaped else given
        body = ("\x1b[31m\u202e" + text).encode()
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Location: http://127.0.0.1:1/", "", "")
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/nic/update", asked


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "400 Bad Request", "500 Sorry"])
@pytest.mark.parametrize("escaped", [True, False])
async def test_an_echo_of_the_password_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, status: str, *, escaped: bool
) -> None:
    """Neither in conditions, events and logs nor among the figures; and no redirect is followed."""
    house = House(monkeypatch, real=True)
    house.client.secrets["ns", "token"] = {"password": PASSWORD.encode()}
    async with echoing(status, escaped=escaped) as (server, asked):
        spec = {"dyndns2": {"server": server, "user": "me"}, "secretRef": {"name": "token"}}
        house.put(PROVIDERS, "gandi", "ns", spec=spec)
        which = house.domain("a", "www.example.org", "8.8.4.4")
        with capture_logs() as logs:
            await house.turn(which)
    assert len(asked) == 1
    report = house.term.domains.reports[which]
    assert not report.ready
    assert report.message.isprintable()
    assert len(report.message) < 400
    shows_nothing(house, logs)
    await house.term._providers.aclose()


async def test_a_key_that_is_none_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TSIG key that is not Base64 locks the account without being told."""
    house = House(monkeypatch, real=True)
    house.client.secrets["ns", "token"] = {"key": PASSWORD.encode()}
    rfc2136 = {"server": "127.0.0.1:1", "tsigKeyName": "k"}
    house.put(PROVIDERS, "gandi", "ns", spec={"rfc2136": rfc2136, "secretRef": {"name": "token"}})
    which = house.domain("a", "www.example.org", "8.8.4.4")
    with capture_logs() as logs:
        await house.turn(which)
    assert house.term.domains.reports[which].locked
    shows_nothing(house, logs)


def shows_nothing(house: House, logs: Any) -> None:
    """The password is in nothing that anybody sees."""
    login = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    seen = repr((logs, house.client.patches, house.said(), house.term.domains.reports, house.term._providers._made))
    seen += house.metrics.exposition().decode()
    for form in ("sesame", login[:12], base64.b64encode(PASSWORD.encode()).decode()[:12]):
        assert form not in seen


def test_an_excerpt_is_free_of_every_form_of_a_secret() -> None:
    """As it is, in Base64, in JSON and in a URL."""
    login = base64.b64encode(PASSWORD.encode()).decode()
    for form in (
        PASSWORD,
        login,
        json.dumps(PASSWORD),
        json.dumps(login).replace("/", "\\/"),
        quote(PASSWORD, safe=""),
    ):
        assert "***" in excerpt(f"you sent {form}!", PASSWORD)


async def test_a_namespace_has_a_turn_of_its_own_secret_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Provider reads in its own namespace, whatever else is there."""
    house = House(monkeypatch, real=True)
    house.client.secrets["other", "token"] = {"api-key": b"of another"}
    house.put(PROVIDERS, "gandi", "ns", spec={"gandi": {}, "secretRef": {"name": "token", "namespace": "other"}})
    which = house.domain("a", "www.example.org")
    await house.turn(which)
    assert house.client.reads == ["ns/token"]
    assert house.term.domains.reports[Which("Domain", "ns", "a")].reason == "SecretNotFound"
