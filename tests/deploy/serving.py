"""A real ``homing dns`` on loopback with one zone."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.process import Process
from tests.waiting import until

ZONE = """\
@ 60 SOA ns1 admin 1 3600 900 86400 60
@ 60 NS ns1
ns1 60 A 192.0.2.53
www 60 A 192.0.2.1
"""


@contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """While entered, example.org is served on a port of 127.0.0.1."""
    file = folder / "example.org.zone"
    file.write_text(ZONE)
    words = ["dns", "--zone-file", str(file), "--bind=127.0.0.1", f"--port={port}", f"--state={folder}", "--workers=1"]
    process = Process(folder / "dns.log", [sys.executable, "-m", "homing", *words])

    def listens() -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) == 0

    process.start()
    try:
        until(listens, 20, "homing dns")
        yield
    finally:
        process.stop()
