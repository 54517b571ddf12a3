"""The side of the server that secondaries see: journals, transfers, and queries with TSIG.

It gets what the plain answering turns away, so that costs other queries nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from homing.dns.authority import Authority, Change
from homing.dns.message import MAX_SIZE, Answer, BadQuery, Query, Rcode, RRClass, Verdict, judge, parse_query
from homing.dns.render import render, render_error
from homing.dns.respond import respond
from homing.dns.transfers.journal import Journal, JournalLimits
from homing.dns.transfers.transfer import (
    AXFR,
    IXFR,
    Access,
    Kind,
    axfr_records,
    client_serial,
    ixfr_records,
    messages,
    soa_response,
)
from homing.dns.transfers.tsig import REJECTION, Keyring, Rejected, Signer, Verified, reject, verify
from homing.effects.clock import Clock
from homing.errors import MessageError
from homing.model.name import Name
from homing.model.zone import Zone

TURNED_AWAY = frozenset((Rcode.REFUSED, Rcode.NOTAUTH))
"""The response codes of the plain answering after which the primary is asked."""


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """``total`` transfers at a time and ``per_client`` (an address); more wait for their turn.

    ``seconds`` is how long one may wait, and how long one may take.
    """

    total: int = 16
    per_client: int = 1
    seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Transferred:
    """A transfer handed to the network whole. ``before`` is the serial the client had, None for AXFR."""

    origin: Name
    client: str
    key: Name | None
    kind: Kind
    before: int | None
    serial: int
    messages: int
    octets: int


OnTransfer = Callable[[Transferred], None]
"""Told of each transfer at its end. Does not raise."""


class Response:
    """What a query gets: a few messages or many. ``close`` it when it ends early."""

    def __init__(self, rcode: Rcode, parts: Iterator[bytes], transfer: _Transfer | None = None) -> None:
        self.rcode = rcode
        self._parts = parts
        self._transfer = transfer

    @property
    def seconds(self) -> float:
        """How long it may wait for its turn."""
        return 0.0 if self._transfer is None else self._transfer.slots.limits.seconds

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


class Primary:
    """Serves the zones of an authority to secondaries, and remembers how they change.

    Only clients that ``access`` allows get transfers; queries signed with one of ``keys`` get signed answers.
    """

    def __init__(
        self,
        authority: Authority,
        clock: Clock,
        *,
        access: Access | None = None,
        keys: Keyring | None = None,
        limits: TransferLimits | None = None,
        journal_limits: JournalLimits | None = None,
        on_transfer: OnTransfer | None = None,
    ) -> None:
        self._authority = authority
        self._clock = clock
        self._access = access or Access()
        self._keys = keys or Keyring()
        self._slots = _Slots(limits or TransferLimits(), clock)
        self._journal_limits = journal_limits or JournalLimits()
        self._on_transfer = on_transfer
        self._journals: dict[Name, Journal] = {}
        self._unlisten = authority.listen(self._changed)

    def close(self) -> None:
        """Follow the authority no longer."""
        self._unlisten()

    def journal(self, origin: Name) -> Journal | None:
        """The journal of a zone."""
        return self._journals.get(origin)

    def restore(self, origin: Name, data: bytes) -> None:
        """Take a journal from the store, before its zone is published. Raises ModelError when it is damaged."""
        self._journals[origin] = Journal.from_bytes(data, self._journal_limits)

    def datagram(self, packet: bytes, client: str) -> tuple[bytes, Rcode] | None:
        """The answer to a query over UDP; None when the one of the plain answering stands."""
        response = self.respond(packet, client, udp=True)
        message = response.next() if response is not None else None
        return None if response is None or message is None else (message, response.rcode)

    def respond(self, packet: bytes, client: str, *, udp: bool) -> Response | None:
        """The answer to a query; None when the one of the plain answering stands. No packet makes it raise."""
        if judge(packet) is not Verdict.ANSWER or not client:
            return None
        try:
            verdict = verify(packet, self._keys, self._clock.time())
            message = packet if verdict is None else verdict.message
            query = parse_query(message)
            if isinstance(verdict, Rejected):
                bare = render_error(message, REJECTION, query.question, query.edns)
                return _single(reject(bare, verdict, self._clock.time()), REJECTION)
            return self._answer(message, query, verdict, client.partition("%")[0], udp=udp)
        except BadQuery as bad:
            return _single(render_error(packet, Rcode.FORMERR, bad.question, bad.edns), Rcode.FORMERR)
        except MessageError:
            return _single(render_error(packet, Rcode.FORMERR), Rcode.FORMERR)

    def _answer(self, message: bytes, query: Query, verified: Verified | None, client: str, *, udp: bool) -> Response:
        signer = Signer(verified.key, verified.mac) if verified is not None else None
        key = verified.key.name if verified is not None else None
        if query.question.type not in (AXFR, IXFR):
            reply = respond(message, self._authority.zones, udp=udp)
            assert reply is not None  # noqa: S101 - it is a query
            return _single(self._sign(query, reply.message, reply.rcode, signer, udp=udp), reply.rcode)
        zone = self._transferable(query, client, key, udp=udp)
        if isinstance(zone, Rcode):
            bare = render(query, Answer(zone), udp=udp)
            return _single(self._sign(query, bare, zone, signer, udp=udp), zone)
        if udp:
            client_serial(message, query)
            return _single(self._sign(query, soa_response(query, zone), Rcode.NOERROR, signer, udp=True), Rcode.NOERROR)
        kind, records, before = Kind.WHOLE, axfr_records(zone), None
        if query.question.type == IXFR:
            before = client_serial(message, query)
            journal = self._journals.get(zone.origin)
            kind, records = ixfr_records(zone, before, journal.since(before) if journal is not None else None)
        parts = messages(query, records, reserve=signer.key.record_size if signer else 0)
        told = Transferred(zone.origin, client, key, kind, before, zone.serial, 0, 0)
        return Response(
            Rcode.NOERROR, self._signed(parts, signer), _Transfer(self._slots, client, told, self._on_transfer)
        )

    def _transferable(self, query: Query, client: str, key: Name | None, *, udp: bool) -> Zone | Rcode:
        """The zone to transfer, or why not (RFC 5936, section 2.2.1)."""
        if query.question.cls != RRClass.IN or not self._access.allows(ip_address(client), key):
            return Rcode.REFUSED
        if udp and query.question.type == AXFR:
            return Rcode.FORMERR
        found = self._authority.zones.find(query.question.name)
        if found is Rcode.REFUSED or (isinstance(found, Zone) and found.origin != query.question.name):
            return Rcode.NOTAUTH
        return found

    def _sign(self, query: Query, reply: bytes, rcode: Rcode, signer: Signer | None, *, udp: bool) -> bytes:
        """The reply signed; when it then is too long, the question alone with TC."""
        if signer is None:
            return reply
        if len(reply) + signer.key.record_size > (query.udp_limit if udp else MAX_SIZE):
            short = bytearray(render(query, Answer(rcode, authoritative=True), udp=udp))
            short[2] |= 0x02
            reply = bytes(short)
        return signer.sign(reply, self._clock.time())

    def _signed(self, parts: Iterator[bytes], signer: Signer | None) -> Iterator[bytes]:
        return parts if signer is None else (signer.sign(part, self._clock.time()) for part in parts)

    def _changed(self, change: Change) -> None:
        new = change.after
        if new is None:
            self._journals.pop(change.origin, None)
            return
        journal = self._journals.setdefault(new.origin, Journal(self._journal_limits))
        if change.before is not None:
            journal.append(change.before, new, change.diff)
        elif journal.steps and journal.steps[-1].new_soa != new.soa_rrset:
            journal.clear()  # it tells of another history of the zone


class _Slots:
    """The turns of transfers."""

    def __init__(self, limits: TransferLimits, clock: Clock) -> None:
        self.limits = limits
        self.clock = clock
        self._running: Counter[str] = Counter()
        self._waiting: dict[_Transfer, Callable[[], None]] = {}

    def take(self, transfer: _Transfer) -> bool:
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

    def wait(self, transfer: _Transfer, wake: Callable[[], None]) -> None:
        """Have a transfer woken whenever a turn may be free; the limits of connections bound how many wait."""
        self._waiting.setdefault(transfer, wake)

    def give(self, client: str) -> None:
        """End a turn."""
        self._running -= Counter((client,))
        self._wake()

    def forget(self, transfer: _Transfer) -> None:
        """A transfer waits no longer."""
        if self._waiting.pop(transfer, None) is not None:
            self._wake()

    def _is_free(self, client: str) -> bool:
        return self._running[client] < self.limits.per_client

    def _wake(self) -> None:
        for wake in tuple(self._waiting.values()):
            wake()


class _Transfer:
    """One transfer and its turn."""

    def __init__(self, slots: _Slots, client: str, told: Transferred, on_transfer: OnTransfer | None) -> None:
        self.slots = slots
        self.client = client
        self._told = told
        self._on_transfer = on_transfer
        self._until: float | None = None
        self._ended = False
        self._messages = self._octets = 0

    @property
    def overdue(self) -> bool:
        """Whether it takes too long."""
        return self._until is not None and self.slots.clock.monotonic() > self._until

    def admitted(self, wake: Callable[[], None]) -> bool:
        """Whether it has its turn."""
        if self._until is None:
            if not self.slots.take(self):
                self.slots.wait(self, wake)
                return False
            self._until = self.slots.clock.monotonic() + self.slots.limits.seconds
        return True

    def sent(self, message: bytes | None) -> None:
        """Count a message; None is the end."""
        if message is not None:
            self._messages += 1
            self._octets += len(message)
            return
        told = self._told
        self.close()
        if self._on_transfer is not None:
            self._on_transfer(
                Transferred(
                    told.origin,
                    told.client,
                    told.key,
                    told.kind,
                    told.before,
                    told.serial,
                    self._messages,
                    self._octets,
                )
            )

    def close(self) -> None:
        """Give the turn back, or leave the queue."""
        if self._ended:
            return
        self._ended = True
        self.slots.forget(self)
        if self._until is not None:
            self.slots.give(self.client)


def _single(message: bytes, rcode: Rcode) -> Response:
    return Response(rcode, iter((message,)))
