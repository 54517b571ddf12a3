"""Telling the service manager how things are (sd_notify(3)); nothing happens without one."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify_service_manager(state: str) -> None:
    """Send ``READY=1``, ``RELOADING=1`` or ``STOPPING=1`` to systemd's socket, if there is one."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    if state == "RELOADING=1":
        state += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send(state.encode())
