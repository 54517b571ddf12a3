"""Where Knot, NSD and BIND agree on the answer to a question, Homing gives that answer too.

Homing is asked by its fast path, each question as often as it takes to come from the book, from what was learned, and
from the packet cache; the answers have to be the same.

What is not compared, since the RFCs leave it open and the three differ:

- the order within a section: RRsets are not ordered (RFC 1034, section 3.6), nor is a chain told in two sections;
- the apex NS in the authority section of a positive answer: optional (RFC 1034, section 4.3.2, step 3; NSD adds it);
- the additional section, but for the glue of a referral (RFC 9471): optional (RFC 1034, section 4.3.2, step 6);
- the authority section beside YXDOMAIN: RFC 6672 says nothing of it (Knot goes on as if the DNAME were not there);
- sections of a truncated answer: a client discards them (RFC 2181, section 9);
- ANY: each may pick what it gives (RFC 8482);
- the case of names (RFC 4343), which the unit tests look at.

Not asked at all: CNAMEs into another zone served, which Knot and BIND leave to the resolver; following them is right
too (RFC 1034, section 4.3.2, step 3a).
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from homing.dns.engine.answers import Answers
from homing.dns.engine.limit import RateLimit
from homing.dns.lookup import Zones
from homing.dns.master import load_zone
from homing.dns.stats import Event
from tests.dns.corpus import CORPUS, NAMES
from tests.dns.generated import LABELS, Generated, generate
from tests.dns.peers import Peer, peers
from tests.dns.test_answers import V4, Slots
from tests.dns.zones import serving

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("untraced")]

START = int(os.environ.get("HOMING_SEED", "1"))
ZONES = 12
QUERIES = 500
"""Of each zone."""

TYPES = ("A", "A", "AAAA", "NS", "CNAME", "DNAME", "TXT", "MX", "SRV", "DS", "SOA", "TYPE65400", "TYPE65401")

ASKED = 4
"""Times that Homing is asked a question."""

Said = tuple[object, ...]


def questions(zone: Generated, count: int) -> list[dns.message.Message]:
    """Queries for the names of a zone, beside, above and below them."""
    choice = random.Random(f"{START} {zone.origin}")
    owners = sorted(zone.owners)
    found: list[dns.message.Message] = []
    while len(found) < count:
        labels = choice.choice(owners)
        match choice.randrange(6):
            case 0:
                labels = labels[choice.randrange(len(labels) + 1) :]
            case 1:
                labels = (choice.choice(LABELS), *labels)
            case 2:
                labels = (choice.choice(LABELS), choice.choice(LABELS), *labels[1:])
            case 3:
                labels = ("m" * 63, "n" * choice.randint(1, 40), *labels)
            case _:
                pass
        try:
            name = dns.name.from_text(".".join((*labels, zone.origin)))
        except dns.name.NameTooLong:
            continue
        query = dns.message.make_query(name, choice.choice(TYPES), use_edns=choice.choice((0, 0, False)), flags=0)
        found.append(query)
    return found


def said(wire: bytes | None, apexes: Container[dns.name.Name]) -> Said:
    """What counts of a response. ``apexes`` are the origins of all zones served."""
    assert wire is not None, "no response"
    message = dns.message.from_wire(wire)
    aa, tc = bool(message.flags & dns.flags.AA), bool(message.flags & dns.flags.TC)
    head = (dns.rcode.to_text(message.rcode()), "AA" * aa, "TC" * tc)
    if tc:
        return head
    answer = records(message.answer)
    authority = [item for item in message.authority if not (item.rdtype == dns.rdatatype.NS and item.name in apexes)]
    if message.rcode() == dns.rcode.YXDOMAIN:
        authority = []
    referral = any(item.rdtype == dns.rdatatype.NS for item in authority)
    glue = [item for item in message.additional if item.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)]
    return (*head, answer, records(authority), records(glue) if referral else frozenset())


def records(rrsets: list[dns.rrset.RRset]) -> frozenset[str]:
    """The records of a section, in lower case."""
    return frozenset(
        f"{item.name} {item.ttl} {dns.rdatatype.to_text(item.rdtype)} {rdata.to_digestable().hex()}".lower()
        for item in rrsets
        for rdata in item
    )


@dataclass(slots=True)
class Compared:
    """How often the peers agreed, or which of them differed; what Homing says against three that agree."""

    tally: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    apart: list[str] = field(default_factory=list[str])
    """Questions on which the peers differ."""


def compare(asked: Sequence[dns.message.Message], served: list[Peer], zones: Zones) -> Compared:
    """Ask everyone everything."""
    found = Compared()
    answers = Answers(zones, limit=RateLimit(rate=0))
    apexes = {dns.name.from_text(str(origin)) for origin in zones.loaded}
    for query in asked:
        wire = query.to_wire()
        by_peer = {peer.name: said(peer.ask(wire), apexes) for peer in served}
        own = everything_said(answers, wire)
        ours, *others = {said(message, apexes) for message in own}
        assert not others, f"{query.question[0]}: {ours} and {others}"
        text = "\n  ".join(map(str, (query.question[0], *by_peer.items(), ("homing", ours))))
        common, votes = Counter(by_peer.values()).most_common(1)[0]
        if votes < len(by_peer):
            alone = ", ".join(name for name, it in by_peer.items() if it != common) if votes > 1 else "each"
            side = (
                "of the majority" if ours == common and votes > 1 else "shared" if ours in by_peer.values() else "alone"
            )
            found.tally[f"{alone} differs, Homing's is {side}"] += 1
            found.apart.append(text)
            continue
        found.tally["agree"] += 1
        # Where truncation begins depends on how well names are compressed; an answer that fits need not be cut.
        limit = 512 if query.edns < 0 else 1232
        assert max(map(len, own)) <= limit
        if ours != common and not ("TC" in common and "TC" not in ours):
            found.wrong.append(text)
    assert answers.settle().events[Event.CACHE_HIT] >= len(asked)
    return found


def everything_said(answers: Answers, wire: bytes) -> set[bytes]:
    """What the fast path says when it is asked again and again."""
    said: set[bytes] = set()
    for _ in range(ASKED):
        answers.begin(Slots(V4), 1)
        message = answers.one(wire[2:], 0)
        assert message is not None
        said.add(wire[:2] + message)
    return said


def serve_all(folder: Path, texts: Mapping[str, str]) -> tuple[dict[str, Path], Zones]:
    """The zones on disk for the peers, and read back by Homing."""
    files = {origin: folder / f"{origin}.zone" for origin in texts}
    for origin, text in texts.items():
        files[origin].write_text(text)
    return files, serving(*(load_zone(path) for path in files.values()))


def test_generated_zones_are_answered_as_by_three_peers(tmp_path: Path) -> None:
    """Thousands of questions about zones full of corners: where the three agree, Homing agrees."""
    generated = generate(ZONES, START)
    files, zones = serve_all(tmp_path, {zone.origin: zone.text for zone in generated})
    with peers(tmp_path, files) as served:
        found = compare([query for zone in generated for query in questions(zone, QUERIES)], served, zones)
    assert not found.wrong, f"{len(found.wrong)} answers are wrong\n" + "\n".join(found.wrong[:5])
    assert found.tally["agree"] > 0.9 * ZONES * QUERIES, found.tally


def test_the_corpus_is_answered_as_by_three_peers(tmp_path: Path) -> None:
    """The zones of the RFCs' examples, parent and child served together, asked for every name and type."""
    files, zones = serve_all(tmp_path, CORPUS)
    asked = [dns.message.make_query(name, rtype, use_edns=0, flags=0) for name in NAMES for rtype in sorted({*TYPES})]
    with peers(tmp_path, files) as served:
        found = compare(asked, served, zones)
    assert not found.wrong, f"{len(found.wrong)} answers are wrong\n" + "\n".join(found.wrong[:5])
    assert found.tally["agree"] > 0.9 * len(asked), found.tally
