"""The fast path says what the book says, whatever was asked and changed before."""

from __future__ import annotations

import os
import random
import re
from dataclasses import replace

import dns.edns
import dns.flags
import dns.message
import dns.name
import pytest

from homing.dns.authority import Authority
from homing.dns.cookie import Cookies
from homing.dns.engine.answers import Answers, Client
from homing.dns.engine.limit import RateLimit
from homing.dns.master import read_zone
from homing.dns.message import Rcode
from homing.dns.respond import Manner, respond
from homing.dns.stats import Event, Transport
from homing.errors import ModelError
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType, rrset
from homing.model.zone import Zone, amend, serial_add, zone
from tests.dns.generated import LABELS, generate
from tests.dns.zones import ORIGIN, addresses, sample

SEED = int(os.environ.get("HOMING_SEED", "0"))
NOW = 1_700_000_000
SECRET = bytes(range(16))
MANNER = Manner(Cookies(SECRET), nsid=b"one", version="Homing", identity="here")
TYPES = ("A", "A", "AAAA", "TXT", "MX", "NS", "SOA", "CNAME", "DNAME", "DS", "ANY", "TYPE65400", "AXFR", "SRV")


class Slots:
    """Clients at two addresses."""

    def __init__(self, *clients: bytes) -> None:
        self._clients = clients

    def addresses(self) -> tuple[bytes, ...]:
        """All addresses."""
        return self._clients

    def packed(self, slot: int) -> bytes:
        """The address."""
        return self._clients[slot]

    def client(self, slot: int) -> Client:
        """The address and a port."""
        return (".".join(map(str, self._clients[slot])), 4711)

    def ident(self, slot: int) -> bytes:
        """The id."""
        return b"\x12\x34"


V4, V6 = bytes((198, 51, 100, 7)), bytes.fromhex("20010db8") + bytes(11) + b"\x01"


class Side:
    """The fast path beside the zones it follows."""

    def __init__(self, *zones: Zone) -> None:
        self.authority = Authority()
        for item in zones:
            self.authority.publish(item)
        self.now = float(NOW)
        self.answers = Answers(
            self.authority.zones,
            manner=MANNER,
            limit=RateLimit(rate=0),
            wall=lambda: self.now,
            monotonic=lambda: self.now,
        )
        self.authority.listen(lambda change: self.answers.update(self.authority.zones, change))
        self.asked = 0

    def ask(self, packet: bytes, slot: int = 0) -> bytes | None:
        """What the fast path says."""
        self.asked += 1
        self.answers.begin(Slots(V4, V6), 1)
        return self.answers.one(packet[2:], slot)

    def check(self, packet: bytes, slot: int = 0) -> None:
        """It says what the book says, from one of the places that the addresses may begin at."""
        found = self.ask(packet, slot)
        client = (V4, V6)[slot]
        allowed: list[bytes | None] = []
        for turn in range(64):
            reply = respond(
                packet, self.authority.zones, udp=True, client=client, now=int(self.now), manner=MANNER, turn=turn
            )
            allowed.append(None if reply is None else reply.message[2:])
            if found == allowed[-1]:
                return
            if turn and allowed[-1] == allowed[0]:
                break
        pytest.fail(f"{packet.hex()}: {found.hex() if found else found}, not one of {allowed}")


