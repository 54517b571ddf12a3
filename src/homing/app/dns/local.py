"""Asking a server on this machine for its figures: a Unix socket in the state directory, for the owner alone.

Whoever connects gets one JSON document, and the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

from homing.effects.log import get_logger
from homing.errors import StoreError

log = get_logger("dns")

FILE = "dns.sock"

PATIENCE = 3.0
"""Seconds for one document."""

MAX_DOCUMENT = 16 << 20
"""Octets of a document."""

_MAX_PATH = 100
"""Octets of a socket's path that every system takes (sockaddr_un has 104 or 108)."""


@contextlib.asynccontextmanager
async def answering(directory: Path, document: Callable[[], bytes]) -> AsyncGenerator[None, None]:
    """Give the document to whoever asks, while entered. The caller holds the directory's lock."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(document())
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
        writer.close()

    try:
        sock = _listener(directory)
    except OSError as error:
        log.warning("homing dns stats cannot ask here", directory=str(directory), reason=error.strerror or str(error))
        yield
        return
    server = await asyncio.start_unix_server(answer, sock=sock)
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(OSError):
            (directory / FILE).unlink()


def ask(directory: Path) -> bytes:
    """The document of the server that runs with this state directory. Raises StoreError."""
    try:
        with socket.socket(socket.AF_UNIX) as sock, _short(directory) as path:
            until = time.monotonic() + PATIENCE
            sock.settimeout(PATIENCE)
            sock.connect(path)
            received = bytearray()
            while chunk := sock.recv(1 << 16):
                received += chunk
                sock.settimeout(max(0.001, until - time.monotonic()))
                if len(received) > MAX_DOCUMENT:
                    raise StoreError(f"{directory / FILE} answers with more than {MAX_DOCUMENT} octets")
            return bytes(received)
    except PermissionError:
        raise StoreError(f"{directory / FILE} is for its owner only; ask as that user, or by --web") from None
    except TimeoutError:
        raise StoreError(f"{directory / FILE} did not answer within {PATIENCE:g} s; is the server very busy?") from None
    except OSError:
        raise StoreError(
            f"no DNS server runs with state directory {directory}; name its directory with --state, or ask by --web"
        ) from None


def _listener(directory: Path) -> socket.socket:
    path = directory / FILE
    path.unlink(missing_ok=True)  # left over: its server is gone, for the directory's lock is ours
    sock = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        with _short(directory) as short:
            sock.bind(short)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    return sock


@contextlib.contextmanager
def _short(directory: Path) -> Generator[str, None, None]:
    """The socket's path; where that is too long, by way of the open directory, as Linux has it."""
    path = str(directory / FILE)
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield path
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{FILE}"
    finally:
        os.close(descriptor)
