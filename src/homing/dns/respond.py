"""From a packet to the packet that answers it. Pure, and total: no packet makes it raise."""

from __future__ import annotations

from homing.dns.lookup import Zones, answer
from homing.dns.message import EDNS_VERSION, Answer, BadQuery, Rcode, Verdict, parse_query
from homing.dns.render import render, render_error

_RCODES = {Verdict.FORMERR: Rcode.FORMERR, Verdict.NOTIMP: Rcode.NOTIMP, Verdict.REFUSED: Rcode.REFUSED}


def respond(packet: bytes, zones: Zones, *, udp: bool) -> tuple[bytes, Rcode] | None:
    """The response and its code; None where nothing may be answered.

    A query with TSIG is NOTAUTH: no key is known (RFC 8945, section 5.2.1).
    """
    try:
        query = parse_query(packet)
    except BadQuery as bad:
        rcode = _RCODES.get(bad.verdict)
        return None if rcode is None else (render_error(packet, rcode, bad.question, bad.edns), rcode)
    if query.edns is not None and query.edns.version > EDNS_VERSION:
        said = Answer(Rcode.BADVERS)
    elif query.signed:
        said = Answer(Rcode.NOTAUTH)
    else:
        said = answer(zones, query.question)
    return render(query, said, udp=udp), said.rcode
