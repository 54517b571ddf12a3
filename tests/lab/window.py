"""A window into a host of the lab: what it serves on its loopback can be looked at from this machine, by a browser.

The socket that listens here is handed to a process inside the host, which passes each connection on to its own
loopback. So nothing of this machine reaches the lab but what comes in by this port, and nothing of the lab comes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it runs inside the lab as a mere file
    from tests.lab.namespaces import Host

PIECE = 65536
"""Octets that are passed on at a time."""


@contextlib.contextmanager
def window(host: Host, port: int) -> Iterator[str]:
    """The URL, without a slash at its end, of what ``host`` serves on this port of its loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        here = listening.fileno()
        argv = [sys.executable, __file__, str(here), str(port)]
        process = host.popen(argv, pass_fds=[here], stdout=subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            process.kill()
            process.wait()


async def _serve(listening: socket.socket, port: int) -> None:
    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    async with await asyncio.start_server(passed_on, sock=listening) as server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on until one side ends; then the other is told."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])))
