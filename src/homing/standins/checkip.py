"""HTTP services that tell who asks: as text, as JSON, or as Cloudflare's trace, by the path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from homing.standins.faults import FaultScript, misbehave
from homing.standins.listen import Endpoint, Listen, Wan, told_address
from homing.standins.service import WebService

if TYPE_CHECKING:
    from aiohttp import web


class CheckIpServer:
    """Answers GET while entered: ``/json`` and ``?format=json`` as JSON, ``/cdn-cgi/trace`` as lines, else text.

    It tells what ``wan`` says for the client's family, else the address the client is seen with. ``faults`` go by
    the path. ``answered`` counts answers that told an address.
    """

    def __init__(self, listens: Sequence[Listen] = (Listen(),), wan: Wan | None = None) -> None:
        self.wan = wan
        self.faults = FaultScript()
        self.answered = 0
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

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        fault = self.faults.take(request.path)
        if fault is not None:
            return await misbehave(request, fault)
        address = told_address(self.wan, request.remote or "")
        if address is None:
            return web.Response(status=503, text="no address\n")
        self.answered += 1
        if request.path.endswith("/trace"):
            return web.Response(text=f"fl=1\nh={request.host}\nip={address}\nts=0\nvisit_scheme={request.scheme}\n")
        if "json" in request.path or request.query.get("format") == "json":
            return web.Response(text=json.dumps({"ip": str(address)}), content_type="application/json")
        return web.Response(text=f"{address}\n")
