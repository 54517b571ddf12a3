"""The control endpoint of stand-ins that run as a process of their own: what was published, faults, the WAN address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from homing.model.address import Address, Family, family_of, parse_address
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

    ``GET /control/state`` answers the state of those that have one, and ``wan``. ``POST /control/script`` with
    ``{"service": "strato", "key": "www.example.de", "times": 1, "kind": "answer", "body": "abuse", ...}`` (null for any
    key, and for always) adds a fault (the fields of Fault); with ``{"service": "strato", "clear": true}`` the service
    behaves again. ``POST /control/wan`` with ``["203.0.113.20"]`` has each client of such a family told that address.
    """

    def __init__(
        self, path: Path, services: Mapping[str, Controlled], wan: dict[Family, Address] | None = None
    ) -> None:
        self._services = services
        self._wan: dict[Family, Address] = {} if wan is None else wan
        self._service = WebService(self._answer, unix=path)

    async def __aenter__(self) -> Self:
        await self._service.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._service.aclose()

    def state(self) -> dict[str, Any]:
        """What ``/control/state`` answers."""
        found = {name: getattr(service, "as_json", None) for name, service in self._services.items()}
        told = {"wan": [str(address) for _, address in sorted(self._wan.items())]}
        return told | {name: as_json() for name, as_json in found.items() if as_json is not None}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        if request.path == "/control/state":
            return web.json_response(self.state())
        if request.path not in ("/control/script", "/control/wan") or request.method != "POST":
            told = "there are GET /control/state, POST /control/script and POST /control/wan\n"
            return web.Response(status=404, text=told)
        try:
            order = json.loads(await request.read())
            if request.path == "/control/wan":
                if not self._wan:
                    raise ValueError("started without --wan")
                self._wan.update({family_of(address): address for address in map(parse_address, order)})
                return web.json_response({"done": True})
            faults = self._services[order["service"]].faults
            if order.get("clear"):
                faults.clear()
            else:
                faults.add(parse_fault(order), key=order.get("key"), times=order.get("times", 1))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return web.Response(status=400, text=f"not understood: {type(error).__name__}: {error}\n")
        return web.json_response({"done": True})
