"""Small HTTP services on loopback that answer as told, and remember what they were asked."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from homing.standins.tls import Authority

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    raw: str
    authorization: str
    agent: str
    body: str

    @property
    def login(self) -> tuple[str, str]:
        """User and password of basic authentication."""
        user, _, password = base64.b64decode(self.authorization.removeprefix("Basic ")).decode().partition(":")
        return user, password


@dataclass
class Service:
    """A running service: its ``url``, what it was ``asked``, and what to answer next (``script``, then ``default``)."""

    default: Answer
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    script: list[Answer] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        headers = request.headers
        self.asked.append(
            Asked(
                request.method,
                request.path,
                dict(request.query),
                request.raw_path,
                headers.get("Authorization", ""),
                headers.get("User-Agent", ""),
                body,
            )
        )
        return await (self.script.pop(0) if self.script else self.default)(request)

    async def hang(self, _: web.Request) -> web.StreamResponse:
        """Say nothing until the service closes."""
        await self.closing.wait()
        return web.Response()


def says(text: str, status: int = 200, **headers: str) -> Answer:
    """Answers this text."""

    async def answer(_: web.Request) -> web.StreamResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(text=text, status=status, headers=names)

    return answer


def says_json(body: object, status: int = 200) -> Answer:
    """Answers this as JSON."""
    return says(json.dumps(body), status)


async def reset(request: web.Request) -> web.StreamResponse:
    """Cut the connection instead of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving(default: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    """A service on loopback while entered."""
    service = Service(default)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        service.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        yield service
    finally:
        service.closing.set()
        await runner.cleanup()


@dataclass(frozen=True)
class Certificates:
    """A CA of this test run, and server contexts with certificates for 127.0.0.1."""

    ca_file: Path
    valid: ssl.SSLContext
    expired: ssl.SSLContext


def make_certificates(directory: Path) -> Certificates:
    """Make a CA, a valid and an expired server certificate."""
    authority = Authority(directory)
    valid, expired = (authority.issue(["127.0.0.1"], expired=expired).context() for expired in (False, True))
    return Certificates(authority.ca_file, valid, expired)


@dataclass
class LiveDns:
    """What LiveDNS holds in its one domain, spoken to as its documentation says."""

    token: str
    domain: str
    records: dict[tuple[str, str], tuple[int, list[str]]] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            body = {"object": "HTTPForbidden", "cause": "Forbidden", "code": 403, "message": "Access was denied"}
            return web.json_response(body, status=403)
        parts = request.path.removeprefix("/v5/livedns/domains/").split("/")
        if parts[0] != self.domain:
            return web.json_response({"object": "LocalizedHTTPNotFound", "message": "Unknown domain"}, status=404)
        if len(parts) == 1:
            return web.json_response({"fqdn": self.domain})
        key = (parts[2], parts[3])
        if request.method == "PUT":
            body = await request.json()
            if body["rrset_ttl"] < 300:
                return web.json_response({"status": "error", "errors": [{"name": "rrset_ttl"}]}, status=400)
            self.records[key] = (body["rrset_ttl"], body["rrset_values"])
            return web.json_response({"message": "DNS Record Created"}, status=201)
        if key not in self.records:
            body = {"object": "dns-record", "code": 404, "message": f"Can't find the DNS record {key[0]}/{key[1]}"}
            return web.json_response(body, status=404)
        if request.method == "DELETE":
            del self.records[key]
            return web.Response(status=204)
        ttl, values = self.records[key]
        return web.json_response(
            {
                "rrset_name": key[0],
                "rrset_type": key[1],
                "rrset_ttl": ttl,
                "rrset_values": values,
                "rrset_href": str(request.url),
            }
        )


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """The port of a TCP server that accepts and never says a word."""
    closing = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await closing.wait()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        closing.set()
        server.close()
        await server.wait_closed()
