"""Response rate limiting: by network, with slip, past private addresses, and not for those who prove their address."""

from __future__ import annotations

import time

import dns.edns
import dns.flags
import dns.message
import pytest

from homing.dns.cookie import Cookies
from homing.dns.engine.answers import Answers
from homing.dns.engine.limit import RateLimit, RateLimiter
from homing.dns.respond import Manner
from homing.dns.stats import Event
from tests.dns.test_answers import Slots
from tests.dns.zones import sample

WORLD, NEIGHBOUR, OTHER = bytes((203, 0, 113, 7)), bytes((203, 0, 113, 99)), bytes((198, 51, 100, 1))
HOME = bytes((192, 168, 1, 9))
MANNER = Manner(Cookies(bytes(16)))
WWW = dns.message.make_query("www.example.net", "A", use_edns=0).to_wire()


class Flood:
    """A server with a limit of 10 responses a second, and its clock."""

    def __init__(self, *, slip: int = 2) -> None:
        self.now = 0.0
        self.answers = Answers(
            sample(),
            manner=MANNER,
            limit=RateLimit(rate=10, slip=slip),
            wall=lambda: self.now,
            monotonic=lambda: self.now,
        )

    def ask(self, client: bytes, packet: bytes = WWW, count: int = 1) -> list[bytes | None]:
        """The responses to so many packets of one client, one batch each."""
        found: list[bytes | None] = []
        for _ in range(count):
            self.answers.begin(Slots(client), 1)
            found.append(self.answers.one(packet[2:], 0))
        return found


def whole(replies: list[bytes | None]) -> int:
    """How many are whole responses."""
    return sum(reply is not None and not reply[0] & 0x02 for reply in replies)


def test_a_client_within_its_rate_is_not_limited() -> None:
    """Ten responses a second, for a minute, all come."""
    flood = Flood()
    for _ in range(60):
        assert whole(flood.ask(WORLD, count=10)) == 10
        flood.now += 1.0


def test_a_flood_gets_little_and_every_second_response_over_it_is_tc() -> None:
    """Over the rate half is dropped and half is cut to TC, which is no larger than the query with its cookie."""
    flood = Flood()
    replies = flood.ask(WORLD, count=1000)
    assert whole(replies) <= 12
    slipped = [reply for reply in replies if reply is not None and reply[0] & 0x02]
    assert 480 <= len(slipped) <= 500
    assert all(len(reply) <= len(WWW) for reply in slipped)
    events = flood.answers.settle().events
    assert events[Event.SLIPPED] == len(slipped)
    assert events[Event.RATE_LIMITED] == replies.count(None)


def test_without_slip_nothing_goes_out() -> None:
    """Slip 0 drops all that is over the rate."""
    replies = Flood(slip=0).ask(WORLD, count=200)
    assert replies.count(None) >= 188


def test_the_network_is_limited_not_its_neighbours() -> None:
    """A /24 shares its rate, as a flood can name any of its addresses; another network is answered as ever."""
    flood = Flood()
    flood.ask(WORLD, count=200)
    assert whole(flood.ask(NEIGHBOUR, count=10)) == 0
    assert whole(flood.ask(OTHER, count=10)) == 10


def test_a_limited_client_is_answered_again_after_the_flood() -> None:
    """A few seconds after the flood everything is as before."""
    flood = Flood()
    flood.ask(WORLD, count=5000)
    flood.now += 3.5
    flood.ask(OTHER)
    assert whole(flood.ask(WORLD, count=5)) == 5


def test_private_addresses_are_exempt() -> None:
    """Nobody forges a private address from outside: the own network asks as much as it likes."""
    assert whole(Flood().ask(HOME, count=1000)) == 1000


def test_a_cookie_holder_is_exempt() -> None:
    """Who shows the cookie we gave is answered in the midst of a flood; who shows another's or an old one is not."""
    flood = Flood()
    flood.ask(WORLD, count=200)

    def asked(server: bytes) -> bytes:
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, server)
        return dns.message.make_query("www.example.net", "A", use_edns=0, options=[option]).to_wire()

    assert MANNER.cookies is not None
    good = MANNER.cookies.option(WORLD, b"clientck", 0)[4:]
    assert whole(flood.ask(WORLD, asked(good), count=50)) == 50
    assert whole(flood.ask(WORLD, asked(MANNER.cookies.option(NEIGHBOUR, b"clientck", 0)[4:]), count=50)) == 0
    assert whole(flood.ask(WORLD, asked(b"clientck"), count=50)) == 0


