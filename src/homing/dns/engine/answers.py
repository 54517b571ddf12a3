"""The fast path: what was answered once is answered again without looking it up. No sockets here.

Three ways, each slower and knowing more than the one before:

1. ``cache``: the very same octets were asked since the last change (all but the id).
2. ``answer``: a query of the usual form. What stands behind the question in its response hangs on the question in
   lower case and on the query's flavour alone (``names``): it was learned when first asked; case and cookie are put in.
3. By the book: parsed, looked up, rendered (``dns.lookup``). This is where everything is learned from.

A change of a zone drops exactly what hangs on it, so answers come from one snapshot always.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple, Protocol

from homing.dns.authority import Change
from homing.dns.cookie import CookieVerdict
from homing.dns.engine.limit import RateLimit, RateLimiter
from homing.dns.engine.names import FLAVOURS, Denials, Entry, Names
from homing.dns.lookup import Zones
from homing.dns.message import PLAIN_UDP_SIZE, Answer, BadQuery, Query, Rcode, parse_query
from homing.dns.render import render
from homing.dns.respond import PLAIN, Manner, Reply, answer_query, options_for, respond, seen
from homing.dns.stats import KINDS, KNOWN_TYPES, OTHER, Event, Seen, Stats, Transport
from homing.model.name import MAX_LABEL, MAX_WIRE
from homing.model.rrset import FAMILIES, RRType

Client = tuple[str, int] | tuple[str, int, int, int]
"""A socket address as Python has it."""

CACHED = 16_384
"""Responses in the packet cache."""

LEARNED = 200_000
"""Responses learned by question."""

CLIENTS = 20_000
"""Clients whose server cookie is remembered: making one costs as much as two answers."""

_COOKIE_AGE = 600.0
"""Seconds: a server cookie handed out is never older than that (RFC 9018, section 4.3 wants it under 1800)."""

_ADMIT = 4_096
"""Responses let into the cache between two times of settling; as many as there were hits, when those were more."""

LINKED = 8_192
"""Responses learned that hang on more than one name: by CNAME, DNAME, wildcard or delegation."""

_TRANSFERS = (251, 252)
_LASTING = (Rcode.NOERROR, Rcode.NXDOMAIN)
_IGNORED = (0x00, 0x10, 0x20, 0x30)
"""The second octet of a query's flags: AD and CD, which mean nothing to an authoritative server."""
_NO_ID = b"\0\0"
_QUESTION = 12
_ANSWERS = 5
"""Where the number of answers ends in a response of up to 255, without its id."""
_TC = 0x02
_PLACEHOLDER = b"\0\x0a\0\x18" + bytes(24)
"""As long as a COOKIE option of a response."""
_SHORT = PLAIN_UDP_SIZE - _QUESTION - (MAX_WIRE + 4) - len(_PLACEHOLDER)
"""Octets of a denial that fits behind any question."""
_OPT = 11
"""Octets of an OPT record without options."""
_COOKIES = (b"\0\x0a\0\x08", b"\0\x0a\0\x18")
"""A COOKIE option of a client alone, and one with our server cookie."""
_FORMS = 256
"""Forms of OPT records known: they differ by payload size mostly."""


class Batch(Protocol):
    """The packets being answered, by slot."""

    def packed(self, slot: int) -> bytes:
        """The IP address of a client, 4 or 16 octets."""
        ...

    def client(self, slot: int) -> Client:
        """Whom to answer."""
        ...

    def ident(self, slot: int) -> bytes:
        """The id of a packet."""
        ...


Forward = Callable[[bytes, Client], bytes | None]
"""Takes a packet that only the primary can answer; gives the response if there is one at once."""


_KINDS = {
    rtype.to_bytes(2) + b"\0\1": rtype for rtype in KNOWN_TYPES if rtype not in (*_TRANSFERS, RRType.ANY)
}  # fmt: skip
"""Type and class as they end a question, for questions that a denial may be learned for."""


class Cached:
    """A response that answers the very same octets."""

    __slots__ = ("kind", "message", "uses")

    def __init__(self, message: bytes, kind: int) -> None:
        self.uses = 0
        self.message = message
        self.kind = kind


