"""Who has a place among the TCP connections, and who gives way to a new one. Pure."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Holder(Protocol):
    """A connection."""

    @property
    def transfers(self) -> int:
        """How many transfers it waits for."""
        ...


H = TypeVar("H", bound=Holder)


class Places(Generic[H]):
    """So many places in all, and for each client.

    When there is none left, the holder that was idle longest, of that client or of all, gives way to a new one; one
    that waits for a transfer does not.
    """

    def __init__(self, total: int, per_client: int) -> None:
        self._total = total
        self._per_client = per_client
        self._held: OrderedDict[H, str] = OrderedDict()
        """The client of each; the one that was idle longest stands first."""
        self._clients: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many are taken."""
        return len(self._held)

    @property
    def holders(self) -> tuple[H, ...]:
        """All that have one, the one that was idle longest first."""
        return tuple(self._held)

    def take(self, holder: H, client: str) -> tuple[H, ...] | None:
        """Give a place to a client; those that lost theirs for it, or None where nobody gives way."""
        gone: tuple[H, ...] = ()
        own = self._clients[client] >= self._per_client
        if own or len(self._held) >= self._total:
            gone = tuple(self._idlest(client if own else None))
            if not gone:
                return None
            self.leave(*gone)
        self._held[holder] = client
        self._clients[client] += 1
        return gone

    def used(self, holder: H) -> None:
        """It was of use now."""
        if holder in self._held:
            self._held.move_to_end(holder)

    def leave(self, *holders: H) -> None:
        """They need their places no longer."""
        for holder in holders:
            client = self._held.pop(holder, None)
            if client is not None:
                self._clients -= Counter((client,))

    def _idlest(self, client: str | None) -> Iterator[H]:
        """The one that gives way, if any; ``client`` None: whoever has it."""
        for holder, other in self._held.items():
            if client in (None, other) and not holder.transfers:
                yield holder
                return