def put(choice: random.Random, name: dns.name.Name, cookies: Cookies) -> tuple[bytes, int]:
    """A query for a name, put in one of many ways, and who sends it."""
    slot = choice.randrange(2)
    options: list[dns.edns.Option] = []
    if choice.random() < 0.5:
        mine = bytes((choice.randrange(6),)) * 8
        sent = mine
        if choice.random() < 0.5:
            sent = cookies.option((V4, V6)[slot], mine, NOW - choice.choice((0, 0, 900, 2000, 5000)))[4:]
        options.append(dns.edns.GenericOption(dns.edns.OptionType.COOKIE, sent))
    if choice.random() < 0.05:
        options.append(dns.edns.GenericOption(dns.edns.OptionType.NSID, b""))
    edns = 0 if options or choice.random() < 0.5 else False
    query = dns.message.make_query(
        name,
        choice.choice(TYPES),
        choice.choice(("IN", "IN", "IN", "IN", "IN", "IN", "ANY", "CH")),
        use_edns=edns,
        want_dnssec=bool(edns == 0 and edns is not False and choice.random() < 0.5),
        payload=choice.choice((512, 1232, 1400, 4096)),
        options=options or None,
    )
    query.flags = choice.choice(
        (0, 0, dns.flags.RD, dns.flags.RD, dns.flags.AD, dns.flags.CD, dns.flags.RD | dns.flags.AD)
    )
    wire = bytearray(query.to_wire())
    end = 12
    while wire[end]:
        end += 1 + wire[end]
    if choice.random() < 0.5:  # 0x20
        for at in range(12, end):
            if 0x41 <= wire[at] & 0xDF <= 0x5A and wire[at] > 0x40 and choice.random() < 0.5:
                wire[at] ^= 0x20
    if choice.random() < 0.03:
        wire[choice.randrange(2, len(wire))] = choice.randrange(256)
    if choice.random() < 0.02:
        del wire[choice.randrange(len(wire)) :]
    return bytes(wire), slot


def changed(choice: random.Random, old: Zone, owners: list[Name], *, plain: bool) -> Zone | None:
    """A next version of a zone: RRsets come, go and change, those among them that bear on other names."""
    edits: dict[tuple[Name, int], RRset | None] = {}
    for _ in range(choice.randint(1, 3)):
        name = choice.choice(owners)
        match choice.randrange(8):
            case 0 | 1 | 2:
                data = {bytes((192, 0, 2, choice.randint(1, 250))) for _ in range(choice.randint(1, 3))}
                edits[name, RRType.A] = rrset(name, RRType.A, choice.choice((30, 60)), data)
            case 3:
                edits[name, RRType.TXT] = rrset(name, RRType.TXT, 60, [bytes((1, choice.randint(65, 90)))])
            case 4:
                target = choice.choice(owners).wire
                rtype = choice.choice((RRType.CNAME, RRType.DNAME, RRType.NS))
                if name != old.origin and not plain:
                    edits[name, rtype] = rrset(name, rtype, 60, [target])
            case _:
                present = [item.key for item in old.rrsets() if item.name != old.origin]
                if present:
                    edits[choice.choice(present)] = None
    try:
        new, _ = amend(old, edits)
    except ModelError:
        return None
    return None if new is old else new


@pytest.mark.parametrize("round_", range(6))
def test_the_fast_path_says_what_the_book_says(round_: int) -> None:
    """Over zones of every kind, their changes, comings and goings, each response is that of the book."""
    choice = random.Random(f"{SEED} {round_}")
    made = generate(3, SEED * 100 + round_)
    texts = [(item.text, item.origin) for item in made]
    texts.append(
        (made[0].text.replace(made[0].origin, f"b.{made[0].origin}"), f"b.{made[0].origin}")
    )  # a zone in a zone
    # One without wildcards, delegations and DNAMEs, where most of what is learned outlives a change.
    texts += [
        (
            "\n".join(line for line in made[2].text.splitlines() if not re.search(r"^\S*\*|[^@] NS|DNAME|DS", line)),
            made[2].origin,
        )
    ]
    del texts[2]
    zones = [read_zone(text, f"{origin}.zone", parse_name(origin)) for text, origin in texts]
    side, plain = Side(*zones), zones[-1].origin
    cookies = Cookies(SECRET)
    names: dict[Name, list[Name]] = {}
    for item in zones:
        names[item.origin] = [
            *item.nodes,
            *(Name((label.encode(), *item.origin.labels)) for label in LABELS[:5]),
            *(Name((b"*", *name.labels)) for name in list(item.nodes)[:6]),
        ]
    pool = [name for known in names.values() for name in known]
    asked: list[tuple[bytes, int]] = []
    for _ in range(3000):
        if choice.random() < 0.06:
            loaded = side.authority.zones.loaded
            origin = choice.choice(list(names))
            if origin not in loaded:
                last = next(item for item in zones if item.origin == origin)
                side.authority.publish(replace(last, serial=choice.randrange(2**32)))
            elif choice.random() < 0.15:
                side.authority.withdraw(origin)
            elif (new := changed(choice, loaded[origin], names[origin], plain=origin == plain)) is not None:
                side.authority.publish(new)
                touched = {item.name.wire.lower() for item in set(new.rrsets()) ^ set(loaded[origin].rrsets())}
                close = [one for one in asked[-600:] if any(wire in one[0].lower() for wire in touched)]
                for packet, slot in close[-40:]:
                    side.check(packet, slot)
        if asked and choice.random() < 0.5:
            side.check(*choice.choice(asked[-200:]))
            continue
        labels = choice.choice(pool).labels
        if choice.random() < 0.4:
            labels = (*(choice.choice(LABELS[:4]).encode() for _ in range(choice.randint(1, 2))), *labels)
        if sum(map(len, labels)) + len(labels) > 250:
            continue
        asked.append(put(choice, dns.name.Name([*labels, b""]), cookies))
        side.check(*asked[-1])
    assert sum(side.answers.settle().queries.values()) == side.asked
    assert side.answers.stats.events[Event.CACHE_HIT] > 5


