"""The client: what it sends, how it reads refusals, and that a fenced write sends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from homing.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    KubeUnavailable,
    NotFound,
    NotLeading,
    Unauthorized,
)
from homing.kube import client as client_module
from homing.kube.answers import read_page
from homing.kube.objects import ConfigMap, EndpointSlice, Node, Secret
from homing.kube.resource import CONFIG_MAPS, LEASES, NODES, SECRETS, SECRETS_METADATA
from tests.kube.fake_server import TOKEN, serving, status


def test_paths_are_those_of_the_api() -> None:
    """Core and grouped kinds, with and without namespace, name and subresource; names cannot leave their place."""
    assert NODES.path() == "/api/v1/nodes"
    assert LEASES.path("a", "b") == "/apis/coordination.k8s.io/v1/namespaces/b/leases/a"
    assert CONFIG_MAPS.path("a/../b", "c", "status") == "/api/v1/namespaces/c/configmaps/a%2F..%2Fb/status"
    with pytest.raises(ValueError, match="needs a namespace"):
        CONFIG_MAPS.path("a")


async def test_an_object_is_created_read_changed_and_deleted() -> None:
    """Each verb does what it says; a merge patch with null removes a field."""
    async with serving() as (server, client):
        made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}, "data": {"x": "1", "y": "2"}}, "web")
        assert made.metadata.uid
        await client.patch(CONFIG_MAPS, "a", {"data": {"x": None}}, "web")
        assert (await client.get(CONFIG_MAPS, "a", "web")).data == {"y": "2"}
        replaced = await client.replace(CONFIG_MAPS, "a", {"metadata": {"name": "a"}, "data": {}}, "web")
        assert replaced.data == {}
        assert [each.metadata.name for each in await client.list(CONFIG_MAPS)] == ["a"]
        await client.delete(CONFIG_MAPS, "a", "web", uid=made.metadata.uid)
        assert await client.list(CONFIG_MAPS, "web") == []
        assert server.bodies[0]["apiVersion"] == "v1"
        assert server.bodies[0]["kind"] == "ConfigMap"
        types = [headers.get("Content-Type", "") for headers in server.headers]
        assert types[1] == "application/merge-patch+json"


async def test_a_list_comes_in_pages() -> None:
    """All pages are read, however many."""
    async with serving() as (server, client):
        for number in range(1203):
            server.put(f"c{number}")
        assert len(await client.list(CONFIG_MAPS, "web")) == 1203
        assert [query.get("limit") for query in server.queries] == ["500", "500", "500"]


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", Conflict),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", KubeUnavailable),
        (500, "InternalError", KubeUnavailable),
        (504, "Timeout", KubeUnavailable),
        (400, "BadRequest", KubeError),
    ],
)
async def test_a_refusal_keeps_the_words_of_the_server(code: int, reason: str, kind: type[KubeError]) -> None:
    """Status, reason and message reach the caller, with what was asked for; the token does not."""
    async with serving() as (server, client):
        server.refuse = lambda _request: status(code, reason, "because of this", {"Retry-After": "7"})
        with pytest.raises(kind) as caught:
            await client.get(CONFIG_MAPS, "a", "web")
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.reason) == (code, reason)
        assert str(caught.value) == "get configmaps a: because of this"
        if isinstance(caught.value, KubeUnavailable):
            assert caught.value.seconds == 7.0


async def test_a_refusal_without_words_is_still_told() -> None:
    """A proxy's page of HTML instead of a Status is a refusal by its status code alone."""
    async with serving() as (server, client):
        server.refuse = lambda _request: web.Response(status=502, text="<html>" * 1000)
        with pytest.raises(KubeUnavailable, match=r"^get configmaps a: http-502$"):
            await client.get(CONFIG_MAPS, "a", "web")


async def test_after_a_401_the_credentials_are_read_again_and_the_request_repeated_once() -> None:
    """A rotated token is noticed by the refusal; when the new one is no good either, the refusal stands."""
    async with serving() as (server, client):
        server.put("a")
        answers = [status(401, "Unauthorized", "Unauthorized"), None]
        server.refuse = lambda _request: answers.pop(0)
        assert (await client.get(CONFIG_MAPS, "a", "web")).metadata.name == "a"
        server.refuse = lambda _request: status(401, "Unauthorized", "Unauthorized")
        before = len(server.requests)
        with pytest.raises(Unauthorized) as caught:
            await client.get(CONFIG_MAPS, "a", "web")
        assert len(server.requests) - before == 2
        assert TOKEN not in str(caught.value)


