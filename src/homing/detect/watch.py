"""Waits for the kernel to tell that an address or a default route of this machine changed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import AsyncGenerator

from homing.detect import netlink
from homing.effects.clock import Clock

DEBOUNCE = 0.2
"""Seconds that changes are gathered, from the first one on."""

_REMEMBERED = 1024
"""Addresses and routes known at a time; beyond that all are forgotten, so that the next repetition counts as new."""


class Changes:
    """Tells changes from repetitions: routers that advertise a prefix make the kernel repeat it every few seconds."""

    def __init__(self) -> None:
        self._known: dict[object, int] = {}

    def note(self, message: netlink.Message) -> bool:
        """Whether the message tells something new."""
        if isinstance(message, netlink.Link):
            return False
        key: object
        if isinstance(message, netlink.AddressMessage):
            key, value = (message.index, message.address), message.flags
        else:
            key, value = (message.family, message.interface, message.gateway), 0
        if message.gone:
            self._known.pop(key, None)
            return True
        if self._known.get(key) == value:
            return False
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = value
        return True


async def watch_addresses(clock: Clock, *, debounce: float = DEBOUNCE, begun: bool = False) -> AsyncGenerator[None]:
    """Yields after addresses or default routes changed, once for all changes within ``debounce`` seconds.

    When the kernel dropped messages (ENOBUFS), that counts as a change. ``begun``: once at the beginning, too, when no
    change is missed any more. Ends at once where there is no netlink.
    """
    if sys.platform != "linux":
        return
    changes = Changes()
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    except OSError:
        return
    with contextlib.closing(sock):
        try:
            sock.bind((0, netlink.GROUPS))
        except OSError:
            return
        if begun:
            yield
        while True:
            if await _changed(sock, changes):
                await clock.sleep(debounce)
                _drain(sock, changes)
                yield


async def _changed(sock: socket.socket, changes: Changes) -> bool:
    try:
        data = await asyncio.get_running_loop().sock_recv(sock, 64 * 1024)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        return True
    news = [changes.note(message) for message in netlink.parse(data)]
    return any(news)


def _drain(sock: socket.socket, changes: Changes) -> None:
    for _ in range(256):
        try:
            data = sock.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            continue
        for message in netlink.parse(data):
            changes.note(message)