@pytest.mark.parametrize("name", ["four", "alias"])
def test_addresses_take_turns(name: str) -> None:
    """Each address of a name comes first as often as the others, in the usual forms of a query, by an alias too."""
    four = addresses("four.example.net", *(f"192.0.2.{n}" for n in range(1, 5)))
    alias = rrset(parse_name("alias.example.net"), RRType.CNAME, 30, [four[0].name.wire])
    side = Side(zone(ORIGIN, 1, next(iter(sample().loaded.values())).soa, (*four, alias)))
    for edns in (False, 0):
        wire = dns.message.make_query(f"{name}.example.net", "A", use_edns=edns, flags=0).to_wire()
        said = [dns.message.from_wire(b"\0\0" + (side.ask(wire) or b"")).answer[-1] for _ in range(40)]
        assert all({item.to_text() for item in found} == {f"192.0.2.{n}" for n in range(1, 5)} for found in said)
        first = [found[0].to_text() for found in said]
        counts = [first.count(f"192.0.2.{n}") for n in range(1, 5)]
        assert sum(counts) == 40
        assert all(9 <= count <= 11 for count in counts)


def test_many_addresses_say_tc() -> None:
    """5,000 addresses at one name do not fit: the response is TC, every time, and small."""
    crowd = addresses("crowd.example.net", *(f"10.0.{n >> 8}.{n & 255}" for n in range(5000)))
    side = Side(zone(ORIGIN, 1, next(iter(sample().loaded.values())).soa, crowd))
    wire = dns.message.make_query("crowd.example.net", "A", use_edns=0).to_wire()
    for _ in range(3):
        reply = side.ask(wire)
        assert reply is not None
        assert reply[0] & 0x02
        assert len(reply) < 100


@pytest.mark.parametrize("learns", [True, False])
def test_a_server_cookie_is_renewed_in_time(learns: bool) -> None:
    """A client that asks all day has a good cookie always: it is kept while fresh, and renewed well before its end."""
    side = Side(*sample().loaded.values())
    cookies, sent, given = Cookies(SECRET), b"8 octets", set[bytes]()
    for _ in range(400):
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, sent)
        wire = dns.message.make_query("www.example.net", "A", use_edns=0, options=[option]).to_wire()
        reply = dns.message.from_wire(b"\0\0" + (side.ask(wire) or b""))
        (found,) = [item for item in reply.options if item.otype == dns.edns.OptionType.COOKIE]
        told = found.to_wire() or b""
        assert 0 <= int(side.now) - int.from_bytes(told[12:16]) <= 2400
        assert cookies.verify(V4, told, int(side.now)).name in {"VALID", "RENEW"}
        given.add(told)
        sent = told if learns else sent
        side.now += 131
    assert len(given) <= 400 * 131 / (1800 if learns else 600) + 1


