"""An API server as it is on the wire, with the troubles of a real one on demand."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
from collections.abc import AsyncGenerator, Callable
from typing import Any

from aiohttp import web

from homing.effects.clock import Clock, SystemClock
from homing.kube.client import KubeClient
from homing.kube.credentials import Credentials

TOKEN = "a-token-nobody-may-see"


class FakeServer:
    """Objects by collection path and name; each change has a version, and is told to whoever watches."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.history: list[tuple[int, str, dict[str, Any], str]] = []
        self.compacted = 0
        self.requests: list[tuple[str, str]] = []
        self.queries: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.refuse: Callable[[web.Request], web.StreamResponse | None] = lambda _request: None
        self.before: Callable[[web.Request], Any] | None = None
        self.cut_after: int | None = None
        self.silent = False
        self.watching: set[asyncio.Transport] = set()
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self._versions = itertools.count(1)
        self._version = 0
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    # What a test does to it.

    def put(self, name: str, namespace: str = "web", plural: str = "configmaps", **fields: Any) -> dict[str, Any]:
        """Create or change an object as somebody else."""
        key = (plural, namespace, name)
        known = self.objects.get(key)
        uid = known["metadata"]["uid"] if known else f"uid-{self._version + 1}"
        meta = {"name": name, "namespace": namespace, "uid": uid, **fields.pop("metadata", {})}
        return self._store(key, {"metadata": meta, **fields}, "MODIFIED" if known else "ADDED")

    def remove(self, name: str, namespace: str = "web", plural: str = "configmaps") -> None:
        """Delete an object as somebody else."""
        self._store((plural, namespace, name), self.objects[plural, namespace, name], "DELETED")

    def compact(self) -> None:
        """Forget the past: older versions are gone."""
        self.compacted = self._version
        self.history.clear()

    def tell(self) -> None:
        """Wake whoever watches."""
        self._changed.set()
        self._changed = asyncio.Event()

    def cut(self) -> None:
        """Break every watch, without a goodbye."""
        for transport in self.watching:
            transport.abort()

    async def start(self) -> None:
        """Listen; again on the same port after ``stop``."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """As killed."""
        self.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    # What it does.

    def _store(self, key: tuple[str, str, str], body: dict[str, Any], kind: str) -> dict[str, Any]:
        self._version = next(self._versions)
        body = json.loads(json.dumps(body))
        body["metadata"]["resourceVersion"] = str(self._version)
        if kind == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = body
        self.history.append((self._version, kind, body, key[0]))
        self.tell()
        return body

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        self.queries.append(dict(request.query))
        self.headers.append(dict(request.headers))
        body = await request.json() if request.can_read_body else None
        self.bodies.append(body)
        if self.before is not None:
            await self.before(request)
        refused = self.refuse(request)
        if refused is not None:
            return refused
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return status(401, "Unauthorized", "Unauthorized")
        parts = request.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        plural, name = parts[0], parts[1] if len(parts) > 1 else ""
        named: Any = body
        if not name and request.method == "GET":
            if "watch" in request.query:
                return await self._watch(request, plural, namespace)
            return self._list(request, plural, namespace)
        return self._one(request.method, plural, namespace, name or named["metadata"]["name"], body)

    def _one(self, method: str, plural: str, namespace: str, name: str, body: Any) -> web.Response:
        key = (plural, namespace, name)
        known = self.objects.get(key)
        new = method == "PUT" and plural == "leases" and "resourceVersion" not in body["metadata"]
        if new and known:
            return status(422, "Invalid", "metadata.resourceVersion: must be specified for an update")
        if method == "POST" or new:
            if known:
                return status(409, "AlreadyExists", f"{plural} {name!r} already exists")
            body["metadata"].update(namespace=namespace, uid=f"uid-{self._version + 1}")
            return web.json_response(self._store(key, body, "ADDED"), status=201)
        if known is None:
            return status(404, "NotFound", f"{plural} {name!r} not found")
        if method == "PUT":
            version = body["metadata"].get("resourceVersion")
            if version not in (None, known["metadata"]["resourceVersion"]):
                return status(409, "Conflict", "the object has been modified")
            body["metadata"] = {**known["metadata"], **body["metadata"]}
            return web.json_response(self._store(key, body, "MODIFIED"))
        if method == "PATCH":
            return web.json_response(self._store(key, _merged(known, body), "MODIFIED"))
        if method == "DELETE":
            if (body or {}).get("preconditions", {}).get("uid", known["metadata"]["uid"]) != known["metadata"]["uid"]:
                return status(409, "Conflict", "the UID in the precondition does not match")
            self._store(key, known, "DELETED")
        return web.json_response(known)

    def _list(self, request: web.Request, plural: str, namespace: str) -> web.Response:
        found = [body for (kind, space, _), body in self.objects.items() if kind == plural and namespace in ("", space)]
        begin, version = 0, self._version
        if "continue" in request.query:
            version, begin = map(int, request.query["continue"].split("-"))
            if version < self.compacted:
                return status(410, "Expired", "the provided continue parameter is too old")
        end = begin + int(request.query.get("limit", "500"))
        meta = {"resourceVersion": str(version)}
        if end < len(found):
            meta["continue"] = f"{version}-{end}"
        return web.json_response({"kind": "List", "metadata": meta, "items": found[begin:end] or None})

    async def _watch(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        version = int(request.query["resourceVersion"])
        if version < self.compacted:
            return status(410, "Expired", "too old resource version")
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self.watching.add(transport)
        try:
            while True:
                changed = self._changed
                if version < self.compacted:
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                    return response
                for at, kind, body, of in list(self.history):
                    if at > version and of == plural and namespace in ("", body["metadata"]["namespace"]):
                        line = json.dumps({"type": kind, "object": body}).encode() + b"\n"
                        if self.cut_after is not None:
                            await response.write(line[: self.cut_after])
                            self.cut_after = None
                            await asyncio.sleep(0.02)
                            transport.abort()
                            return response
                        if not self.silent:
                            await response.write(line)
                    version = max(at, version)
                await changed.wait()
        finally:
            self.watching.discard(transport)


def status(code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """A refusal in the API's form."""
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code, headers=headers)


def _merged(known: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(known) if isinstance(known, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def credentials(port: int, token: str = TOKEN) -> Credentials:
    """Credentials for the fake server."""
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import Cluster, Context, User

    url = f"http://127.0.0.1:{port}"
    config = SingleConfig("test", Context("test"), Cluster(server=url), User(token=token))
    return Credentials(url, "web", config)


@contextlib.asynccontextmanager
async def serving(
    clock: Clock | None = None, timeout: float = 10.0, **options: Any
) -> AsyncGenerator[tuple[FakeServer, KubeClient]]:
    """A fake server and a client of it."""
    server = FakeServer()
    await server.start()
    try:
        async with KubeClient(
            credentials(server.port), clock=clock or SystemClock(), timeout=timeout, **options
        ) as client:
            yield server, client
    finally:
        await server.stop()