class Form(NamedTuple):
    """A form of OPT record: the table for queries with it, their flavour, whether a cookie comes back, its octets."""

    table: dict[bytes, Entry]
    flavour: int
    cookie: bool
    size: int


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
        self.cache: dict[bytes, Cached] = {}
        self._zones = zones
        self._names = Names(zones)
        self._manner = manner
        self._forward = forward
        self._wall, self._monotonic = wall, monotonic
        self._limiter = RateLimiter(limit or RateLimit())
        self._tables: tuple[dict[bytes, Entry], ...] = tuple({} for _ in range(FLAVOURS))
        self._linked: list[tuple[dict[bytes, Entry], bytes]] = []
        """What was learned that hangs on more than the name asked."""
        self._cookies: dict[bytes, bytes] = {}
        self._cookies_until = 0.0
        self._denied: set[Denials] = set()
        """The denials among which something was learned."""
        self._kinds: dict[Seen, int] = {}
        self._counts: list[int] = []
        """Queries answered since the last ``settle``, by the index that ``_kinds`` has for them."""
        self._credit = _ADMIT
        self._turn = 0
        self._batch: Batch
        self._forms: tuple[dict[bytes, Form], dict[bytes, Form]] = ({}, {})
        """By recursion desired: the forms of OPT records met, by their octets up to the first option's length."""
        self._heads = {
            bytes((desired, bits, 0, 1, 0, 0, 0, 0, 0, opt)): (
                self._tables[desired],
                desired,
                self._forms[desired] if opt else None,
            )
            for desired in (0, 1)
            for bits in _IGNORED
            for opt in (0, 1)
        }

    @property
    def guarded(self) -> bool:
        """Whether some client is over its rate, so that each packet goes through ``one``."""
        return self._limiter.active

    def begin(self, batch: Batch, count: int) -> None:
        """A batch of packets is to be answered."""
        self._batch = batch
        now = self._monotonic()
        if now >= self._cookies_until:
            self._cookies.clear()
            self._cookies_until = now + _COOKIE_AGE
        self._limiter.note(batch.packed(count - 1), count, now)

    def one(self, query: bytes, slot: int) -> bytes | None:
        """The response to a packet, from the cache too, or as much of it as its client may have; None for none."""
        if self._limiter.active and self._limiter.limited(self._batch.packed(slot)) and not self._is_known(query, slot):
            return self._held_back(query, slot)
        found = self.cache.get(query)
        if found is None:
            return self.answer(query, slot)
        found.uses += 1
        return found.message

    def answer(self, query: bytes, slot: int) -> bytes | None:
        """The response to a packet that is not in the cache."""
        usual = self._heads.get(query[:10])
        if usual is None:
            return self._by_the_book(query, slot)
        table, flavour, forms = usual
        end = query.find(b"\0", 10) + 5
        question = query[10:end]
        asked = question.lower()
        cookie = b""
        if forms is not None:
            form = forms.get(query[end : end + 15])
            if form is None:
                return self._by_the_book(query, slot)
            table, flavour, has_cookie, size = form
            if has_cookie:
                client = query[end + 15 : end + 23] + self._batch.packed(slot)
                cookie = self._cookies.get(client) or self._new_cookie(client)
            end += size
        if len(query) != end:
            return self._by_the_book(query, slot)
        entry = table.get(asked)
        if entry is None:
            entry = self._denial(asked, flavour)
            if entry is None:
                return self._learn(query, flavour, asked, cookie, slot)
        entry.uses += 1
        if entry.turns is not None:
            entry.turns.rotate(-1)
            return entry.head + question + entry.turns[0] + cookie
        message = entry.head + question + entry.tail + cookie
        if self._credit > 0 and not cookie:
            self._admit(query, message, entry.kind)
        return message

    def update(self, zones: Zones, change: Change) -> None:
        """Answer from this snapshot from now on; ``change`` is what led to it."""
        self._empty_cache()
        for table, asked in self._linked:
            self._forget(table, asked)
        self._linked.clear()
        self._count_denials()
        ordinary = self._names.update(zones, change)
        self._zones = zones
        if change.diff is None or not ordinary:
            self._denied.intersection_update(self._names.denials.values())
            for table in self._tables:
                self._count(table.values())
                table.clear()
            return
        for item in (*change.diff.removed, *change.diff.added):
            asked = item.name.wire.lower() + item.type.to_bytes(2) + b"\0\1"
            for table in self._tables:
                self._forget(table, asked)

    def settle(self) -> Stats:
        """Add up what was counted; to be called about once a second, for it goes through all that is learned."""
        self._credit = max(_ADMIT, self._count_hits())
        for table in self._tables:
            self._count(table.values())
        self._count_denials()
        for kind, index in self._kinds.items():
            if self._counts[index]:
                self.stats.count(kind, self._counts[index])
                self._counts[index] = 0
        return self.stats

    def _denial(self, asked: bytes, flavour: int) -> Entry | None:
        """What was learned to say to a name or type that is not there; None also when it is there, or special."""
        place = self._place(asked)
        if place is None:
            return None
        denials, index = place
        places = denials.learned[flavour].get(asked[-4:])
        return None if places is None else places.get(index)

    def _place(self, asked: bytes) -> tuple[Denials, int] | None:
        """The denials that cover a question, and where in them it belongs; None when it needs a closer look."""
        kind = _KINDS.get(asked[-4:])
        if kind is None:
            return None
        name, nodes, at = asked[:-4], self._names.nodes, 0
        node = nodes.get(name)
        if node is None:
            size = len(name)
            while node is None:
                step = name[at] + 1
                at += step
                if at >= size or step > MAX_LABEL + 1:
                    return None
                node = nodes.get(name[at:])
            # The zone's name begins so far from the end; the complement tells NXDOMAIN from NODATA.
            return None if node[1] is None or size > MAX_WIRE else (node[0], node[0].origin_size - size - 1)
        denials, types = node
        if types is None or kind in types or RRType.CNAME in types:
            return None
        return denials, len(name) - denials.origin_size

    def _learn(self, query: bytes, flavour: int, asked: bytes, cookie: bytes, slot: int) -> bytes | None:
        """The response to a query of the usual form, remembered where it can be."""
        try:
            parsed = parse_query(_NO_ID + query)
        except BadQuery:
            return self._by_the_book(query, slot)
        said = answer_query(parsed, self._zones, self._manner)
        if parsed.question.type in _TRANSFERS or said.rcode not in _LASTING:
            return self._by_the_book(query, slot)
        placeholder = _PLACEHOLDER if cookie else b""
        options = options_for(parsed, said, b"", 0, self._manner, cookie=False) + placeholder
        message = render(parsed, said, udp=True, options=options)
        kind = self._kind(seen(Reply(message, said.rcode, parsed), self._zones, Transport.UDP))
        start, end = _QUESTION + len(asked), len(message) - len(placeholder)
        if len(message) <= PLAIN_UDP_SIZE and not message[2] & _TC:
            entry = Entry(message[2:_QUESTION], message[start:end], kind)
            addresses = max((len(item.rdatas) for item in said.answer if item.type in FAMILIES), default=0)
            if addresses > 1:
                turned = (render(parsed, said, udp=True, options=options, turn=turn) for turn in range(addresses))
                entry.turns = deque(tail[start:end] for tail in turned)
            self._remember(entry, parsed, said, flavour, asked)
        self._counts[kind] += 1
        return message[2:end] + cookie

    def _remember(self, entry: Entry, query: Query, said: Answer, flavour: int, asked: bytes) -> None:
        """Keep a response under what it hangs on: the RRset asked, the zone's serial and name, or everything."""
        table = self._tables[flavour]
        if sum(map(len, self._tables)) >= LEARNED:
            for full in self._tables:
                self._count(full.values())
                full.clear()
            self._linked.clear()
        found = said.answer[0] if said.answer else None
        if found is None and said.authority and asked[-4:] in _KINDS:
            place = self._place(asked)
            if place is None or said.authority[0].type != RRType.SOA:
                return
            denials, index = place
            if (index < 0) == (said.rcode is Rcode.NXDOMAIN) and len(entry.tail) <= _SHORT:
                denials.learned[flavour].setdefault(asked[-4:], {})[index] = entry
                self._denied.add(denials)
            return
        question = query.question
        alone = len(said.answer) == 1 and not said.authority and not said.additional
        if alone and found is not None and (found.name, found.type) == (question.name, question.type):
            owned = self._names.nodes.get(asked[:-4])
            if owned is not None and owned[1] is not None and found.type in owned[1] and found.type != RRType.SOA:
                table[asked] = entry
                return
        if len(self._linked) < LINKED:
            table[asked] = entry
            self._linked.append((table, asked))

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
        if parsed is not None and (parsed.signed or parsed.question.type in _TRANSFERS) and self._forward is not None:
            self.stats.events[Event.FORWARDED] += 1
            packet = self._forward(batch.ident(slot) + query, batch.client(slot))
            return packet[2:] if packet is not None else None
        kind = self._kind(seen(reply, self._zones, Transport.UDP))
        self._counts[kind] += 1
        if reply is None:
            return None
        message = reply.message[2:]
        if parsed is not None:
            self._learn_form(query, parsed)
            has_turns = message[_ANSWERS] > 1
            if self._credit > 0 and not has_turns and (parsed.edns is None or parsed.edns.cookie is None):
                self._admit(query, message, kind)
        return message

    def _learn_form(self, query: bytes, parsed: Query) -> None:
        """Take queries with this form of OPT record for usual ones from now on."""
        edns = parsed.edns
        usual = self._heads.get(query[:10])
        if edns is None or usual is None or usual[2] is None or edns.version or len(usual[2]) >= _FORMS:
            return
        end = query.find(b"\0", 10) + 5
        record, desired = query[end:], usual[1]
        if len(record) == _OPT:
            flavour = desired + (4 if edns.dnssec_ok else 2)
            usual[2][record] = Form(self._tables[flavour], flavour, cookie=False, size=_OPT)
        elif (
            record[_OPT : _OPT + 4] in _COOKIES and len(record) == _OPT + 4 + record[_OPT + 3] and self._manner.cookies
        ):
            flavour = desired + (8 if edns.dnssec_ok else 6)
            usual[2][record[: _OPT + 4]] = Form(self._tables[flavour], flavour, cookie=True, size=len(record))

    def _new_cookie(self, client: bytes) -> bytes:
        """The COOKIE option for a client: its cookie, then its address."""
        if len(self._cookies) >= CLIENTS:
            self._cookies.clear()
        assert self._manner.cookies is not None  # noqa: S101 - forms with cookies are learned only then
        made = self._manner.cookies.option(client[8:], client[:8], int(self._wall()))
        self._cookies[client] = made
        return made

    def _is_known(self, query: bytes, slot: int) -> bool:
        """Whether the packet holds a server cookie that only its client can have."""
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
        try:
            parsed = parse_query(_NO_ID + query)
        except BadQuery:
            parsed = None
        self._counts[self._kind(seen(None, self._zones, Transport.UDP))] += 1
        if parsed is None or not self._limiter.slips():
            self.stats.events[Event.RATE_LIMITED] += 1
            return None
        self.stats.events[Event.SLIPPED] += 1
        said = Answer(Rcode.NOERROR)
        options = options_for(parsed, said, self._batch.packed(slot), int(self._wall()), self._manner)
        message = bytearray(render(parsed, said, udp=True, options=options))
        message[2] |= _TC
        return bytes(message[2:])

    def _admit(self, query: bytes, message: bytes, kind: int) -> None:
        """Let a response into the cache; no more than there were hits: most that is asked once is not asked again."""
        self._credit -= 1
        if len(self.cache) >= CACHED:
            self._empty_cache()
        self.cache[query] = Cached(message, kind)

    def _empty_cache(self) -> None:
        self._credit = max(self._credit, self._count_hits())
        self.cache.clear()

    def _count_hits(self) -> int:
        hits = self._count(self.cache.values())
        if hits:
            self.stats.events[Event.CACHE_HIT] += hits
        return hits

    def _count_denials(self) -> None:
        for denials in self._denied:
            self._count(denials.entries())

    def _count(self, used: Iterable[Cached | Entry]) -> int:
        """Take over the counts of these; how many they were."""
        counts, total = self._counts, 0
        for item in used:
            if item.uses:
                counts[item.kind] += item.uses
                total += item.uses
                item.uses = 0
        return total

    def _forget(self, table: dict[bytes, Entry], asked: bytes) -> None:
        gone = table.pop(asked, None)
        if gone is not None:
            self._counts[gone.kind] += gone.uses

    def _kind(self, seen: Seen) -> int:
        index = self._kinds.get(seen)
        if index is None and len(self._kinds) >= KINDS and seen.zone != OTHER:
            return self._kind(replace(seen, zone=OTHER))
        if index is None:
            index = self._kinds[seen] = len(self._counts)
            self._counts.append(0)
        return index
