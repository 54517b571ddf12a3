"""Responses as octets: what does not depend on the case of the question, room for options, turns."""

from __future__ import annotations

import random

import dns.message
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing.dns.edns import Option, option
from homing.dns.lookup import Zones, answer
from homing.dns.message import HEADER_SIZE, Answer, Rcode, parse_query
from homing.dns.render import render
from homing.model.name import Name
from homing.model.rrset import RRType
from homing.model.zone import zone
from tests.dns.corpus import corpus
from tests.dns.zones import ORIGIN, RRSETS, SOA, addresses, alias, names, sample, serving

SAMPLE, CORPUS = sample(), corpus()
ROOM = serving(
    zone(ORIGIN, 1, SOA, [*RRSETS, *addresses("room.example.net", *(f"192.0.2.{number}" for number in range(1, 41)))])
)
ASKED = [(zones, name) for zones in (SAMPLE, CORPUS) for name in names(zones)]
TYPES = [1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 43, 255]


def spelled(name: Name, chance: random.Random) -> Name:
    """The name with each letter in upper or lower case."""
    return Name(
        tuple(bytes(chance.choice((octet, ord(chr(octet).swapcase()))) if chr(octet).isascii() and chr(octet).isalpha()
                    else octet for octet in label) for label in name.key)
    )  # fmt: skip


def behind(zones: Zones, name: Name, rtype: int, *, udp: bool) -> tuple[bytes, list[str]]:
    """The header and all that stands behind the question, as octets and as rdata that dnspython reads."""
    question = name.wire + rtype.to_bytes(2) + b"\0\1"
    query = parse_query(b"\0\1\0\0\0\1\0\0\0\0\0\1" + question + b"\0\0\x29\x04\xd0\0\0\0\0\0\0")
    message = render(query, answer(zones, query.question), udp=udp)
    assert message[HEADER_SIZE : HEADER_SIZE + len(question)] == question
    told = dns.message.from_wire(message)
    rdatas = [str(rdata) for section in (told.answer, told.authority, told.additional) for r in section for rdata in r]
    return message[:HEADER_SIZE] + message[HEADER_SIZE + len(question) :], rdatas


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(ASKED),
    st.lists(st.sampled_from([b"x", b"www", b"sub", b"A-long-label"]), max_size=2),
    st.sampled_from(TYPES),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_what_stands_behind_the_question_does_not_depend_on_its_case(
    asked: tuple[Zones, Name], below: list[bytes], rtype: int, udp: bool, chance: random.Random
) -> None:
    """For names that exist, and names below them, every spelling gets the same octets and the same rdata."""
    zones, name = asked
    name = Name((*below, *name.labels))
    first = behind(zones, name, rtype, udp=udp)
    for _ in range(3):
        assert behind(zones, spelled(name, chance), rtype, udp=udp) == first


def test_an_owner_that_ends_in_the_question_lends_nothing_to_rdata() -> None:
    """Names in rdata keep the case of the zone, whatever stands between them and the question."""
    query = parse_query(dns.message.make_query("q.EXAMPLE.net", "A").to_wire())
    said = Answer(Rcode.NOERROR, answer=(*addresses("x.example.net", "192.0.2.1"), alias("z.test", "y.x.example.net")))
    told = dns.message.from_wire(render(query, said, udp=True))
    assert [item.to_text() for item in told.answer] == [
        "x.EXAMPLE.net. 60 IN A 192.0.2.1",
        "z.test. 60 IN CNAME y.x.example.net.",
    ]


def rendered(
    fqdn: str, rtype: int, *, udp: bool = True, payload: int = 1232, options: bytes = b"", turn: int = 0
) -> bytes:
    """The response of the sample zones to a query with EDNS."""
    query = parse_query(
        dns.message.make_query(fqdn, dns.rdatatype.RdataType(rtype), use_edns=0, payload=payload).to_wire()
    )
    return render(query, answer(ROOM, query.question), udp=udp, options=options, turn=turn)


def test_the_options_stand_last() -> None:
    """The OPT is the last record and its last option the last octets, so that it can be cut off."""
    options = option(Option.NSID, b"ns-a") + option(Option.COOKIE, bytes(24))
    message = rendered("room.example.net", RRType.A, options=options)
    assert message.endswith(b"\0\0\x29\x04\xd0" + bytes(4) + len(options).to_bytes(2) + options)
    assert message[2 : -len(options) - 2] == rendered("room.example.net", RRType.A)[2:-2]


@pytest.mark.parametrize(("less", "cut"), [(0, False), (1, True)])
def test_there_is_room_for_the_options_before_truncation(less: int, cut: bool) -> None:
    """A response that fits only without its options is cut; the OPT with the options stays."""
    options = option(Option.COOKIE, bytes(24))
    size = len(rendered("room.example.net", RRType.A)) + len(options)
    message = rendered("room.example.net", RRType.A, payload=size - less, options=options)
    assert bool(message[2] & 0x02) is cut
    assert len(message) <= size - less
    assert message.endswith(options)


def test_options_are_only_for_clients_with_edns() -> None:
    """Without an OPT in the query there is none in the response."""
    query = parse_query(dns.message.make_query("room.example.net", "A", use_edns=False).to_wire())
    message = render(query, answer(ROOM, query.question), udp=True, options=option(Option.COOKIE, bytes(24)))
    assert dns.message.from_wire(message).edns == -1


def test_address_records_take_turns() -> None:
    """The RRset starts at the record of the turn, in circles; it is the same RRset."""
    for turn in (0, 1, 39, 40, 12345):
        found = dns.message.from_wire(rendered("room.example.net", RRType.A, turn=turn)).answer[0]
        texts = [str(item) for item in found]
        assert texts == [f"192.0.2.{(turn + number) % 40 + 1}" for number in range(40)]


def test_only_addresses_take_turns() -> None:
    """NS and CNAME stay where they are, and so do addresses in the additional section."""
    assert rendered("example.net", RRType.NS, turn=1)[2:] == rendered("example.net", RRType.NS)[2:]
    turned = dns.message.from_wire(rendered("alias.example.net", RRType.A, turn=1))
    assert [int(item.rdtype) for item in turned.answer] == [RRType.CNAME, RRType.A]
    assert str(turned.answer[1][0]) == "192.0.2.2"


def test_5000_addresses_are_all_seen_over_tcp() -> None:
    """A message has as many as fit into 65535 octets; a few turns show every one."""
    seen: set[str] = set()
    for turn in (0, 2000, 4000):
        message = rendered("crowd.example.net", RRType.AAAA, udp=False, turn=turn)
        assert 65535 - 28 < len(message) <= 65535
        seen.update(str(item) for item in dns.message.from_wire(message).answer[0])
    assert len(seen) == 5000
