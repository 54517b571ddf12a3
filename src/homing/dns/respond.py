"""From a packet to the packet that answers it. Pure, and total: no packet makes it raise."""

from __future__ import annotations

from dataclasses import dataclass

from homing.dns.lookup import Zones, answer
from homing.dns.message import EDNS_VERSION, Answer, BadQuery, Query, Rcode, Verdict, parse_query
from homing.dns.render import render, render_error
from homing.dns.stats import Seen, Transport, type_label
from homing.model.zone import Zone

_RCODES = {Verdict.FORMERR: Rcode.FORMERR, Verdict.NOTIMP: Rcode.NOTIMP, Verdict.REFUSED: Rcode.REFUSED}


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, and the query it answers where that was well-formed."""

    message: bytes
    rcode: Rcode
    query: Query | None = None


def respond(packet: bytes, zones: Zones, *, udp: bool) -> Reply | None:
    """The response; None where nothing may be answered.

    A query with TSIG is NOTAUTH: no key is known (RFC 8945, section 5.2.1).
    """
    try:
        query = parse_query(packet)
    except BadQuery as bad:
        rcode = _RCODES.get(bad.verdict)
        return None if rcode is None else Reply(render_error(packet, rcode, bad.question, bad.edns), rcode)
    said = answer_query(query, zones)
    return Reply(render(query, said, udp=udp), said.rcode, query)


def answer_query(query: Query, zones: Zones) -> Answer:
    """What to say to a well-formed query."""
    if query.edns is not None and query.edns.version > EDNS_VERSION:
        return Answer(Rcode.BADVERS)
    if query.signed:
        return Answer(Rcode.NOTAUTH)
    return answer(zones, query.question)


def seen(reply: Reply | None, zones: Zones, transport: Transport) -> Seen:
    """What to count for a reply, None being a packet without one."""
    if reply is None or reply.query is None:
        return Seen(transport, type_label(None), None if reply is None else reply.rcode)
    question = reply.query.question
    zone = zones.find(question.name, question.type)
    return Seen(transport, type_label(question.type), reply.rcode, zone.origin.text if isinstance(zone, Zone) else "")
