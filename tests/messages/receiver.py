"""A real HTTP server that takes messages and pings: it answers, refuses, or hangs, as the path says."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What came, by path. ``/hang`` never answers, ``/broken`` gives 500, all else 200."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.gets: list[str] = []
        self.broken: set[str] = {"/broken"}
        self.port = 0
        self.end = threading.Event()

    def texts(self, path: str) -> list[str]:
        """The texts of the messages that came to a path."""
        return [str(body["message"]) for where, body in self.posts if where == path]


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on loopback."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.posts.append((self.path, body))
            self._answer()

        def do_GET(self) -> None:
            found.gets.append(self.path)
            self._answer()

        def _answer(self) -> None:
            if self.path == "/hang":
                found.end.wait(60)
            with contextlib.suppress(OSError):
                self.send_response(500 if self.path in found.broken else 200)
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        found.end.set()
        server.shutdown()
        thread.join(10)
        server.server_close()
