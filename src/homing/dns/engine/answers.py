"""The fast path: what was answered once is answered again without looking it up. No sockets here.

Three ways, each slower and knowing more than the one before:

1. ``cache``: the very same octets were asked since the last change (all but the id).
2. ``answer``: a query of the usual form. What stands behind the question in its response hangs on the question in
   lower case and on the query's flavour alone (``names``): it was learned when first asked; case and cookie are put in.
3. By the book: parsed, looked up, rendered (``dns.lookup``). This is where everything is learned from.

A change of a zone drops exactly what hangs on it (``learned``), so answers come from one snapshot always.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from homing.dns.authority import Change
from homing.dns.cookie import CookieVerdict
from homing.dns.edns import CLIENT_COOKIE
from homing.dns.engine.learned import Cached, Learned
from homing.dns.engine.limit import RateLimit, RateLimiter
from homing.dns.engine.names import Entry, Ring
from homing.dns.lookup import TRANSFERS, Zones
from homing.dns.message import PLAIN_UDP_SIZE, Answer, BadQuery, Query, Rcode, parse_query
from homing.dns.render import render
from homing.dns.respond import PLAIN, Manner, Reply, answer_query, options_for, respond, seen
from homing.dns.stats import Event, Seen, Stats, Transport, type_label
from homing.model.rrset import FAMILIES

Client = tuple[str, int] | tuple[str, int, int, int]
"""A socket address as Python has it."""

CLIENTS = 40_000
"""OPT records remembered: checking a cookie, or making one, costs as much as two answers."""

CHECKS = 250
"""Cookies checked in a second of clients that are over the rate: forged ones must not cost more than answers."""

TRIAL = 4_096
"""Misses that the packet cache is given for a new try each time ``settle`` is called."""

PATIENCE = 65_536
"""Misses at most that hits before them make up for."""

_WORTH = 8
"""Misses that one hit makes up for: looking in vain costs so much less than a hit saves."""

_COOKIE_AGE = 600.0
"""Seconds that a cookie once checked is taken for good; it is renewed so much later at most (RFC 9018, section 4.3)."""

_LASTING = (Rcode.NOERROR, Rcode.NXDOMAIN)
_HEADS = {
    bytes((desired, bits, 0, 1, 0, 0, 0, 0, 0, opt)): desired
    for desired in (0, 1)
    for bits in (0x00, 0x10, 0x20, 0x30)
    for opt in (0, 1)
}
"""What stands before a usual question: recursion desired or not; AD and CD, which mean nothing here; an OPT or none."""
_NO_ID = b"\0\0"
_QUESTION = 12
_ANSWERS = 5
"""Where the number of answers ends in a response of up to 255, without its id."""
_ADDRESS = 12
"""Octets of an address record before its address, where a pointer stands for its name."""
_TC = 0x02
_OPT = 11
"""Octets of an OPT record without options."""
_OPTION = 4
"""Octets of an option's code and length."""
_COOKIES = (b"\0\x0a\0\x08", b"\0\x0a\0\x18")
"""A COOKIE option of a client alone, and one with our server cookie."""
_WITH_COOKIE = 6
"""The first flavour of those with a COOKIE option in the response."""
_COOKIE_OPTION = 28
_PLACEHOLDER = b"\0\x0a\0\x18" + bytes(24)
"""As long as a COOKIE option of a response."""
_FORMS = 256
"""Forms of OPT records known: they differ by payload size mostly."""


_SILENT = Seen(Transport.UDP, type_label(None), None)


class Batch(Protocol):
    """The packets being answered, by slot."""

    def addresses(self) -> tuple[bytes, ...]:
        """The IP addresses of all clients, 4 or 16 octets each."""
        ...

    def packed(self, slot: int) -> bytes:
        """The IP address of one."""
        ...

    def client(self, slot: int) -> Client:
        """Whom to answer."""
        ...

    def ident(self, slot: int) -> bytes:
        """The id of a packet."""
        ...


