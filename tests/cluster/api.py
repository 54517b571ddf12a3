"""The plainest client of the API server: one request, JSON both ways. Tests look at the cluster with it, quicker than
kubectl and independent of the client that they test."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TIMEOUT = 30.0
"""Seconds a request may take."""


class ApiRefused(Exception):  # noqa: N818 -- says what happened
    """An error answer; ``status`` is its HTTP status, ``reason`` that of its Status object."""

    def __init__(self, status: int, body: bytes) -> None:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {"message": body.decode(errors="replace")[:500]}
        self.status = status
        self.reason = str(answer.get("reason", ""))
        super().__init__(f"{status} {self.reason}: {answer.get('message', '')}")


class Stream:
    """Lines that come one by one, until another thread ends them; who reads them closes it then."""

    def __init__(self, connection: http.client.HTTPSConnection) -> None:
        self._connection = connection
        self._socket: socket.socket = connection.sock
        self._answer = connection.getresponse()

    def __iter__(self) -> Iterator[bytes]:
        try:
            with contextlib.suppress(OSError, http.client.HTTPException):  # how it ends in the midst of an answer
                yield from iter(self._answer.readline, b"")
        finally:
            self._answer.close()
            self._connection.close()

    def end(self) -> None:
        """Let there be no more lines."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # beneath TLS, which the reader is in


class Api:
    """Requests to one server with one token, over connections that are kept. Any thread may use it."""

    def __init__(self, port: int, ca_file: Path, token: str) -> None:
        self._port = port
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._token = token
        self._idle: deque[http.client.HTTPSConnection] = deque()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """The decoded answer; ``path`` with its query. Raises like ``exchange``."""
        read = self.exchange(method, path, None if body is None else json.dumps(body).encode(), content_type)
        return dict(json.loads(read)) if read.startswith(b"{") else {"text": read.decode()}

    def stream(self, path: str) -> Stream:
        """The lines of an answer that goes on, a watch for instance."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=TIMEOUT, context=self._tls)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
        return Stream(connection)

    def exchange(
        self, method: str, path: str, payload: bytes | None = None, content_type: str = "application/json"
    ) -> bytes:
        """A request with a body that is JSON already, and the answer as it came: for thousands of them.

        Raises:
            ApiRefused: the server answered with an error.
            OSError: there is no server.
        """
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type, "Accept": "application/json"}
        while True:
            try:
                connection, was_idle = self._idle.pop(), True
            except IndexError:
                was_idle = False
                connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=TIMEOUT, context=self._tls)
            try:
                connection.request(method, path, payload, headers)
                answer = connection.getresponse()
                read = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                if not was_idle:
                    raise
                continue  # the server may have closed it meanwhile
            self._idle.append(connection)
            if answer.status >= 400:
                raise ApiRefused(answer.status, read)
            return read
