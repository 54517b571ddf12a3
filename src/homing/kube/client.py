"""The API server, typed: get, list, create, replace, patch, apply, delete, watch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Self

import msgspec

from homing.effects.clock import Clock
from homing.kube.answers import Page, read_object, read_page, refusal
from homing.kube.credentials import Credentials
from homing.kube.objects import T, VersionInfo
from homing.kube.resource import Resource
from homing.kube.wire import Call, Wire

PAGE = 500
"""Objects in one page of a list."""

MAX_PAGE = 64 * 1024 * 1024
MAX_BODY = 4 * 1024 * 1024
"""Bytes of an answer: of a page of a list, and of anything else."""

_REFUSAL = 64 * 1024
"""Bytes read of the refusal of a watch."""

Observe = Callable[[str, str, int, float], None]
"""Told of each request: verb, plural, status (0 without an answer), seconds."""


def nothing() -> None:
    """A fence that lets everything pass."""


def _unseen(_verb: str, _resource: str, _code: int, _seconds: float) -> None:
    """Observes nothing."""


class KubeClient:
    """A client of one API server. ``fence`` runs right before the bytes of a write leave, and may raise NotLeading.

    Every method raises KubeError (see homing.errors for its kinds); ``timeout`` is seconds for a whole request, three
    times that for a page of a list.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        clock: Clock,
        fence: Callable[[], None] = nothing,
        timeout: float = 10.0,
        observe: Observe = _unseen,
    ) -> None:
        self.namespace = credentials.namespace
        self._credentials = credentials
        self._clock = clock
        self._fence = fence
        self._timeout = timeout
        self._observe = observe
        self._wire = Wire(credentials)

    def fenced(self, fence: Callable[[], None], *, timeout: float | None = None) -> KubeClient:
        """The same client on the same connections behind another fence; closing it closes both."""
        other = KubeClient(
            self._credentials,
            clock=self._clock,
            fence=fence,
            timeout=timeout or self._timeout,
            observe=self._observe,
        )
        other._wire = self._wire
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wire.aclose()

    async def version(self) -> str:
        """The server's version, as ``v1.31.0``."""
        call = Call("GET", "/version", {})
        code, headers, body = await self._wire.ask(call, timeout=self._timeout, limit=MAX_BODY)
        if code != 200:
            raise refusal(code, headers, body, "get version")
        return read_object(body, VersionInfo).git_version

    async def get(self, res: Resource[T], name: str, namespace: str = "") -> T:
        """One object."""
        call = Call("GET", res.path(name, namespace), {}, _accept(res))
        return read_object(await self._ask("get", res, call, name), res.type)

    async def list(
        self, res: Resource[T], namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> list[T]:
        """All objects, of all namespaces when none is named; objects that do not fit their type are left out."""
        found: list[T] = []
        token = ""
        while True:
            page = await self.page(
                res, namespace, label_selector=label_selector, field_selector=field_selector, token=token
            )
            found += page.items
            token = page.token
            if not token:
                return found

    async def page(
        self,
        res: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        token: str = "",
        limit: int = PAGE,
    ) -> Page[T]:
        """One page of a list; Raises Gone when a token is too old."""
        params = {"limit": str(limit), **_selectors(label_selector, field_selector)}
        if token:
            params["continue"] = token
        call = Call("GET", res.path(namespace=namespace), params, _accept(res, many=True))
        body = await self._ask("list", res, call, limit=MAX_PAGE, timeout=3 * self._timeout)
        return read_page(body, res.type)

    async def create(self, res: Resource[T], body: Mapping[str, Any] | msgspec.Struct, namespace: str = "") -> T:
        """Create an object. Raises Conflict when it exists."""
        call = Call("POST", res.path(namespace=namespace), _MANAGER, body=_encoded(res, body))
        return read_object(await self._write("create", res, call), res.type)

    async def replace(
        self, res: Resource[T], name: str, body: Mapping[str, Any] | msgspec.Struct, namespace: str = ""
    ) -> T:
        """Replace an object. With a resourceVersion in ``body``, raises Conflict when it changed meanwhile."""
        call = Call("PUT", res.path(name, namespace), _MANAGER, body=_encoded(res, body))
        return read_object(await self._write("replace", res, call, name), res.type)

    async def patch(
        self, res: Resource[T], name: str, body: Mapping[str, Any], namespace: str = "", *, sub: str = ""
    ) -> None:
        """JSON merge patch (RFC 7386) of an object or of its subresource ``sub``."""
        call = Call(
            "PATCH",
            res.path(name, namespace, sub),
            _MANAGER,
            body=msgspec.json.encode(body),
            content_type="application/merge-patch+json",
        )
        await self._write("patch", res, call, name)

    async def apply(
        self,
        res: Resource[T],
        name: str,
        body: Mapping[str, Any] | msgspec.Struct,
        namespace: str = "",
        *,
        field_manager: str = "homing",
        force: bool = True,
    ) -> T:
        """Server-side apply: create the object or make these fields ours. Raises Conflict without ``force``."""
        call = Call(
            "PATCH",
            res.path(name, namespace),
            {"fieldManager": field_manager, "force": "true" if force else "false"},
            body=_encoded(res, body),
            content_type="application/apply-patch+yaml",
        )
        return read_object(await self._write("apply", res, call, name), res.type)

    async def delete(self, res: Resource[T], name: str, namespace: str = "", *, uid: str = "") -> None:
        """Delete an object; with ``uid`` only that one: another of the same name is a Conflict."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        call = Call("DELETE", res.path(name, namespace), {}, body=msgspec.json.encode(options))
        await self._write("delete", res, call, name)

    @contextlib.asynccontextmanager
    async def watch(
        self,
        res: Resource[T],
        namespace: str = "",
        *,
        version: str,
        seconds: int,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """What changes after ``version``, as chunks of lines; the server ends it after ``seconds``. Bookmarks come too.

        Raises Gone when the version is too old, KubeUnavailable (also inside the block) when the stream breaks.
        """
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
            **_selectors(label_selector, field_selector),
        }
        call = Call("GET", res.path(namespace=namespace), params, _accept(res))
        begin, code = self._clock.monotonic(), 0
        try:
            async with self._wire.stream(call, timeout=self._timeout) as response:
                code = response.status
                self._observe("watch", res.plural, code, self._clock.monotonic() - begin)
                if code != 200:
                    async with asyncio.timeout(self._timeout):
                        body = await response.content.read(_REFUSAL)
                    raise refusal(code, response.headers, body, f"watch {res.plural}")
                yield response.content.iter_any()
        finally:
            if not code:
                self._observe("watch", res.plural, 0, self._clock.monotonic() - begin)

    async def _write(self, verb: str, res: Resource[T], call: Call, name: str = "") -> bytes:
        self._fence()  # not even a connection is opened in vain
        return await self._ask(verb, res, replace(call, fence=self._fence), name)

    async def _ask(
        self,
        verb: str,
        res: Resource[T],
        call: Call,
        name: str = "",
        *,
        limit: int = MAX_BODY,
        timeout: float | None = None,
    ) -> bytes:
        begin, code = self._clock.monotonic(), 0
        try:
            code, headers, body = await self._wire.ask(call, timeout=timeout or self._timeout, limit=limit)
        finally:
            self._observe(verb, res.plural, code, self._clock.monotonic() - begin)
        if not 200 <= code < 300:
            raise refusal(code, headers, body, f"{verb} {res.plural} {name}".rstrip())
        return body


_MANAGER = {"fieldManager": "homing"}


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    chosen = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in chosen.items() if value}


def _accept(res: Resource[Any], *, many: bool = False) -> str:
    if not res.metadata_only:
        return "application/json"
    shape = "PartialObjectMetadataList" if many else "PartialObjectMetadata"
    return f"application/json;as={shape};g=meta.k8s.io;v=v1,application/json"


def _encoded(res: Resource[Any], body: Mapping[str, Any] | msgspec.Struct) -> bytes:
    """The body with its kind and version, which our Structs do not carry."""
    fields = msgspec.to_builtins(body)
    return msgspec.json.encode({"apiVersion": res.api_version, "kind": res.kind, **fields})
