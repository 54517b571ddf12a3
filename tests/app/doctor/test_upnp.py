"""The router's outer address by UPnP: a gateway on loopback that speaks it, and whatever else may answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address

import pytest
from aiohttp import web

from homing.app.doctor.natpmp import Outer
from homing.app.doctor.upnp import NONE, SILENT, controls, external, location, outer_address
from homing.effects.http import HttpClient

LOCAL, OUTSIDE = IPv4Address("127.0.0.1"), IPv4Address("100.64.3.7")

DESCRIPTION = """<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1
</deviceType><deviceList><device><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/l3f</controlURL></service>
<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
<controlURL>{control}</controlURL></service></serviceList></device></deviceList></device></root>"""

ANSWER = """<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
<u:GetExternalIPAddressResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">
<NewExternalIPAddress>{address}</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>"""


class Router:
    """A gateway at 127.0.0.1 that speaks UPnP."""

    def __init__(self) -> None:
        self.control, self.address = "/ctl/IPConn", str(OUTSIDE)
        self.location = ""
        self.asked: list[str] = []
        self.port = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/rootDesc.xml", self._describe)
        app.router.add_post("/ctl/IPConn", self._tell)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, str(LOCAL), 0)
        await site.start()
        self.location = self.location or f"http://{LOCAL}:{runner.addresses[0][1]}/rootDesc.xml"
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((str(LOCAL), 0))
            self.port = sock.getsockname()[1]
            loop.add_reader(sock, self._found, sock)
            try:
                yield
            finally:
                loop.remove_reader(sock)
                await runner.cleanup()

    def _found(self, sock: socket.socket) -> None:
        request, sender = sock.recvfrom(2000)
        assert request.startswith(b"M-SEARCH * HTTP/1.1\r\n")
        assert b"InternetGatewayDevice:1" in request
        sock.sendto(b"NOTIFY * HTTP/1.1\r\n\r\n", sender)
        sock.sendto(f"HTTP/1.1 200 OK\r\nST: x\r\nLocation: {self.location}\r\n\r\n".encode(), sender)

    async def _describe(self, _: web.Request) -> web.Response:
        return web.Response(text=DESCRIPTION.format(control=self.control), content_type="text/xml")

    async def _tell(self, request: web.Request) -> web.Response:
        self.asked.append(request.headers["SOAPAction"])
        assert "GetExternalIPAddress" in await request.text()
        return web.Response(text=ANSWER.format(address=self.address), content_type="text/xml")


async def ask(router: Router) -> Outer:
    """What the doctor learns."""
    async with router.serving(), HttpClient() as http:
        return await outer_address(LOCAL, http, router.port, (), (0.3,))


async def test_a_router_tells_its_outer_address() -> None:
    """It is found, described and asked, once each."""
    router = Router()
    assert await ask(router) == Outer(OUTSIDE)
    assert router.asked == ['"urn:schemas-upnp-org:service:WANIPConnection:1#GetExternalIPAddress"']


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"address": "0.0.0.0"}, SILENT),
        ({"address": "here"}, SILENT),
        ({"control": "http://127.0.0.2:1/ctl/IPConn"}, SILENT),
        ({"control": "/gone"}, SILENT),
        ({"control": ""}, SILENT),
        ({"location": "http://127.0.0.1:1/"}, SILENT),
        ({"location": "http://127.0.0.2/rootDesc.xml"}, NONE),
        ({"location": "file:///etc/passwd"}, NONE),
        ({"location": "http://[broken"}, NONE),
    ],
)
async def test_what_is_no_answer_is_no_claim(changes: dict[str, str], why: str) -> None:
    """A line that is down, a broken router, and one that leads elsewhere."""
    router = Router()
    for key, value in changes.items():
        setattr(router, key, value)
    assert await ask(router) == Outer(why=why)


async def test_a_router_without_upnp_is_silent() -> None:
    """A closed port and one that never answers, within the time given."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((str(LOCAL), 0))
        port = silent.getsockname()[1]
        async with HttpClient() as http:
            assert await outer_address(LOCAL, http, port, (), (0.05, 0.05)) == Outer(why=NONE)
    async with HttpClient() as http:
        assert await outer_address(LOCAL, http, port, (), (0.05,)) == Outer(why=NONE)


def test_xml_that_declares_something_is_not_read() -> None:
    """Declarations are how a small file grows without end."""
    bomb = b"<!DOCTYPE a [<!ENTITY b '8.8.8.8'>]><a><NewExternalIPAddress>&b;</NewExternalIPAddress></a>"
    assert external(bomb) is None
    assert external(ANSWER.format(address="8.8.8.8").encode()) == IPv4Address("8.8.8.8")
    for text in (b"", b"<a", b"\xff\xfe", b'<?xml version="1.0" encoding="none"?><a/>', b"<a>" * 5000):
        assert external(text) is None
        assert list(controls(text, "http://127.0.0.1/")) == []


def test_packets_of_others_are_no_answers() -> None:
    """Whatever they hold."""
    for packet in (b"", b"\xff" * 100, b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nLOCATION:\r\n", b"HTTP/1.1 404 X\r\n"):
        assert location(packet, LOCAL) is None
    assert (
        location(b"HTTP/1.1 200 OK\r\nlocation : http://127.0.0.1:5000/x.xml \r\n", LOCAL)
        == "http://127.0.0.1:5000/x.xml"
    )
