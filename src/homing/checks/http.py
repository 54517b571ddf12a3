"""The status of an HTTP response, and no more of it: the head is read up to its status line (RFC 9112, section 4)."""

from __future__ import annotations

import asyncio
import re
import ssl

import homing
from homing.checks.check import Http
from homing.checks.tcp import opened
from homing.errors import MessageError
from homing.model.address import Address

MAX_LINE = 8192
"""Octets of a line."""

MAX_LINES = 64
"""Lines that may come before the final status line, as interim responses (103) and their fields."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n\0]*)?\r?\n")


async def status(address: Address, probe: Http, tls: ssl.SSLContext | None) -> int:
    """Ask for the path and tell the status of the answer.

    Raises MessageError when it is not HTTP/1, and OSError; the caller bounds the time.
    """
    sock = await opened(address, probe.port)  # which belongs to the transport from the next line on, if it fails too
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=tls, server_hostname=None if tls is None else probe.host, limit=MAX_LINE
    )
    try:
        writer.write(_request(address, probe))
        return await _final_status(reader)
    finally:
        writer.transport.abort()  # the body is of no interest, and a polite end of TLS would have to be waited for


def _request(address: Address, probe: Http) -> bytes:
    host = probe.host or (f"[{address}]" if address.version == 6 else str(address))
    if probe.port != (443 if probe.tls else 80):
        host += f":{probe.port}"
    return (
        f"GET {probe.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: homing/{homing.__version__}\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


async def _final_status(reader: asyncio.StreamReader) -> int:
    in_fields = False
    for _ in range(MAX_LINES):
        line = await _line(reader)
        if in_fields:
            in_fields = line not in (b"\r\n", b"\n")
            continue
        found = _STATUS.fullmatch(line)
        if found is None:
            raise MessageError("the answer does not begin with an HTTP/1 status line")
        if (code := int(found[1])) >= 200:
            return code
        in_fields = True
    raise MessageError("the answer does not come to an end of its interim responses")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            raise ConnectionResetError("closed without an answer") from None
        raise MessageError("the answer ends within a line") from None
    except asyncio.LimitOverrunError:
        raise MessageError(f"the answer has a line of more than {MAX_LINE} octets") from None
