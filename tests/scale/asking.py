"""A client that asks at a steady rate and keeps every answer with its moments, to be judged later."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.scale.messages import make_query

PATIENCE = 3.0
"""Seconds until a query counts as lost."""

Question = tuple[str, int]
"""A name relative to the zone, and a type."""

_SOCKETS = 4
"""Each with a port of its own, so that several workers are asked."""

_UNDER_WAY = 32
"""Queries of a socket; more are not asked before an answer comes."""

_ROOM = 4 << 20
"""Octets of answers that a socket may hold while this thread has no processor."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A question, the query and its answer without their ids; and the moments before the one and after the other."""

    question: Question
    query: bytes
    wire: bytes
    begin: float
    end: float


class Asker:
    """While entered, asks what ``choose`` says so many times a second over UDP, and a tenth of it over TCP."""

    def __init__(self, port: int, zone: str, choose: Callable[[], Question], rate: float) -> None:
        self.seen: list[Seen] = []
        self.lost: list[Question] = []
        self.error: BaseException | None = None
        self._to, self._zone, self._choose, self._rate = ("127.0.0.1", port), zone, choose, rate
        self._stopped = threading.Event()
        self._queries: dict[tuple[Question, bool], bytes] = {}
        self._wires: dict[bytes, bytes] = {}
        self._asked = 0
        self._threads = [threading.Thread(target=self._guarded, args=(run,)) for run in (self._udp, self._tcp)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if kind is None and self.error is not None:
            raise self.error

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 -- raised where the run ends
            self.error = error

    def _udp(self) -> None:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(_SOCKETS)]
            for one in sockets:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
                one.connect(self._to)
                one.setblocking(False)
            waiting: list[dict[int, tuple[Question, bytes, float]]] = [{} for _ in sockets]
            due, number = time.monotonic(), 0
            while not self._stopped.is_set() or any(waiting):
                now = time.monotonic()
                while due <= now and not self._stopped.is_set():
                    number = (number + 1) & 0xFFFF
                    place = number % _SOCKETS
                    question, query = self._next()
                    if len(waiting[place]) < _UNDER_WAY:  # a client that waits for answers, as resolvers do
                        waiting[place][number] = question, query, time.monotonic()
                        sockets[place].send(number.to_bytes(2) + query)
                    due += 1 / self._rate
                select.select(sockets, [], [], max(0.0, min(due - time.monotonic(), 0.05)))
                for one, pending in zip(sockets, waiting, strict=True):
                    self._receive(one, pending)
                    self._give_up(pending)

    def _receive(self, one: socket.socket, pending: dict[int, tuple[Question, bytes, float]]) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                wire = one.recv(65535)
                end = time.monotonic()
                if found := pending.pop(int.from_bytes(wire[:2]), None):  # else it counts as lost already
                    question, query, begin = found
                    self._keep(question, query, wire[2:], begin, end)

    def _give_up(self, pending: dict[int, tuple[Question, bytes, float]]) -> None:
        oldest = time.monotonic() - PATIENCE
        while pending:
            first = next(iter(pending))
            if pending[first][2] > oldest:
                return
            self.lost.append(pending.pop(first)[0])

    def _tcp(self) -> None:
        """One connection for a second, then another; one question at a time."""
        due = time.monotonic()
        while not self._stopped.is_set():
            with socket.create_connection(self._to, PATIENCE) as connection, connection.makefile("rb") as answers:
                connection.settimeout(PATIENCE)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end = time.monotonic() + 1.0
                while time.monotonic() < end and not self._stopped.wait(max(0.0, due - time.monotonic())):
                    due += 10 / self._rate
                    question, query = self._next()
                    begin = time.monotonic()
                    connection.sendall((len(query) + 2).to_bytes(2) + bytes(2) + query)
                    wire = answers.read(int.from_bytes(answers.read(2)))
                    self._keep(question, query, wire[2:], begin, time.monotonic())

    def _next(self) -> tuple[Question, bytes]:
        """A question, and its query without the id: now and then in capitals, or without EDNS."""
        question = self._choose()
        self._asked += 1
        edns = self._asked % 4 > 0
        query = self._queries.get((question, edns))
        if query is None:
            query = self._queries[question, edns] = make_query(f"{question[0]}.{self._zone}", question[1], edns=edns)[
                2:
            ]
        return question, query.upper() if self._asked % 8 == 1 else query

    def _keep(self, question: Question, query: bytes, wire: bytes, begin: float, end: float) -> None:
        self.seen.append(Seen(question, query, self._wires.setdefault(wire, wire), begin, end))