def test_what_is_learned_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of different questions, of wildcards and cookies too, fills the memory to its limits and not beyond."""
    for limit, value in (
        ("learned.CACHED", 100),
        ("learned.LEARNED", 150),
        ("answers.CLIENTS", 50),
        ("learned.LINKED", 60),
    ):
        monkeypatch.setattr(f"homing.dns.engine.{limit}", value)
    side = Side(
        *sample().loaded.values(),
        read_zone(
            "@ 60 SOA ns a 1 1 1 1 1\n@ 60 NS ns\nns 60 A 192.0.2.1\n*.w 60 A 192.0.2.9\n", "w", parse_name("w.test")
        ),
    )
    for number in range(2000):
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, number.to_bytes(8))
        for edns in (False, 0):
            wire = dns.message.make_query(
                f"n{number}.w.w.test", "A", use_edns=edns, options=[option] if edns == 0 and edns is not False else None
            )
            side.check(wire.to_wire())
    answers = side.answers
    assert len(answers.cache) <= 100
    assert len(answers._met) <= 50
    assert sum(map(len, answers._learned.tables)) <= 150
    assert len(answers._learned._linked) <= 60


def test_what_only_the_primary_answers_is_handed_over() -> None:
    """Signed queries and transfers go to the forwarder, whole; nothing else does."""
    taken: list[bytes] = []
    authority = Authority()
    for item in sample().loaded.values():
        authority.publish(item)

    def forward(packet: bytes, client: Client) -> bytes:
        taken.append(packet)
        return packet[:2] + b"said"

    answers = Answers(authority.zones, manner=MANNER, forward=forward)
    answers.begin(Slots(V4), 1)
    transfer = dns.message.make_query("example.net", "IXFR", id=0x1234, use_edns=False).to_wire()
    plain = dns.message.make_query("www.elsewhere.test", "A", use_edns=False).to_wire()
    update = bytearray(plain)
    update[2] = 5 << 3
    assert answers.one(transfer[2:], 0) == b"said"
    assert (answers.one(plain[2:], 0) or b"")[1] & 15 == Rcode.REFUSED
    assert (answers.one(bytes(update)[2:], 0) or b"")[1] & 15 == Rcode.REFUSED
    assert taken == [transfer]
    assert {seen.transport for seen in answers.settle().queries} == {Transport.UDP}


def test_serials_wrap() -> None:
    """A denial learned under one serial is not given under the next, around 2**32 either."""
    (first,) = sample().loaded.values() if len(sample().loaded) == 1 else (sample().loaded[ORIGIN],)
    side = Side(replace(first, serial=2**32 - 2))
    wire = dns.message.make_query("gone.example.net", "A", use_edns=0).to_wire()
    for step in range(4):
        side.check(wire)
        new, _ = amend(
            side.authority.zones.loaded[ORIGIN],
            {item.key: item for item in addresses("n.example.net", f"192.0.2.{step + 1}")},
        )
        side.authority.publish(replace(new, serial=serial_add(new.serial, 0)))
        side.check(wire)


def test_kinds_of_queries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many zones, types and codes the counts stay few, and none is lost."""
    monkeypatch.setattr("homing.dns.engine.learned.KINDS", 20)
    monkeypatch.setattr("homing.dns.stats.KINDS", 20)
    soa = sample().loaded[ORIGIN].soa
    side = Side(*(zone(parse_name(f"z{number}.test"), 1, soa, ()) for number in range(50)))
    for number in range(50):
        for rtype in ("A", "TXT"):
            side.ask(dns.message.make_query(f"z{number}.test", rtype).to_wire())
    counted = side.answers.settle().queries
    assert counted.total() == 100
    assert len(counted) <= 24
    assert {seen.zone for seen in counted} > {"other"}
