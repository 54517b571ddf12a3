"""The turns that transfers take: how many run at a time, who waits, and what is told of each at its end."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from homing.dns.message import Rcode
from homing.dns.transfers.transfer import Kind
from homing.effects.clock import Clock
from homing.model.name import Name


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """``total`` transfers at a time and ``per_client`` (an address); more wait for their turn.

    ``seconds`` is how long one may wait, and how long one may take.
    """

    total: int = 16
    per_client: int = 1
    seconds: float = 600.0


class Ending(enum.StrEnum):
    """How a transfer ended."""

    DONE = "done"
    """Handed to the network whole."""
    ABORTED = "aborted"
    """The client went away, or took too long."""
    REFUSED = "refused"
    """The client may not have it, or there is no such zone."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """A transfer that ended. ``before`` is the serial the client had, None for AXFR."""

    origin: Name
    client: str
    key: Name | None
    kind: Kind
    before: int | None
    serial: int
    messages: int = 0
    octets: int = 0
    ending: Ending = Ending.DONE


OnTransfer = Callable[[Transferred], None]
"""Told of each transfer at its end. Does not raise."""


class Response:
    """What a query gets: a few messages or many. ``close`` it when it ends early."""

    def __init__(self, rcode: Rcode, parts: Iterator[bytes], transfer: Turn | None = None) -> None:
        self.rcode = rcode
        self._parts = parts
        self._transfer = transfer

    @property
    def seconds(self) -> float:
        """How long it may wait for its turn."""
        return 0.0 if self._transfer is None else self._transfer.seconds

    @property
    def overdue(self) -> bool:
        """Whether it has taken longer than a transfer may."""
        return self._transfer is not None and self._transfer.overdue

    def admitted(self, wake: Callable[[], None]) -> bool:
        """Whether it is its turn; when not, ``wake`` is called once it may be."""
        return self._transfer is None or self._transfer.admitted(wake)

    def next(self) -> bytes | None:
        """The next message; None behind the last."""
        message = next(self._parts, None)
        if self._transfer is not None:
            self._transfer.sent(message)
        return message

    def close(self) -> None:
        """Give the turn to the next."""
        if self._transfer is not None:
            self._transfer.close()


class Turns:
    """The turns of transfers."""

    def __init__(self, limits: TransferLimits, clock: Clock) -> None:
        self.limits = limits
        self.clock = clock
        self._running: Counter[str] = Counter()
        self._waiting: dict[Turn, Callable[[], None]] = {}

    def take(self, transfer: Turn) -> bool:
        """Take a turn if there is one that nobody waits for any longer."""
        if self._running.total() >= self.limits.total or not self._is_free(transfer.client):
            return False
        for other in self._waiting:
            if other is transfer:
                break
            if self._is_free(other.client):
                return False
        self._waiting.pop(transfer, None)
        self._running[transfer.client] += 1
        return True

    def wait(self, transfer: Turn, wake: Callable[[], None]) -> None:
        """Have a transfer woken whenever a turn may be free; the limits of connections bound how many wait."""
        self._waiting.setdefault(transfer, wake)

    def give(self, client: str) -> None:
        """End a turn."""
        self._running -= Counter((client,))
        self._wake()

    def forget(self, transfer: Turn) -> None:
        """A transfer waits no longer."""
        if self._waiting.pop(transfer, None) is not None:
            self._wake()

    def _is_free(self, client: str) -> bool:
        return self._running[client] < self.limits.per_client

    def _wake(self) -> None:
        for wake in tuple(self._waiting.values()):
            wake()


class Turn:
    """One transfer and its turn."""

    def __init__(self, turns: Turns, told: Transferred, on_transfer: OnTransfer | None) -> None:
        self._turns = turns
        self.client = told.client
        self._told = told
        self._on_transfer = on_transfer
        self._until: float | None = None
        self._ended = False
        self._messages = self._octets = 0

    @property
    def seconds(self) -> float:
        """How long it may wait."""
        return self._turns.limits.seconds

    @property
    def overdue(self) -> bool:
        """Whether it takes too long."""
        return self._until is not None and self._turns.clock.monotonic() > self._until

    def admitted(self, wake: Callable[[], None]) -> bool:
        """Whether it has its turn."""
        if self._until is None:
            if not self._turns.take(self):
                self._turns.wait(self, wake)
                return False
            self._until = self._turns.clock.monotonic() + self._turns.limits.seconds
        return True

    def sent(self, message: bytes | None) -> None:
        """Count a message; None is the end."""
        if message is None:
            self._end(Ending.DONE)
        else:
            self._messages += 1
            self._octets += len(message)

    def close(self) -> None:
        """Give the turn back, or leave the queue."""
        self._end(Ending.ABORTED)

    def _end(self, ending: Ending) -> None:
        if self._ended:
            return
        self._ended = True
        self._turns.forget(self)
        if self._until is not None:
            self._turns.give(self.client)
        if self._on_transfer is not None:
            told = replace(self._told, messages=self._messages, octets=self._octets, ending=ending)
            self._on_transfer(told)
