"""The side of the server that secondaries see: journals, transfers, and queries with TSIG.

It gets what the plain answering turns away, so that costs other queries nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address

from homing.dns.authority import Authority, Change
from homing.dns.message import MAX_SIZE, Answer, BadQuery, Query, Rcode, RRClass, Verdict, judge, parse_query
from homing.dns.render import render, render_error
from homing.dns.respond import PLAIN, Manner, options_for, respond
from homing.dns.transfers.journal import Journal, JournalLimits, Step
from homing.dns.transfers.transfer import (
    AXFR,
    IXFR,
    Access,
    Kind,
    axfr_records,
    client_serial,
    ixfr_records,
    messages,
)
from homing.dns.transfers.tsig import REJECTION, Keyring, Rejected, Signer, Verified, reject, verify
from homing.dns.transfers.turns import Ending, OnTransfer, Response, TransferLimits, Transferred, Turn, Turns
from homing.effects.clock import Clock
from homing.errors import MessageError
from homing.model.name import Name
from homing.model.zone import Zone

TURNED_AWAY = frozenset((Rcode.REFUSED, Rcode.NOTAUTH))
"""The response codes of the plain answering after which the primary is asked."""


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
        self._access_of: Callable[[Name], Access] = lambda _: access or Access()
        self._keys = keys or Keyring()
        self._turns = Turns(limits or TransferLimits(), clock)
        self._journal_limits = journal_limits or JournalLimits()
        self._on_transfer = on_transfer
        self._journals: dict[Name, Journal] = {}
        self.manner: Manner = PLAIN
        """What is said beside the zones, as the server that this is given to says it."""
        self._unlisten = authority.listen(self._changed)

    def close(self) -> None:
        """Follow the authority no longer."""
        self._unlisten()

    def journal(self, origin: Name) -> Journal | None:
        """The journal of a zone."""
        return self._journals.get(origin)

    def restore(self, origin: Name, steps: Iterable[Step]) -> None:
        """Take a journal from the store, before its zone is published."""
        self._journals[origin] = Journal(self._journal_limits, steps)

    def allow(self, access_of: Callable[[Name], Access], keys: Keyring) -> None:
        """From now on other clients may transfer, zone by zone, and other keys are known."""
        self._access_of = access_of
        self._keys = keys

    def datagram(self, packet: bytes, client: str) -> tuple[bytes, Rcode] | None:
        """The answer to a query over UDP; None when the one of the plain answering stands."""
        response = self.respond(packet, client, udp=True)
        message = response.next() if response is not None else None
        return None if response is None or message is None else (message, response.rcode)

    def respond(self, packet: bytes, client: str, *, udp: bool) -> Response | None:
        """The answer to a query; None when the one of the plain answering stands. No packet makes it raise."""
        client = client.partition("%")[0]
        if judge(packet) is not Verdict.ANSWER or not client:
            return None
        try:
            verdict = verify(packet, self._keys, self._clock.time())
            message = packet if verdict is None else verdict.message
            query = parse_query(message)
            if isinstance(verdict, Rejected):
                options = self._options(query, REJECTION, client)
                bare = render_error(message, REJECTION, query.question, query.edns, options)
                return _single(reject(bare, verdict, self._clock.time()), REJECTION)
            return self._answer(message, query, verdict, client, udp=udp)
        except BadQuery as bad:
            return _single(render_error(packet, Rcode.FORMERR, bad.question, bad.edns), Rcode.FORMERR)
        except MessageError:
            return _single(render_error(packet, Rcode.FORMERR), Rcode.FORMERR)

    def _answer(self, message: bytes, query: Query, verified: Verified | None, client: str, *, udp: bool) -> Response:
        signer = Signer(verified.key, verified.mac) if verified is not None else None
        key = verified.key.name if verified is not None else None
        if query.question.type not in (AXFR, IXFR):
            address, now = ip_address(client).packed, int(self._clock.time())
            reply = respond(message, self._authority.zones, udp=udp, client=address, now=now, manner=self.manner)
            assert reply is not None  # noqa: S101 - it is a query
            return _single(self._sign(query, reply.message, reply.rcode, signer, udp=udp), reply.rcode)
        zone = self._transferable(query, client, key, udp=udp)
        if isinstance(zone, Rcode):
            if self._on_transfer is not None:
                kind = Kind.STEPS if query.question.type == IXFR else Kind.WHOLE
                self._on_transfer(Transferred(query.question.name, client, key, kind, None, 0, ending=Ending.REFUSED))
            bare = render(query, Answer(zone), udp=udp, options=self._options(query, zone, client))
            return _single(self._sign(query, bare, zone, signer, udp=udp), zone)
        if udp:
            client_serial(message, query)
            said = Answer(Rcode.NOERROR, authoritative=True, answer=(zone.soa_rrset,))
            bare = render(query, said, udp=True, options=self._options(query, said.rcode, client))
            return _single(self._sign(query, bare, said.rcode, signer, udp=True), said.rcode)
        kind, records, before = Kind.WHOLE, axfr_records(zone), None
        if query.question.type == IXFR:
            before = client_serial(message, query)
            journal = self._journals.get(zone.origin)
            kind, records = ixfr_records(zone, before, journal.since(before) if journal is not None else None)
        parts = messages(query, records, reserve=signer.key.record_size if signer else 0)
        told = Transferred(zone.origin, client, key, kind, before, zone.serial)
        return Response(Rcode.NOERROR, self._signed(parts, signer), Turn(self._turns, told, self._on_transfer))

    def _transferable(self, query: Query, client: str, key: Name | None, *, udp: bool) -> Zone | Rcode:
        """The zone to transfer, or why not (RFC 5936, section 2.2.1)."""
        if query.question.cls != RRClass.IN or not self._access_of(query.question.name).allows(ip_address(client), key):
            return Rcode.REFUSED
        if udp and query.question.type == AXFR:
            return Rcode.FORMERR
        found = self._authority.zones.find(query.question.name)
        if found is Rcode.REFUSED or (isinstance(found, Zone) and found.origin != query.question.name):
            return Rcode.NOTAUTH
        return found

    def _options(self, query: Query, rcode: Rcode, client: str) -> bytes:
        return options_for(query, Answer(rcode), ip_address(client).packed, int(self._clock.time()), self.manner)

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


def _single(message: bytes, rcode: Rcode) -> Response:
    return Response(rcode, iter((message,)))
