"""Talks to the control endpoint of the stand-ins, which is a Unix socket and so works across network namespaces."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class ControlRefused(RuntimeError):  # noqa: N818 - what happened, not an error of the lab
    """The control endpoint did not do what was asked."""


def state(path: Path) -> dict[str, Any]:
    """What each stand-in saw and holds, by service."""
    return dict(ask(path, "GET", "/control/state"))


def script(path: Path, order: Mapping[str, Any]) -> None:
    """Have a fault, or none any more: see homing.standins.control.Control. Raises ControlRefused."""
    ask(path, "POST", "/control/script", order)


def ask(path: Path, method: str, what: str, order: Mapping[str, Any] | Sequence[str] | None = None) -> Any:
    """One request and its JSON answer. Raises ControlRefused."""
    connection = _UnixConnection(str(path))
    try:
        connection.request(method, what, None if order is None else json.dumps(order))
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise ControlRefused(f"{what}: {answer.status} {body.decode(errors='replace')}")
    return json.loads(body)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(self._path)
