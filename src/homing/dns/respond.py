"""From a packet to the packet that answers it. Pure, and total: no packet makes it raise."""

from __future__ import annotations

from dataclasses import dataclass

from homing.dns import chaos
from homing.dns.cookie import Cookies, CookieVerdict
from homing.dns.edns import CLIENT_COOKIE, EXTENDED_ERRORS, Edns, ExtendedError, Option, option
from homing.dns.lookup import TRANSFERS, Zones, answer
from homing.dns.message import (
    EDNS_VERSION,
    Answer,
    BadQuery,
    Query,
    Question,
    Rcode,
    RRClass,
    Verdict,
    parse_query,
)
from homing.dns.render import render, render_error
from homing.dns.stats import Seen, Transport, type_label
from homing.errors import ModelError
from homing.model.zone import Zone

MAX_NSID = 128
"""Octets of an NSID, so that it fits into 512 beside any question."""

_RCODES = {Verdict.FORMERR: Rcode.FORMERR, Verdict.NOTIMP: Rcode.NOTIMP, Verdict.REFUSED: Rcode.REFUSED}
_CLASSES = (RRClass.IN, RRClass.ANY)


@dataclass(frozen=True, slots=True)
class Manner:
    """What a server says beside the zones. Raises ModelError for an NSID of over 128 octets and a text of over 255.

    Without ``cookies`` it neither gives nor checks any; an empty ``nsid`` (RFC 5001) is not told; ``version`` and
    ``identity`` are the texts of ``version.bind`` and ``id.server`` in class CHAOS, None: REFUSED.
    """

    cookies: Cookies | None = None
    nsid: bytes = b""
    version: str | None = None
    identity: str | None = None

    def __post_init__(self) -> None:
        if len(self.nsid) > MAX_NSID:
            raise ModelError(f"the NSID is longer than {MAX_NSID} octets")
        for text in (self.version, self.identity):
            if text is not None and len(text.encode()) > 255:
                raise ModelError("a text of class CHAOS is longer than 255 octets")


PLAIN = Manner()
"""Without cookies, and saying nothing about itself."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, and the query it answers where that was well-formed."""

    message: bytes
    rcode: Rcode
    query: Query | None = None


def respond(
    packet: bytes,
    zones: Zones,
    *,
    udp: bool,
    client: bytes = b"",
    now: int = 0,
    manner: Manner = PLAIN,
    turn: int = 0,
    idle: float | None = None,
) -> Reply | None:
    """The response; None where nothing may be answered.

    ``client`` is the client's address as 4 or 16 octets, empty for one that gets no cookies; ``now`` is seconds of Unix
    time; ``turn`` is where address RRsets start; ``idle`` is how many seconds a TCP connection may be, for clients that
    ask (RFC 7828). A query with TSIG is NOTAUTH: no key is known (RFC 8945, section 5.2.1).
    """
    try:
        query = parse_query(packet)
    except BadQuery as bad:
        return _turn_away(packet, bad, client, now, manner)
    said = answer_query(query, zones, manner)
    options = options_for(query, said, client, now, manner, idle=idle) if query.edns is not None else b""
    return Reply(render(query, said, udp=udp, options=options, turn=turn), said.rcode, query)


def answer_query(query: Query, zones: Zones, manner: Manner = PLAIN) -> Answer:
    """What to say to a well-formed query."""
    if query.edns is not None and query.edns.version > EDNS_VERSION:
        return Answer(Rcode.BADVERS)
    if query.signed:
        return Answer(Rcode.NOTAUTH)
    if query.question.cls == RRClass.CH:
        return chaos.answer(query.question, manner.version, manner.identity)
    return answer(zones, query.question)


def options_for(
    query: Query,
    said: Answer,
    client: bytes = b"",
    now: int = 0,
    manner: Manner = PLAIN,
    *,
    cookie: bool = True,
    idle: float | None = None,
) -> bytes:
    """The EDNS options of the response to a query with EDNS, the COOKIE last; without it when not ``cookie``."""
    edns = query.edns
    if edns is None:
        return b""
    told = EXTENDED_ERRORS[reason] if (reason := _reason(query.question, said.rcode)) is not None else b""
    if edns.nsid and manner.nsid:
        told += option(Option.NSID, manner.nsid)
    if edns.keepalive and idle is not None:
        told += option(Option.KEEPALIVE, min(int(idle * 10), 0xFFFF).to_bytes(2))
    return told + _cookie(edns, client, now, manner) if cookie and edns.cookie is not None else told


def seen(reply: Reply | None, zones: Zones, transport: Transport) -> Seen:
    """What to count for a reply, None being a packet without one."""
    if reply is None or reply.query is None:
        return Seen(transport, type_label(None), None if reply is None else reply.rcode)
    question = reply.query.question
    zone = zones.find(question.name, question.type)
    return Seen(transport, type_label(question.type), reply.rcode, zone.origin.text if isinstance(zone, Zone) else "")


def _turn_away(packet: bytes, bad: BadQuery, client: bytes, now: int, manner: Manner) -> Reply | None:
    """The response to what is no query to look up."""
    if bad.verdict is Verdict.DROP:
        return None
    edns = bad.edns
    options = b"" if edns is None else _cookie(edns, client, now, manner)
    rcode = _RCODES.get(bad.verdict) or _cookie_rcode(edns, client, now, manner)
    if edns is not None and rcode is Rcode.NOTIMP:
        options = EXTENDED_ERRORS[ExtendedError.NOT_SUPPORTED] + options
    return Reply(render_error(packet, rcode, bad.question, edns, options), rcode)


def _cookie_rcode(edns: Edns | None, client: bytes, now: int, manner: Manner) -> Rcode:
    """What to say to a query for a cookie alone (RFC 7873, section 5.4)."""
    if edns is None or edns.cookie is None or manner.cookies is None or not client:
        return Rcode.FORMERR
    if edns.version > EDNS_VERSION:
        return Rcode.BADVERS
    if len(edns.cookie) == CLIENT_COOKIE:
        return Rcode.NOERROR
    verdict = manner.cookies.verify(client, edns.cookie, now)
    return Rcode.BADCOOKIE if verdict is CookieVerdict.WRONG else Rcode.NOERROR


def _cookie(edns: Edns, client: bytes, now: int, manner: Manner) -> bytes:
    """The COOKIE option of a response: the client's own while it is good, else a new one (RFC 7873, section 5.2)."""
    cookie, cookies = edns.cookie, manner.cookies
    if cookie is None or cookies is None or not client:
        return b""
    if cookies.verify(client, cookie, now) is CookieVerdict.VALID:
        return option(Option.COOKIE, cookie)
    return cookies.option(client, cookie[:CLIENT_COOKIE], now)


def _reason(question: Question, rcode: Rcode) -> ExtendedError | None:
    """Why, where the response code leaves that open."""
    if rcode is Rcode.SERVFAIL:
        return ExtendedError.NOT_READY
    if rcode is not Rcode.REFUSED:
        return None
    if question.cls not in _CLASSES:
        return ExtendedError.NOT_SUPPORTED
    return ExtendedError.PROHIBITED if question.type in TRANSFERS else ExtendedError.NOT_AUTHORITATIVE
