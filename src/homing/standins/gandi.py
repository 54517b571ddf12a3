"""A subset of Gandi's LiveDNS v5: domains and the records of a name; state, limits, errors as the real one."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Self, cast

from homing.effects.clock import Clock, SystemClock
from homing.standins.faults import FaultScript, misbehave
from homing.standins.listen import Endpoint, Listen
from homing.standins.service import WebService

if TYPE_CHECKING:
    from aiohttp import web

PREFIX = "/v5/livedns/domains/"
MIN_TTL, DEFAULT_TTL, MAX_TTL = 300, 10_800, 2_592_000
"""Seconds."""

MAX_CLIENTS = 1000
"""Addresses whose requests are counted for the limit."""

MAX_LOG = 10_000
"""Requests that are remembered."""

TYPES = frozenset(
    ("A", "AAAA", "ALIAS", "CAA", "CNAME", "DNAME", "DS", "MX", "NS", "PTR", "SRV", "SSHFP", "TLSA", "TXT")
)
"""Record types that LiveDNS knows, the common ones."""

_CAUSES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}

Key = tuple[str, str, str]
"""Domain, name below it (``@`` for the domain itself), type."""


@dataclass(frozen=True, slots=True)
class GandiRecord:
    """An RRset: ``ttl`` in seconds, values in presentation form."""

    ttl: int
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GandiRequest:
    """One request: when (Unix time), its method and path, and the status it was answered with (0 for a fault)."""

    at: float
    method: str
    path: str
    status: int


class GandiServer:
    """Answers ``/v5/livedns/domains/...`` while entered, over TLS where a Listen says so.

    ``token`` is taken as ``Bearer``, ``key`` as the deprecated ``Apikey``. No credentials and a wrong key are 401, a
    wrong token 403; a domain that is not in ``domains`` is 404; a TTL under 300 is 400; more than
    ``limit`` requests in 60 s from one address are 429. ``faults`` go by the path, the domain, or the method (``PUT``).
    """

    def __init__(
        self,
        domains: Iterable[str],
        *,
        token: str = "",
        key: str = "",
        listens: Sequence[Listen] = (Listen(),),
        limit: int = 1000,
        clock: Clock | None = None,
    ) -> None:
        self.domains = {domain.lower() for domain in domains}
        self.token = token
        self.key = key
        self.records: dict[Key, GandiRecord] = {}
        self.faults = FaultScript()
        self.log: deque[GandiRequest] = deque(maxlen=MAX_LOG)
        self._limit = limit
        self._asked: dict[str, deque[float]] = {}
        self._clock = clock or SystemClock()
        self._service = WebService(self._answer, listens)

    async def __aenter__(self) -> Self:
        await self._service.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._service.aclose()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens."""
        return self._service.endpoints

    def values(self, domain: str, name: str, rtype: str) -> tuple[str, ...]:
        """The values published at a name below a domain, ``@`` for the domain itself."""
        record = self.records.get((domain, name, rtype))
        return record.values if record is not None else ()

    def as_json(self) -> dict[str, Any]:
        """The state, for the control endpoint."""
        return {
            "records": [
                {"domain": domain, "name": name, "type": rtype, "ttl": record.ttl, "values": list(record.values)}
                for (domain, name, rtype), record in sorted(self.records.items())
            ],
            "log": [{"at": r.at, "method": r.method, "path": r.path, "status": r.status} for r in self.log],
        }

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        path = request.path.rstrip("/")
        domain = path.removeprefix(PREFIX).partition("/")[0].lower() if path.startswith(PREFIX) else ""
        fault = self.faults.take(path, domain, request.method)
        if fault is not None:
            self._note(request.method, path, 0)
            return await misbehave(request, fault)
        status, body = self._permit(request.headers, request.remote or "") or (0, None)
        if not status:
            status, body = self._route(request.method, path, await request.read(), f"{request.scheme}://{request.host}")
        self._note(request.method, path, status)
        if status == 204:
            return web.Response(status=204)
        return web.json_response(body, status=status)

    def _note(self, method: str, path: str, status: int) -> None:
        self.log.append(GandiRequest(self._clock.time(), method, path, status))

    def _permit(self, headers: Mapping[str, str], peer: str) -> tuple[int, Any] | None:
        now = self._clock.monotonic()
        if len(self._asked) >= MAX_CLIENTS:
            self._asked.clear()
        asked = self._asked.setdefault(peer, deque(maxlen=self._limit + 1))
        asked.append(now)
        if sum(at > now - 60 for at in asked) > self._limit:
            return 429, {"code": 429, "message": "Too many requests", "object": "HTTPTooManyRequests"}
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        expected = {"bearer": self.token, "apikey": self.key}.get(scheme.lower(), "")
        if not scheme or not given:
            return 401, {"message": "You must provide an access token or an API Key."}
        if expected and given == expected:
            return None
        if scheme.lower() == "apikey":
            return _error(401, "The server could not verify that you authorized to access the document you requested.")
        return _error(403, "Access was denied to this resource.")

    def _route(self, method: str, path: str, body: bytes, base: str) -> tuple[int, Any]:
        parts = path.removeprefix(PREFIX).split("/") if path.startswith(PREFIX) else []
        if not parts or len(parts) > 4 or (len(parts) > 1 and parts[1] != "records"):
            return _error(404, "The resource could not be found.")
        domain = parts[0].lower()
        if domain not in self.domains:
            return _error(404, "The resource could not be found.")
        href = f"{base}{PREFIX}{domain}"
        if len(parts) == 1:
            return (200, _domain(domain, href)) if method == "GET" else _error(405, "Method not allowed.")
        name = parts[2].lower() if len(parts) > 2 else None
        rtype = parts[3].upper() if len(parts) > 3 else None
        if rtype is not None and rtype not in TYPES:
            return _error(404, "The resource could not be found.")
        if method == "GET":
            return self._get(domain, name, rtype, href)
        if method == "PUT" and name is not None:
            return self._put(domain, name, rtype, body)
        if method == "DELETE" and name is not None:
            for key in [key for key in self.records if key[:2] == (domain, name) and rtype in (None, key[2])]:
                del self.records[key]
            return 204, None
        return _error(405, "Method not allowed.")

    def _get(self, domain: str, name: str | None, rtype: str | None, href: str) -> tuple[int, Any]:
        found = [
            {
                "rrset_name": key[1],
                "rrset_type": key[2],
                "rrset_ttl": record.ttl,
                "rrset_values": list(record.values),
                "rrset_href": f"{href}/records/{key[1]}/{key[2]}",
            }
            for key, record in sorted(self.records.items())
            if key[0] == domain and name in (None, key[1]) and rtype in (None, key[2])
        ]
        if rtype is None:
            return 200, found
        if not found:
            return _error(404, f"Can't find the DNS record {name}/{rtype} in the zone", "dns-record")
        return 200, found[0]

    def _put(self, domain: str, name: str, rtype: str | None, body: bytes) -> tuple[int, Any]:
        try:
            given = json.loads(body)
            items = [(rtype, given)] if rtype else [(item["rrset_type"], item) for item in given["items"]]
            records = {(domain, name, kind): _record(kind, item) for kind, item in items}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            field, _, problem = str(error)[:200].partition(": ")
            return 400, {
                "status": "error",
                "errors": [{"location": "body", "name": field, "description": problem or field}],
            }
        if rtype is None:
            for key in [key for key in self.records if key[:2] == (domain, name)]:
                del self.records[key]
        self.records.update(records)
        return 201, {"message": "DNS Record Created"}


