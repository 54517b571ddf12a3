"""Broken packets by the fast path: what the book says to them, over many versions of the zones, in bounded memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import dns.message
import pytest

from homing.dns.authority import Authority
from homing.dns.cookie import Cookies
from homing.dns.engine import answers as fast
from homing.dns.engine import learned
from homing.dns.engine.answers import Answers
from homing.dns.engine.limit import RateLimit
from homing.dns.respond import Manner, respond
from homing.model.name import parse_name
from homing.model.zone import amend, zone
from tests.dns.fuzzing import SEEDS, liars, packets, truncations
from tests.dns.test_answers import NOW, V4, V6, Slots
from tests.dns.zones import ORIGIN, addresses, sample

PACKETS = int(os.environ.get("HOMING_FUZZ_PACKETS", "60000"))
"""Mutated packets of a run; a million takes two minutes."""

CHANGE_EVERY = 500
"""Packets between two changes of a zone."""

MANNER = Manner(Cookies(bytes(16)), b"ns-a", "homing", "ns-a")
TURNS = 100
"""Addresses at one name that are answered over UDP, at most."""


class Beside:
    """The fast path, following zones that change, beside the book."""

    def __init__(self) -> None:
        self.authority = Authority()
        for item in sample().loaded.values():
            self.authority.publish(item)
        self.answers = Answers(
            self.authority.zones,
            manner=MANNER,
            limit=RateLimit(rate=0),
            wall=lambda: float(NOW),
            monotonic=lambda: float(NOW),
        )
        self.authority.listen(lambda change: self.answers.update(self.authority.zones, change))
        self.changes = 0

    def change(self) -> None:
        """A next version: an address that many of the packets ask for, or a whole zone."""
        self.changes += 1
        if self.changes % 7 == 0:
            other = parse_name("other.test")
            gone = self.authority.zone(other)
            if gone is None:
                self.authority.publish(sample().loaded[other])
            else:
                self.authority.withdraw(other)
            return
        data = [f"192.0.2.{1 + (self.changes + n) % 250}" for n in range(1 + self.changes % 3)]
        name = ("www", "c9", "many", "new")[self.changes % 4]
        edits = {item.key: item for item in addresses(f"{name}.example.net", *data)}
        old = self.authority.zones.loaded[ORIGIN]
        if name == "c9":  # an alias amid a chain, which cannot have an address: turned to another name
            edits = {item.key: item for item in addresses("text.example.net", *data)}
        self.authority.publish(*amend(old, edits))

    def check(self, packet: bytes, slot: int) -> None:
        """Both say the same, but for where addresses begin."""
        self.answers.begin(Slots(V4, V6), 1)
        found = self.answers.one(packet[2:], slot)
        client = (V4, V6)[slot]
        for turn in range(TURNS):
            reply = respond(packet, self.authority.zones, udp=True, client=client, now=NOW, manner=MANNER, turn=turn)
            said = None if reply is None else reply.message[2:]
            if said == found:
                return
        pytest.fail(f"{packet.hex()}: the fast path says {found!r}, the book {said!r}")

    def check_bounds(self) -> None:
        """What is remembered of all that stays within its limits."""
        kept, found = self.answers._learned, self.answers
        assert len(kept.cache) <= learned.CACHED
        assert sum(map(len, kept.tables)) <= learned.LEARNED
        assert len(kept._linked) <= learned.LINKED
        assert max(map(len, found._met)) <= fast.CLIENTS
        assert len(found._forms) <= fast._FORMS
        assert len(kept._kinds) < 1000
        assert not found._limiter._buckets
        assert not found._limiter._exempted


def asked(count: int) -> Iterator[bytes]:
    """Mutated packets, with a whole one now and then."""
    for number, packet in enumerate(packets(count, seed=8906)):
        yield packet
        if number % 5 == 0:
            yield SEEDS[number // 5 % len(SEEDS)]


@pytest.mark.usefixtures("untraced")
def test_mutated_packets_get_what_the_book_says() -> None:
    """Each packet, twice in a row every other time, from this version of the zones and no other; nothing grows."""
    beside = Beside()
    for number, packet in enumerate(asked(PACKETS)):
        if number % CHANGE_EVERY == 0:
            beside.change()
        beside.check(packet, number % 2)
        if number % 4 < 2:
            beside.check(packet, number % 2)
        if number % 10_000 == 0:
            beside.check_bounds()
    beside.check_bounds()
    assert beside.answers.settle().queries.total() > PACKETS


@pytest.mark.usefixtures("untraced")
def test_truncations_and_lies_get_what_the_book_says() -> None:
    """Queries cut at every octet, and counts that promise other records than there are, asked before and after."""
    beside = Beside()
    for _ in range(2):
        for made in (truncations, liars):
            for packet in made():
                for _ in range(3):
                    beside.check(packet, 0)
        beside.change()
    beside.check_bounds()


def smuggled(form: bytes) -> bytes:
    """A query whose one long label holds what looks like the end of a question and an OPT of this form."""
    true = b"\0" + b"\0\1\0\1" + b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
    label = b"a\0\0\1\0\1" + form + b"c" * (form[-1] - len(true))
    return b"\x12\x34\0\0\0\1\0\0\0\0\0\1" + bytes((len(label),)) + label + true


@pytest.mark.parametrize("flags", [b"\0\0\x80\0", b"\0\1\0\0"])
def test_an_opt_inside_a_label_teaches_nothing(flags: bytes) -> None:
    """What looks like an OPT within a name does not decide how others' OPTs are answered: not DO, not the version."""
    beside = Beside()
    form = b"\0\0\x29\x04\xd0" + flags + b"\0\x1c\0\x0a\0\x18"
    beside.check(smuggled(form), 0)
    question = b"\x03www\x05other\x04test\0\0\1\0\1"
    head, cookie = b"\x12\x34\0\0\0\1\0\0\0\0\0\1", bytes(24)
    for opt in (b"\0\0\x29\x04\xd0\0\0\0\0\0\x1c\0\x0a\0\x18", form):
        for _ in range(3):
            beside.check(head + question + opt + cookie, 0)


