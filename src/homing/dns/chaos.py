"""What a server says about itself in class CHAOS: version and identity (RFC 4892). Pure."""

from __future__ import annotations

from homing.dns.message import Answer, Question, Rcode
from homing.model.name import parse_name
from homing.model.rrset import RRset, RRType, txt_rdata

_VERSION = frozenset(map(parse_name, ("version.bind", "version.server")))
_IDENTITY = frozenset(map(parse_name, ("id.server", "hostname.bind")))


def answer(question: Question, version: str | None, identity: str | None) -> Answer:
    """What to say to a question of class CHAOS: REFUSED for all but TXT of what is not None."""
    text = version if question.name in _VERSION else identity if question.name in _IDENTITY else None
    if text is None or question.type not in (RRType.TXT, RRType.ANY):
        return Answer(Rcode.REFUSED)
    rdata = txt_rdata(text.encode())
    return Answer(Rcode.NOERROR, authoritative=True, answer=(RRset(question.name, RRType.TXT, 0, (rdata,)),))
