"""One worker process: answers over UDP from a copy of the zones that the main process keeps up to date.

It imports only the standard library and the pure rooms. The main process gives it two sockets, one for frames and one
for packets that only the main process can answer; when the first is closed, the worker ends.
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import select
import signal
import socket
import sys
import time
from typing import Any

from homing.dns.engine.answers import Answers, Client
from homing.dns.engine.batch import UdpSocket, udp_socket
from homing.dns.engine.frames import Frames, Kind, change_from, frame, stats_data, zones_from
from homing.dns.engine.setup import Setup
from homing.dns.lookup import Zones
from homing.dns.stats import Event
from homing.effects.garbage import give_back

_SETTLE = 1.0
"""Seconds between two reports of what was counted."""

_SPELL = 0.08
"""Seconds that frames are acted on before packets get their turn."""

_READ = 1 << 18
_MAX_SOCKETS = 64
"""Sockets that may come along with what is read at once."""


class Worker:
    """The process's one object."""

    def __init__(self, control: socket.socket, forward: socket.socket) -> None:
        self._control = control
        self._forward = forward
        self._frames = Frames()
        self._zones = Zones()
        self._answers: Answers
        self._sockets: dict[int, tuple[socket.socket, UdpSocket]] = {}
        self._by_fd: dict[int, tuple[int, UdpSocket]] = {}
        self._arrived: list[socket.socket] = []
        """Sockets whose frames are not whole yet."""
        self._serving = 0
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._done = 0
        self._is_behind = False
        """Whether there are frames that it had no time for yet."""
        self._settle_at = time.monotonic() + _SETTLE
        self._is_wasteful = False
        """Whether a whole zone was loaded since memory was given back."""

    def run(self) -> None:
        """Answer until the main process closes the control socket.

        Frames are acted on before packets are read, so no packet is answered from zones known to be old; but when there
        is more to do than clients can wait for, they get their turn in between.
        """
        control, poll, by_fd, clock = self._control.fileno(), self._poll.poll, self._by_fd, time.monotonic
        wait = _SETTLE * 1000
        while True:
            ready = poll(0 if self._is_behind else wait)
            if self._is_behind:
                self._act_on(b"")
            elif any(fd == control for fd, _ in ready) and not self._follow():
                return
            for fd, _ in ready:
                served = by_fd.get(fd)
                if served is not None:
                    self._serving = served[0]
                    served[1].serve()
            if clock() >= self._settle_at:
                self._report()

    def _follow(self) -> bool:
        """Act on the frames that are there; False when the main process is gone."""
        data, fds, _, _ = socket.recv_fds(self._control, _READ, _MAX_SOCKETS)
        if not data:
            return False
        self._arrived += (socket.socket(fileno=fd) for fd in fds)
        self._act_on(data)
        return True

    def _act_on(self, data: bytes) -> None:
        until, before = time.monotonic() + _SPELL, self._done
        self._is_behind = False
        for kind, body in self._frames.feed(data):
            self._act(kind, body)
            self._done += 1
            if time.monotonic() >= until:
                self._is_behind = True
                break
        if self._done > before:
            self._say(Kind.DONE, self._done)

    def _act(self, kind: Kind, body: Any) -> None:
        match kind:
            case Kind.ZONES:
                settings, data = body
                self._zones = zones_from(data)
                setup = Setup.from_data(settings)
                self._answers = Answers(self._zones, manner=setup.manner, limit=setup.limit, forward=self._hand_over)
                gc.collect()
                gc.freeze()  # what is loaded stays: the collector need not walk it again and again
                self._is_wasteful = True
            case Kind.CHANGE:
                gc.disable()
                self._zones, change = change_from(self._zones, body)
                self._answers.update(self._zones, change)
                if change.diff is None:
                    gc.freeze()  # a whole zone
                    self._is_wasteful = True
                gc.enable()
            case Kind.LISTEN:
                sock = self._arrived.pop(0)
                served = udp_socket(sock, self._answers)
                self._sockets[body] = (sock, served)
                self._by_fd[sock.fileno()] = (body, served)
                self._poll.register(sock, select.POLLIN)
            case Kind.CLOSE:
                sock, _ = self._sockets.pop(body)
                self._poll.unregister(sock)
                del self._by_fd[sock.fileno()]
                sock.close()
            case Kind.REPORT:
                self._report()
            case _:
                raise AssertionError(kind)

    def _report(self) -> None:
        self._settle_at = time.monotonic() + _SETTLE
        if self._is_wasteful:
            self._is_wasteful = False
            give_back()
        stats = self._answers.settle()
        if stats.queries or stats.events:
            self._say(Kind.STATS, stats_data(stats))
            stats.queries.clear()
            stats.events.clear()

    def _say(self, kind: Kind, body: object) -> None:
        self._control.setblocking(True)
        self._control.sendall(frame(kind, body))
        self._control.setblocking(False)

    def _hand_over(self, packet: bytes, client: Client) -> None:
        """Give a packet to the main process; when that has enough of them, the client asks again."""
        try:
            self._forward.send(marshal.dumps((self._serving, client, packet)), socket.MSG_DONTWAIT)
        except (BlockingIOError, OSError):
            self._answers.stats.events[Event.FORWARD_DROPPED] += 1


def main() -> None:
    """Run as ``python -m homing.dns.engine.worker CONTROL FORWARD``, the numbers of two inherited sockets."""
    # Ctrl-C and a closed terminal reach the whole group, but it is the main process that ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    control, forward = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    with control, forward, contextlib.suppress(ConnectionError):
        Worker(control, forward).run()


if __name__ == "__main__":
    main()