def test_a_change_reaches_questions_of_class_any() -> None:
    """A question of class ANY is answered from the new version like one of class IN."""
    beside = Beside()
    for origin in ("sub.example.net", "other.test"):  # a zone within another has everything forgotten
        beside.authority.withdraw(parse_name(origin))
    known = dns.message.make_query("text.example.net", "TXT", use_edns=0).to_wire()
    wire = dns.message.make_query("www.example.net", "AAAA", "ANY", use_edns=0).to_wire()
    for number in range(2):
        beside.check(known, 0)
        for _ in range(3):
            beside.check(wire, 0)
        edits = {item.key: item for item in addresses("www.example.net", f"2001:db8::{number + 7}")}
        beside.authority.publish(*amend(beside.authority.zones.loaded[ORIGIN], edits))
    beside.check(wire, 0)


def test_a_zone_that_comes_or_goes_costs_the_same_among_thousands() -> None:
    """With 2,000 zones served, one more is a matter of milliseconds, for nobody is answered meanwhile."""
    soa = sample().loaded[ORIGIN].soa
    made = [zone(parse_name(f"z{n}.test"), 1, soa, addresses(f"www.z{n}.test", "192.0.2.1")) for n in range(2010)]
    authority = Authority()
    authority.replace(made[:2000])
    answers = Answers(authority.zones)
    authority.listen(lambda change: answers.update(authority.zones, change))
    began = time.process_time()
    for item in made[2000:]:
        authority.publish(item)
    for item in made[2000:]:
        authority.withdraw(item.origin)
    assert (time.process_time() - began) / 20 < 0.005


def test_denials_learned_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of every length, types and zones that are not there fill the memory to its limit and not beyond."""
    monkeypatch.setattr(learned, "LEARNED", 500)
    beside = Beside()
    for origin in ("example.net", "other.test"):
        for rtype in ("A", "AAAA", "TXT", "MX", "SRV", "HTTPS"):
            for size in range(1, 200):
                name = ".".join(["q" * 50] * (size // 51) + ["q" * (size % 51 or 1)] + [origin])
                beside.check(dns.message.make_query(name, rtype, use_edns=False, flags=0).to_wire(), 0)
    kept = sum(1 for denials in beside.answers._learned.names.denials.values() for _ in denials.entries())
    assert kept + sum(map(len, beside.answers._learned.tables)) <= 1000