async def test_an_absent_server_is_unavailable() -> None:
    """No connection, no answer in time, and a connection that breaks are all worth another try later."""
    async with serving(timeout=0.2) as (server, client):

        async def hang(_request: web.Request) -> None:
            await asyncio.sleep(5)

        server.before = hang
        with pytest.raises(KubeUnavailable) as caught:
            await client.get(CONFIG_MAPS, "a", "web")
        assert caught.value.reason == "Timeout"

        async def drop(request: web.Request) -> None:
            assert request.transport is not None
            request.transport.close()

        server.before = drop
        with pytest.raises(KubeUnavailable) as caught:
            await client.get(CONFIG_MAPS, "a", "web")
        assert caught.value.reason == "Reset"
        await server.stop()
        with pytest.raises(KubeUnavailable) as caught:
            await client.get(CONFIG_MAPS, "a", "web")
        assert caught.value.reason == "Connect"


async def test_too_long_an_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer's size is bounded."""
    async with serving() as (server, client):
        server.put("a", data={"x": "y" * 2000})
        monkeypatch.setattr(client_module, "MAX_PAGE", 1000)
        with pytest.raises(KubeUnavailable, match="more than 1000 bytes"):
            await client.list(CONFIG_MAPS)


@pytest.mark.parametrize("verb", ["create", "replace", "patch", "apply", "delete"])
async def test_a_fence_stops_every_kind_of_write(verb: str) -> None:
    """Who does not lead sends nothing, reading stays allowed."""

    def fence() -> None:
        raise NotLeading("the lease ran out")

    async with serving() as (server, unfenced):
        client = unfenced.fenced(fence)
        server.put("a")
        body = {"metadata": {"name": "a"}}
        writes: dict[str, Callable[[], Awaitable[object]]] = {
            "create": lambda: client.create(CONFIG_MAPS, body, "web"),
            "replace": lambda: client.replace(CONFIG_MAPS, "a", body, "web"),
            "patch": lambda: client.patch(CONFIG_MAPS, "a", body, "web"),
            "apply": lambda: client.apply(CONFIG_MAPS, "a", body, "web"),
            "delete": lambda: client.delete(CONFIG_MAPS, "a", "web"),
        }
        with pytest.raises(NotLeading):
            await writes[verb]()
        assert server.requests == []
        await client.get(CONFIG_MAPS, "a", "web")


async def test_the_fence_is_asked_when_the_bytes_leave() -> None:
    """A write that waited for its connection while leadership ended sends not even its headers."""
    asked: list[int] = []

    def fence() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise NotLeading("the lease ran out")

    async with serving() as (server, client):
        with pytest.raises(NotLeading):
            await client.fenced(fence).patch(CONFIG_MAPS, "a", {"data": {}}, "web")
        assert len(asked) == 2
        assert server.requests == []


async def test_requests_are_observed() -> None:
    """Each request is told with verb, plural and status; 0 when there was no answer."""
    told: list[tuple[str, str, int]] = []
    async with serving(observe=lambda verb, plural, code, _seconds: told.append((verb, plural, code))) as (
        server,
        client,
    ):
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "a", "web")
        await server.stop()
        with pytest.raises(KubeUnavailable):
            await client.get(CONFIG_MAPS, "a", "web")
    assert told == [("get", "configmaps", 404), ("get", "configmaps", 0)]


async def test_connections_are_kept() -> None:
    """Requests one after the other share a connection."""
    async with serving() as (server, client):
        ports = set()

        async def note(request: web.Request) -> None:
            assert request.transport is not None
            ports.add(request.transport.get_extra_info("peername")[1])

        server.before = note
        for _ in range(5):
            await client.list(CONFIG_MAPS)
        assert len(ports) == 1


async def test_secrets_can_be_asked_for_without_their_contents() -> None:
    """The metadata-only kind asks the server to leave the data out."""
    async with serving() as (server, client):
        server.put("s", plural="secrets", data={"password": "c2VjcmV0"})
        assert [each.metadata.name for each in await client.list(SECRETS_METADATA)] == ["s"]
        assert "as=PartialObjectMetadataList" in server.headers[0]["Accept"]
        secret = await client.get(SECRETS, "s", "web")
        assert secret.data == {"password": b"secret"}
        assert "secret'" not in repr(secret)


def test_one_object_that_does_not_fit_takes_no_other_down() -> None:
    """A list with a broken object gives the others, and names the broken one."""
    body = (
        b'{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a","namespace":"n"},"data":{"x":1}},'
        b'{"metadata":{"name":"b","namespace":"n"}}]}'
    )
    page = read_page(body, ConfigMap)
    assert [each.metadata.name for each in page.items] == ["b"]
    assert list(page.unreadable) == [("n", "a")]
    assert page.version == "5"


def test_null_where_go_writes_null_is_read() -> None:
    """Empty lists of the API may come as null."""
    raw = b'{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a"},"endpoints":null,"ports":null}]}'
    assert not read_page(raw, EndpointSlice).unreadable
    assert read_page(b'{"metadata":{},"items":null}', Node).items == []
    assert not read_page(b'{"metadata":{},"items":[{"metadata":{"name":"a"}}]}', Secret).unreadable
