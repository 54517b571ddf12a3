"""The router's outer address by UPnP, which many home routers speak: found by SSDP, described in XML, asked by SOAP.

Only the gateway is believed: what others on the network answer is passed over, and so is a description that leads
elsewhere. UPnP Device Architecture 1.1, section 1.3; WANIPConnection:1, section 2.4.18.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Iterator
from functools import partial
from ipaddress import IPv4Address
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from homing.app.doctor.natpmp import Outer
from homing.effects.http import HttpClient, HttpError
from homing.model.address import Family

PORT = 1900
EVERYBODY = "239.255.255.250"
"""Where devices are looked for; some answer only there, some only when they are asked themselves."""

WAITS = (0.5, 1.0)
"""Seconds after each request."""

PATIENCE = 2.0
"""Seconds for the description, and for the answer."""

MOST = 100_000
"""Octets of a description."""

MOST_FOREIGN = 64
"""Answers of others that are passed over."""

NONE, SILENT = "it offers no UPnP", "it tells nothing by UPnP"

_DEVICE = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
_SERVICES = ("urn:schemas-upnp-org:service:WANIPConnection:", "urn:schemas-upnp-org:service:WANPPPConnection:")
_SEARCH = (
    f'M-SEARCH * HTTP/1.1\r\nHOST: {EVERYBODY}:{PORT}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {_DEVICE}\r\n\r\n'
).encode()
_ENVELOPE = (
    '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
    '<u:GetExternalIPAddress xmlns:u="{}"/></s:Body></s:Envelope>'
)


async def outer_address(
    gateway: IPv4Address,
    http: HttpClient,
    port: int = PORT,
    everybody: Iterable[str] = (EVERYBODY,),
    waits: Iterable[float] = WAITS,
) -> Outer:
    """Ask a gateway. Whoever answers nothing has said nothing."""
    where = await _found(gateway, port, everybody, waits)
    if where is None:
        return Outer(why=NONE)
    asked = partial(http.request, timeout=PATIENCE, family=Family.V4, max_body=MOST)  # of a family: by no proxy
    with contextlib.suppress(HttpError):
        described = await asked("GET", where)
        for service, url in controls(described.body, where):
            headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": f'"{service}#GetExternalIPAddress"'}
            told = await asked("POST", url, headers=headers, content=_ENVELOPE.format(service).encode())
            if (address := external(told.body)) is not None:
                return Outer(address)
    return Outer(why=SILENT)


async def _found(gateway: IPv4Address, port: int, everybody: Iterable[str], waits: Iterable[float]) -> str | None:
    loop, foreign = asyncio.get_running_loop(), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        for wait in waits:
            for target in (str(gateway), *everybody):
                with contextlib.suppress(OSError):
                    await loop.sock_sendto(sock, _SEARCH, (target, port))
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(wait):
                    while foreign < MOST_FOREIGN:
                        packet, sender = await loop.sock_recvfrom(sock, 2048)
                        if sender[0] == str(gateway) and (where := location(packet, gateway)) is not None:
                            return where
                        foreign += 1
    return None


def location(packet: bytes, gateway: IPv4Address) -> str | None:
    """Where the description is, by an answer to the search; None when it is none, or leads elsewhere."""
    first, *lines = packet.decode("latin-1").split("\r\n")
    if not first.startswith("HTTP/1.1 200"):
        return None
    headers = {name.strip().upper(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    where = headers.get("LOCATION", "")
    return where if _is_at(where, str(gateway)) else None


def controls(description: bytes, where: str) -> Iterator[tuple[str, str]]:
    """The services that know the outer address, each with the URL to ask; none where the description is no such."""
    host = urlsplit(where).hostname or ""
    root = _xml(description)
    for service in root.iter() if root is not None else ():
        told = {_local(item.tag): (item.text or "").strip() for item in service}
        kind, path = told.get("serviceType", ""), told.get("controlURL", "")
        with contextlib.suppress(ValueError):
            url = urljoin(where, path)
            if kind.startswith(_SERVICES) and path and _is_at(url, host):
                yield kind, url


def external(answer: bytes) -> IPv4Address | None:
    """The address in an answer; None when there is none, as while the line is down."""
    root = _xml(answer)
    for item in root.iter() if root is not None else ():
        if _local(item.tag) == "NewExternalIPAddress":
            with contextlib.suppress(ValueError):
                address = IPv4Address((item.text or "").strip())
                return address if int(address) else None
    return None


def _is_at(url: str, host: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname == host and port != 0


def _xml(text: bytes) -> ElementTree.Element | None:
    """What is well-formed, small, and declares nothing: declarations are how XML grows without end."""
    if b"<!DOCTYPE" in text.upper() or b"<!ENTITY" in text.upper():
        return None
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - bounded, and without declarations
    except (ElementTree.ParseError, ValueError, LookupError):
        return None


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