Forward = Callable[[bytes, Client], bytes | None]
"""Takes a packet that only the primary can answer; gives the response if there is one at once."""

Table = dict[bytes, Entry]
Known = tuple[Table, int, bytes | None]
"""What a query asks for beside its question: table, flavour, COOKIE option to send; None: the good one that came."""


class Answers:
    """Answers packets from one snapshot of the zones at a time. Packets and responses are without their ids."""

    def __init__(
        self,
        zones: Zones,
        *,
        stats: Stats | None = None,
        manner: Manner = PLAIN,
        limit: RateLimit | None = None,
        forward: Forward | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stats = stats or Stats()
        self.patience = TRIAL
        """Misses that looking into the cache may go on for; none left: it is not worth it now."""
        self._zones = zones
        self._learned = Learned(zones, self.stats)
        self._manner = manner
        self._forward = forward
        self._wall, self._monotonic = wall, monotonic
        self._limiter = RateLimiter(limit or RateLimit())
        self._turn = 0
        self._batch: Batch
        self._addresses: tuple[bytes, ...] = ()
        self._forms: dict[bytes, int] = {}
        """By an OPT record up to its first option's length: the flavour, without recursion desired."""
        self._met: dict[bytes, Known] = {}
        """By all of a query but its question: what stands before, what behind; with a cookie, the client's address."""
        self._met_until = 0.0
        self._checks, self._checks_until = CHECKS, 0.0
        self._good: tuple[Known, ...] = tuple(
            (table, flavour, b"" if flavour < _WITH_COOKIE else None)
            for flavour, table in enumerate(self._learned.tables)
        )
        """By flavour, for all records that need no cookie of their own: one for all, since thousands are at hand."""
        self._starts: dict[bytes, bytes] = {}
        """The few ways a response begins, each kept once."""

    @property
    def cache(self) -> dict[bytes, Cached]:
        """Responses by packet."""
        return self._learned.cache

    @property
    def guarded(self) -> bool:
        """Whether some client is over its rate, so that each packet goes through ``one``."""
        return self._limiter.active

    def begin(self, batch: Batch, count: int) -> None:
        """A batch of packets is to be answered."""
        self._batch = batch
        self._addresses = ()
        now = self._monotonic()
        if now >= self._met_until:
            self._met_until = now + _COOKIE_AGE
            self._met.clear()
        if now >= self._checks_until:
            self._checks_until, self._checks = now + 1.0, CHECKS
        self._limiter.sample(batch.packed, count, now)

    def end(self, count: int, misses: int) -> None:
        """So many packets were looked for in the cache, and so many were not there."""
        self.patience = min(PATIENCE, self.patience + _WORTH * (count - misses) - misses)

    def one(self, query: bytes, slot: int) -> bytes | None:
        """The response to a packet, from the cache too, or as much of it as its client may have; None for none."""
        if self._limiter.active and self._limiter.limited(self._batch.packed(slot)) and not self._is_known(query, slot):
            return self._held_back(query, slot)
        found = self._learned.cache.get(query)
        if found is None:
            return self.answer(query, slot)
        found.uses += 1
        return found.message

    def answer(self, query: bytes, slot: int) -> bytes | None:
        """The response to a packet that is not in the cache."""
        end = query.find(b"\0", 10) + 5
        question, record = query[10:end], query[end:]
        around = query[:10] + record
        if len(record) > _OPT:
            around += (self._addresses or self._read_addresses())[slot]
        known = self._met.get(around) or self._meet(query, end, around)
        if known is None:
            return self._by_the_book(query, slot)
        table, flavour, given = known
        cookie = record[_OPT : _OPT + _COOKIE_OPTION] if given is None else given
        asked = question.lower()
        entry = table.get(asked) or self._learned.denial(asked, flavour)
        if entry is None:
            return self._learn(query, flavour, asked, cookie, slot)
        entry.uses += 1
        ring = entry.ring
        if ring is not None:
            at = ring.at = (ring.at + ring.step) % ring.end
            return b"".join((entry.head, question, ring.octets[at : at + ring.size], entry.tail, cookie))
        message = b"".join((entry.head, question, entry.tail, cookie))
        if not cookie and self.patience > 0:
            self._learned.admit(query, message, entry.kind)
        return message

    def update(self, zones: Zones, change: Change) -> None:
        """Answer from this snapshot from now on; ``change`` is what led to it."""
        self._learned.update(zones, change)
        self._zones = zones

    def settle(self) -> Stats:
        """Add up what was counted; to be called about once a second, for it goes through all that is learned."""
        self._learned.settle()
        self.patience = max(TRIAL, self.patience)
        return self.stats

    def _read_addresses(self) -> tuple[bytes, ...]:
        self._addresses = self._batch.addresses()
        return self._addresses

    def _meet(self, query: bytes, end: int, around: bytes) -> Known | None:
        """What a query asks for that was not met before, or not of late; None where it is of no usual form."""
        flavour = _HEADS.get(query[:10])
        record = query[end:]
        if flavour is None or (not query[9] and record):
            return None
        size, cookie = len(record), query[end + _OPT + _OPTION :]
        if query[9]:
            form = self._forms.get(record[: _OPT + _OPTION])
            if form is None or int.from_bytes(record[9:_OPT]) != size - _OPT:
                return None
            if cookie and int.from_bytes(record[_OPT + 2 : _OPT + _OPTION]) != len(cookie):
                return None
            flavour += form
        known = self._good[flavour]
        if cookie:
            cookies, address, now = self._manner.cookies, around[10 + size :], int(self._wall())
            assert cookies is not None  # noqa: S101 - forms with cookies are learned only then
            if cookies.verify(address, cookie, now) is not CookieVerdict.VALID:
                known = (known[0], flavour, cookies.option(address, cookie[:CLIENT_COOKIE], now))
        if len(self._met) >= CLIENTS:
            self._met.clear()
        self._met[around] = known
        return known

    def _learn(self, query: bytes, flavour: int, asked: bytes, cookie: bytes, slot: int) -> bytes | None:
        """The response to a query of the usual form, remembered where it can be."""
        try:
            parsed = parse_query(_NO_ID + query)
        except BadQuery:
            return self._by_the_book(query, slot)
        if len(parsed.question.name.wire) + 4 != len(asked):  # a label holds a zero
            return self._by_the_book(query, slot)
        said = answer_query(parsed, self._zones, self._manner)
        if parsed.question.type in TRANSFERS or said.rcode not in _LASTING:
            return self._by_the_book(query, slot)
        placeholder = _PLACEHOLDER if cookie else b""
        options = options_for(parsed, said, b"", 0, self._manner, cookie=False) + placeholder
        message = render(parsed, said, udp=True, options=options)
        kind = self._learned.kind(seen(Reply(message, said.rcode, parsed), self._zones, Transport.UDP))
        start, end = _QUESTION + len(asked), len(message) - len(placeholder)
        if len(message) <= PLAIN_UDP_SIZE and not message[2] & _TC:
            head = message[2:_QUESTION]
            entry = Entry(self._starts.setdefault(head, head), message[start:end], kind)
            addresses = max((len(item.rdatas) for item in said.answer if item.type in FAMILIES), default=0)
            if addresses > 1:

                def render_turn(turn: int) -> bytes:
                    return render(parsed, said, udp=True, options=options, turn=turn)[start:end]

                entry.ring, entry.tail = _ring(entry.tail, addresses, said, render_turn)
            self._learned.remember(entry, parsed.question, said, flavour, asked)
        self._learned.count(kind)
        return message[2:end] + cookie

    def _by_the_book(self, query: bytes, slot: int) -> bytes | None:
        """The response to any packet."""
        batch = self._batch
        reply = respond(
            _NO_ID + query,
            self._zones,
            udp=True,
            client=batch.packed(slot),
            now=int(self._wall()),
            manner=self._manner,
            turn=self._turn,
        )
        self._turn += 1
        parsed = reply.query if reply is not None else None
        if parsed is not None and (parsed.signed or parsed.question.type in TRANSFERS) and self._forward is not None:
            self.stats.events[Event.FORWARDED] += 1
            packet = self._forward(batch.ident(slot) + query, batch.client(slot))
            return packet[2:] if packet is not None else None
        kind = self._learned.kind(seen(reply, self._zones, Transport.UDP))
        self._learned.count(kind)
        if reply is None:
            return None
        message = reply.message[2:]
        if parsed is not None:
            self._learn_form(query, parsed)
            has_turns = message[_ANSWERS] > 1
            if self.patience > 0 and not has_turns and (parsed.edns is None or parsed.edns.cookie is None):
                self._learned.admit(query, message, kind)
        return message

    def _learn_form(self, query: bytes, parsed: Query) -> None:
        """Take queries with this form of OPT record for usual ones from now on."""
        edns = parsed.edns
        if edns is None or query[:10] not in _HEADS or not query[9] or edns.version or len(self._forms) >= _FORMS:
            return
        end = query.find(b"\0", 10) + 5
        if end != 10 + len(parsed.question.name.wire) + 4:
            return  # a label holds a zero: what stands behind that is no OPT
        record = query[end:]
        form = record[: _OPT + _OPTION]
        if len(record) == _OPT:
            self._forms[form] = 4 if edns.dnssec_ok else 2
        elif form[_OPT:] in _COOKIES and len(record) == len(form) + form[-1] and self._manner.cookies is not None:
            self._forms[form] = 8 if edns.dnssec_ok else 6

    def _is_known(self, query: bytes, slot: int) -> bool:
        """Whether the packet holds a server cookie that only its client can have."""
        if _COOKIES[1] not in query:
            return False
        around = query[:10] + query[query.find(b"\0", 10) + 5 :] + self._batch.packed(slot)
        known = self._met.get(around)
        if known is not None and known[2] is None:
            return True
        self._checks -= 1
        if self._checks < 0:
            return False
        try:
            edns = parse_query(_NO_ID + query).edns
        except BadQuery:
            return False
        if edns is None or edns.cookie is None or self._manner.cookies is None:
            return False
        verdict = self._manner.cookies.verify(self._batch.packed(slot), edns.cookie, int(self._wall()))
        return verdict is not CookieVerdict.WRONG

    def _held_back(self, query: bytes, slot: int) -> bytes | None:
        """What a client over its rate gets: nothing, or now and then TC, and its cookie."""
        self._learned.count(self._learned.kind(_SILENT))
        parsed: Query | None = None
        if self._limiter.slips():
            with contextlib.suppress(BadQuery):
                parsed = parse_query(_NO_ID + query)
        if parsed is None:
            self.stats.events[Event.RATE_LIMITED] += 1
            return None
        self.stats.events[Event.SLIPPED] += 1
        said = Answer(Rcode.NOERROR)
        options = options_for(parsed, said, self._batch.packed(slot), int(self._wall()), self._manner)
        message = bytearray(render(parsed, said, udp=True, options=options))
        message[2] |= _TC
        return bytes(message[2:])


def _ring(tail: bytes, addresses: int, said: Answer, render_turn: Callable[[int], bytes]) -> tuple[Ring, bytes]:
    """Addresses in turn, and what stands behind them.

    Where they are all there is, each a record of one size, the records stand one behind the other, and twice. Else each
    turn is kept whole, which takes so many times the room.
    """
    if len(said.answer) == 1:
        step = _ADDRESS + len(said.answer[0].rdatas[0])
        size = addresses * step
        records, rest = tail[:size], tail[size:]
        if render_turn(1) == records[step:] + records[:step] + rest:
            return Ring(records + records[:-step], size, step, size), rest
    return Ring(b"".join(map(render_turn, range(addresses))), len(tail), len(tail), addresses * len(tail)), b""