def _record(rtype: str, item: Mapping[str, Any]) -> GandiRecord:
    """Read an RRset as LiveDNS does. Raises ValueError, KeyError, TypeError or AttributeError."""
    ttl = item.get("rrset_ttl", DEFAULT_TTL)
    values: Any = item["rrset_values"]
    if rtype not in TYPES:
        raise ValueError(f"rrset_type: {rtype} is not known")
    if not isinstance(ttl, int) or not MIN_TTL <= ttl <= MAX_TTL:
        raise ValueError(f"rrset_ttl: {ttl} is not within {MIN_TTL} and {MAX_TTL}")
    if not isinstance(values, list) or not 1 <= len(cast("list[object]", values)) <= 100:
        raise ValueError("rrset_values: must have 1 to 100 entries")
    texts = [str(value) for value in cast("list[object]", values)]
    if rtype in {"A", "AAAA"}:
        texts = [str(IPv4Address(text) if rtype == "A" else IPv6Address(text)) for text in texts]
    return GandiRecord(ttl, tuple(texts))


def _domain(domain: str, href: str) -> dict[str, Any]:
    return {
        "fqdn": domain,
        "automatic_snapshots": True,
        "domain_href": href,
        "domain_keys_href": f"{href}/keys",
        "domain_records_href": f"{href}/records",
    }


def _error(code: int, message: str, kind: str = "") -> tuple[int, dict[str, Any]]:
    cause = _CAUSES[code]
    return code, {
        "object": kind or f"HTTP{cause.replace(' ', '')}",
        "cause": cause,
        "code": code,
        "message": message,
    }
