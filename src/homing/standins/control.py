"""The control endpoint of stand-ins that run as a process of their own: read what was published, script faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from homing.standins.faults import FaultScript, parse_fault
from homing.standins.service import WebService

if TYPE_CHECKING:
    from aiohttp import web


class Controlled(Protocol):
    """A stand-in that takes faults."""

    @property
    def faults(self) -> FaultScript:
        """What goes wrong next."""
        ...


class Control:
    """Serves on a Unix socket, which works across network namespaces; no one but its folder's owner can reach it.

    ``GET /control/state`` answers the state of those that have one. ``POST /control/script`` with
    ``{"service": "strato", "key": "www.example.de", "times": 1, "kind": "answer", "body": "abuse", ...}`` (null for any
    key, and for always) adds a fault (the fields of Fault); with ``{"service": "strato", "clear": true}`` the service
    behaves again.
    """

    def __init__(self, path: Path, services: Mapping[str, Controlled]) -> None:
        self._services = services
        self._service = WebService(self._answer, unix=path)

    async def __aenter__(self) -> Self:
        await self._service.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._service.aclose()

    def state(self) -> dict[str, Any]:
        """What ``/control/state`` answers."""
        found = {name: getattr(service, "as_json", None) for name, service in self._services.items()}
        return {name: as_json() for name, as_json in found.items() if as_json is not None}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        if request.path == "/control/state":
            return web.json_response(self.state())
        if request.path != "/control/script" or request.method != "POST":
            return web.Response(status=404, text="there are GET /control/state and POST /control/script\n")
        try:
            order = json.loads(await request.read())
            faults = self._services[order["service"]].faults
            if order.get("clear"):
                faults.clear()
            else:
                faults.add(parse_fault(order), key=order.get("key"), times=order.get("times", 1))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return web.Response(status=400, text=f"not understood: {type(error).__name__}: {error}\n")
        return web.json_response({"done": True})