def test_a_slipped_response_brings_the_cookie_that_ends_the_limit() -> None:
    """A client that knows cookies needs one slipped response, and no TCP, to be believed."""
    flood = Flood()
    flood.ask(WORLD, count=200)
    option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"clientck")
    first = dns.message.make_query("www.example.net", "A", use_edns=0, options=[option]).to_wire()
    slipped = next(reply for reply in flood.ask(WORLD, first, count=4) if reply is not None)
    message = dns.message.from_wire(b"\0\0" + slipped)
    assert message.flags & dns.flags.TC
    (given,) = [item for item in message.options if item.otype == dns.edns.OptionType.COOKIE]
    again = dns.message.make_query("www.example.net", "A", use_edns=0, options=[given]).to_wire()
    assert whole(flood.ask(WORLD, again, count=20)) == 20


def test_floods_in_batches_are_seen() -> None:
    """One packet of a batch counts for all, so a flood among others' packets is found, and most others are not hit."""
    limiter = RateLimiter(RateLimit(rate=100))
    now = 0.0
    for number in range(1000):  # 64,000 packets in a second, nine of ten from the flood
        limiter.note(WORLD if number % 10 else bytes((8, number % 250, 1, 1)), 64, now)
        now += 0.001
    assert limiter.limited(WORLD)
    assert sum(limiter.limited(bytes((8, net, 1, 1))) for net in range(250)) < 250 * 0.8


def test_a_look_at_one_of_a_batch_condemns_nobody() -> None:
    """Who sends one packet among a flood's keeps their answers, wherever in the batch it lies."""
    lone, flood = bytes((8, 8, 8, 8)), [WORLD] * 128
    for place in range(128):
        limiter = RateLimiter(RateLimit(rate=200))
        batch = [*flood[:place], lone, *flood[place + 1 :]]
        limiter.sample(batch.__getitem__, 128, 0.0)
        assert not limiter.limited(lone)
        for _ in range(3):
            limiter.sample(flood.__getitem__, 128, 0.0)
        assert limiter.limited(WORLD)


@pytest.mark.parametrize("rate", [0.0, 10.0])
def test_rate_0_is_no_limit(rate: float) -> None:
    """Rate 0 turns it off."""
    limiter = RateLimiter(RateLimit(rate=rate))
    limiter.note(WORLD, 1000, 0.0)
    assert limiter.active is bool(rate)


def test_memory_is_bounded() -> None:
    """A flood from forged addresses of every network fills a bounded memory."""
    limiter = RateLimiter(RateLimit(rate=1))
    for number in range(30_000):
        limiter.note(number.to_bytes(3) + b"\1", 5, number / 1e5)
    assert len(limiter._buckets) <= 10_000
    assert len(limiter._exempted) <= 10_000
    assert len(limiter._over) <= 10_000


@pytest.mark.parametrize("cookie", [b"", b"client's\1\0\0\0\0\0\0\0wrong..."[:24]])
def test_what_is_dropped_costs_no_more_than_an_answer(cookie: bytes) -> None:
    """A flood over the rate, with forged cookies or none, takes no more of the processor than one within it."""
    options: list[dns.edns.Option] = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)] if cookie else []
    packet = dns.message.make_query("www.example.net", "A", use_edns=0, options=options).to_wire()[2:]
    spent: list[float] = []
    for rate in (0.0, 10.0):
        answers = Answers(sample(), manner=MANNER, limit=RateLimit(rate=rate, slip=0), wall=lambda: 0.0)
        slots = Slots(WORLD)
        for _ in range(100):
            answers.begin(slots, 1)
            answers.one(packet, 0)
        assert answers.guarded is bool(rate)
        started = time.process_time()
        for _ in range(5000):
            answers.one(packet, 0)
        spent.append(time.process_time() - started)
    assert spent[1] < 4 * spent[0], f"{spent[1] / 5000 * 1e6:.1f} µs to drop, {spent[0] / 5000 * 1e6:.1f} µs to answer"
