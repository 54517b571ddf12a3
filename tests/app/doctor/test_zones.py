"""Own zones seen from the world: delegation, glue, servers, resolvers; with real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from homing.app.doctor.delegation import Outside, Own, Referral, Server, judge, special
from homing.app.doctor.finding import Finding, Level
from homing.app.doctor.questions import Questions, system_resolver
from homing.app.doctor.secondaries import judge as judge_secondary
from homing.app.doctor.secondaries import judge_key, secondaries
from homing.app.doctor.zones import ask_world, own_zone, zone, zones
from homing.dns.transfers.secondary import Secondary
from homing.dns.transfers.tsig import tsig_key
from homing.model.address import Address
from homing.model.name import parse_name
from tests.app.doctor.cases import case_of, levels, one
from tests.dns_servers import ALGORITHM, KEY, KEY_NAME, OTHER_KEY, updatable

OK, NOTE, WARNING, ERROR, SKIPPED = Level.OK, Level.NOTE, Level.WARNING, Level.ERROR, Level.SKIPPED

RESOLVER, PARENT, CHILD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
ORIGIN, NS1, NS2 = (
    parse_name("home.homing-test.net"),
    parse_name("ns1.home.homing-test.net"),
    parse_name("ns2.other.net"),
)
WAN, OLD = IPv4Address("8.8.4.4"), IPv4Address("9.9.9.9")
OWN = Own(ORIGIN, frozenset({NS1}), {NS1: frozenset({WAN})}, 7)
GOOD = Referral(parse_name("homing-test.net"), frozenset({NS1}), {NS1: frozenset({WAN})})
SEEN = Outside("NOERROR", 7)
ANSWERS = {"ns1 (8.8.4.4)": Server.GOOD}


def judged(
    own: Own = OWN, referral: Referral = GOOD, servers: Mapping[str, Server] = ANSWERS, outside: Outside = SEEN
) -> list[Finding]:
    return list(judge(own, referral, servers, outside, frozenset({WAN})))


def test_a_zone_that_the_world_finds_is_fine() -> None:
    """Delegated, glue right, answering with authority, seen with our serial."""
    assert levels(judged()) == [OK, OK, OK]


@pytest.mark.parametrize(
    ("changes", "level", "text", "remedy"),
    [
        ({"referral": Referral(GOOD.parent)}, WARNING, "homing-test.net does not delegate it", "NS ns1.home"),
        ({"referral": replace(GOOD, ns=frozenset({NS1, NS2}))}, WARNING, "only the parent names ns2.other", "the same"),
        ({"own": replace(OWN, ns=frozenset({NS1, NS2}))}, WARNING, "only the zone names ns2.other.net", "the same"),
        ({"referral": replace(GOOD, glue={NS1: frozenset()})}, ERROR, "has no glue", "set the address of ns1"),
        ({"referral": replace(GOOD, glue={NS1: frozenset({OLD})})}, ERROR, "homing-test.net is 9.9.9.9", "8.8.4.4"),
        (
            {"referral": replace(GOOD, ds=True), "own": replace(OWN, signed=False)},
            ERROR, "DS record", "remove the DS",
        ),
        ({"servers": {"ns1 (8.8.4.4)": Server.LAME}}, ERROR, "lame: ns1 (8.8.4.4)", "take the server out"),
        ({"servers": {"ns1 (8.8.4.4)": Server.SILENT}}, WARNING, "does not answer", "UDP and TCP 53"),
        ({"outside": Outside("SERVFAIL")}, ERROR, "SERVFAIL", "forward UDP and TCP 53"),
        ({"outside": Outside("NXDOMAIN")}, WARNING, "no such name (NXDOMAIN), though", "wait an hour"),
        (
            {"own": replace(OWN, addresses={NS1: frozenset({IPv4Address("192.168.1.2")})})},
            WARNING, "192.168.1.2, where the world cannot reach it", 'source = "wan"',
        ),
    ],
)  # fmt: skip
def test_each_fault_of_a_zone_has_its_remedy(changes: dict[str, object], level: Level, text: str, remedy: str) -> None:
    """One finding more than when all is well, and it says what to do."""
    finding = one(judged(**changes), level)  # type: ignore[arg-type]
    assert text in finding.text
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({"referral": Referral(why="no answer")}, SKIPPED, "delegation not known"),
        ({"outside": Outside(why="no answer")}, SKIPPED, "reachability from outside not known"),
        ({"outside": Outside("NOERROR", 6)}, NOTE, "they may remember it"),
        ({"outside": Outside("NOERROR", 9)}, NOTE, "newer than 7"),
    ],
)
def test_what_is_not_known_is_no_fault(changes: dict[str, object], level: Level, text: str) -> None:
    """Not seeing is not knowing; caches are allowed to remember."""
    found = judged(**changes)  # type: ignore[arg-type]
    assert text in one(found, level).text
    assert not {WARNING, ERROR} & set(levels(found))


def test_our_own_address_is_not_judged_from_inside() -> None:
    """A server at the WAN address that is not heard may well be heard outside."""
    assert levels(judged(servers={"ns1 (8.8.4.4)": Server.UNSEEN})) == [OK, OK]


@pytest.mark.parametrize("text", ["home.arpa", "x.home.arpa", "printers.local", "5.168.192.in-addr.arpa", "a.internal"])
def test_special_names_need_no_delegation(text: str) -> None:
    """RFC 8375 and its like: nobody delegates them."""
    assert special(parse_name(text)) is not None


def test_other_names_do() -> None:
    """A name that merely ends alike is an ordinary one."""
    assert special(parse_name("myhome.arpa")) is None
    assert special(parse_name("example.org")) is None


Table = Mapping[tuple[str, str, str], tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]]
"""By server, name and type: flags and code as words, then answer, authority, additional as lines of a master file."""

SOA = "ns1.home.homing-test.net. h.homing-test.net. {} 1 1 1 1"
NET = "homing-test.net"
HOME = "home.homing-test.net"
WORLD: Table = {
    (RESOLVER, NET, "SOA"): ("RA", (f"{NET}. 60 IN SOA a. b. 1 1 1 1 1",), (), ()),
    (RESOLVER, NET, "NS"): ("RA", (f"{NET}. 60 IN NS ns.{NET}.",), (), ()),
    (RESOLVER, f"ns.{NET}", "A"): ("RA", (f"ns.{NET}. 60 IN A {PARENT}",), (), ()),
    (RESOLVER, HOME, "SOA"): ("RA", (f"{HOME}. 60 IN SOA {SOA.format(7)}",), (), ()),
    (PARENT, HOME, "NS"): ("", (), (f"{HOME}. 60 IN NS ns1.{HOME}.",), (f"ns1.{HOME}. 60 IN A {CHILD}",)),
    (CHILD, HOME, "SOA"): ("AA", (f"{HOME}. 60 IN SOA {SOA.format(7)}",), (), ()),
}


class Answering(asyncio.DatagramProtocol):
    """One server of a world that is written down; what is not there is refused."""

    def __init__(self, host: str, table: Table) -> None:
        self._host, self._table = host, table

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        asked = query.question[0]
        response = dns.message.make_response(query)
        name = asked.name.to_text(omit_final_dot=True)
        empty = (
            "RA"
            if (self._host, name) == (RESOLVER, f"ns.{NET}") or asked.rdtype.name in ("DS", "DNSKEY", "AAAA")
            else "REFUSED"
        )
        words, *sections = self._table.get((self._host, name, asked.rdtype.name), (empty, (), (), ()))
        if words == "silent":
            return
        for word in words.split():
            if word in ("AA", "RA"):
                response.flags |= dns.flags.from_text(word)
            else:
                response.set_rcode(dns.rcode.from_text(word))
        for section, lines in zip((response.answer, response.authority, response.additional), sections, strict=True):
            for line in lines:
                owner, ttl, _, rtype, rdata = line.split(maxsplit=4)
                section.append(dns.rrset.from_text(owner, int(ttl), "IN", rtype, rdata))
        self._transport.sendto(response.to_wire(), addr)


@contextlib.asynccontextmanager
async def serving(table: Table) -> AsyncIterator[Questions]:
    """Resolver, parent and child on addresses of loopback, all at one port."""
    loop, port = asyncio.get_running_loop(), 0
    with contextlib.ExitStack() as stack:
        for host in (RESOLVER, PARENT, CHILD):
            made = functools.partial(Answering, host, table)
            transport, _ = await loop.create_datagram_endpoint(made, local_addr=(host, port))
            stack.callback(transport.close)
            port = transport.get_extra_info("sockname")[1]
        yield Questions((RESOLVER, port), port)


THERE = IPv4Address(CHILD)
HERE = Own(ORIGIN, frozenset({NS1}), {NS1: frozenset({THERE})}, 7)


async def looked(changes: Table, own: Own, wan: Address = THERE) -> list[Finding]:
    async with serving({**WORLD, **changes}) as questions:
        return await zone(own, await ask_world(own.origin, questions), questions, frozenset({wan}))


async def test_the_world_is_asked_from_the_parent_down() -> None:
    """The parent by its own servers, then the servers it names, then what a resolver gets."""
    found = await looked({}, HERE)
    assert levels(found) == [OK, OK, OK], found
    assert "delegated to ns1.home.homing-test.net" in found[0].text
    assert "our serial 7" in found[2].text


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({(PARENT, HOME, "NS"): ("AA NXDOMAIN", (), (), ())}, WARNING, "homing-test.net does not delegate it"),
        ({(PARENT, HOME, "NS"): ("AA", (), (f"{NET}. 60 IN SOA a. b. 1 1 1 1 1",), ())}, WARNING, "does not delegate"),
        ({(CHILD, HOME, "SOA"): ("REFUSED", (), (), ())}, ERROR, "lame: ns1.home.homing-test.net (127.0.0.3)"),
        ({(CHILD, HOME, "SOA"): ("RA", (f"{HOME}. 60 IN SOA {SOA.format(7)}",), (), ())}, ERROR, "lame"),
        ({(RESOLVER, HOME, "SOA"): ("RA SERVFAIL", (), (), ())}, ERROR, "SERVFAIL"),
        ({(RESOLVER, HOME, "SOA"): ("RA", (f"{HOME}. 60 IN SOA {SOA.format(5)}",), (), ())}, NOTE, "serial 5, ours"),
        ({(RESOLVER, NET, "SOA"): ("RA SERVFAIL", (), (), ())}, SKIPPED, "delegation not known"),
        ({(PARENT, HOME, "NS"): ("REFUSED", (), (), ())}, SKIPPED, "no server of homing-test.net told"),
        ({(PARENT, HOME, "DS"): ("AA", (f"{HOME}. 60 IN DS 1 8 2 {'00' * 32}",), (), ())}, ERROR, "DS record"),
        (
            {(PARENT, HOME, "NS"): ("", (), (f"{HOME}. 60 IN NS ns1.{HOME}.",), (f"ns1.{HOME}. 60 IN A {PARENT}",))},
            ERROR, "glue of ns1.home.homing-test.net is 127.0.0.2",
        ),
    ],
)  # fmt: skip
async def test_faults_are_found_by_real_questions(changes: Table, level: Level, words: str) -> None:
    """Each by what the servers answer."""
    found = await looked(changes, HERE)
    assert any(words in finding.text for finding in found if finding.level is level), found


async def test_a_zone_that_a_secondary_signs_may_have_a_ds_record() -> None:
    """What counts is what the delegated servers serve; of silent ones nothing is claimed."""
    ds: Table = {(PARENT, HOME, "DS"): ("AA", (f"{HOME}. 60 IN DS 1 8 2 {'00' * 32}",), (), ())}
    key = f"{HOME}. 60 IN DNSKEY 257 3 8 AwEAAQ=="
    signing, silent = await asyncio.gather(
        looked({**ds, (CHILD, HOME, "DNSKEY"): ("AA", (key,), (), ())}, HERE),
        looked({**ds, (CHILD, HOME, "DNSKEY"): ("silent", (), (), ())}, HERE),
    )
    assert levels(signing) == levels(silent) == [OK, OK, OK]


async def test_a_silent_server_is_no_lame_one() -> None:
    """And one at our own WAN address is not judged at all."""
    silent: Table = {(CHILD, HOME, "SOA"): ("silent", (), (), ())}
    near, far = await asyncio.gather(looked(silent, HERE), _far(silent))
    assert WARNING not in levels(near)
    assert "does not answer" in one(far, WARNING).text


async def _far(changes: Table) -> list[Finding]:
    own = replace(HERE, addresses={NS1: frozenset({IPv4Address(CHILD), OLD})})
    return await looked(changes, own, OLD)


async def test_zones_of_the_settings_are_looked_at(tmp_path: Path) -> None:
    """A special name is fine by itself; with a dead resolver nothing is claimed of the other."""
    text = "[detect]\nstun = {enabled = false}\nhttp = {enabled = false}\nwhoami = {enabled = false}\n"
    text += 'interface = {enabled = false}\n[zones."home.arpa"]\n[zones."home.homing-test.net"]\n'
    async with case_of(tmp_path, text, resolver=("127.0.0.1", 9)) as case:
        assert own_zone(case, ORIGIN) == Own(ORIGIN, frozenset({NS1}))
        found = await zones(case)
    assert levels(found) == [OK, SKIPPED, SKIPPED]
    assert found[0].check == "zone home.arpa"


def test_the_systems_resolver_is_the_first_of_the_file(tmp_path: Path) -> None:
    """resolv.conf(5); what is no address is passed over."""
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# nameserver 1.1.1.1\nsearch x\nnameserver nonsense\nnameserver fe80::1%eth0\nnameserver 9.9.9.9\n"
    )
    assert system_resolver(file) == ("fe80::1", 53)
    file.write_text("options rotate\n")
    assert system_resolver(file) is None
    assert system_resolver(tmp_path / "none") is None


SERVER = Secondary("192.0.2.1")


@pytest.mark.parametrize(
    ("heard", "ours", "level", "words"),
    [
        (7, 7, OK, "our serial 7"),
        (7, None, OK, "serial 7"),
        (6, 7, WARNING, "is behind"),
        (2**32 - 1, 1, WARNING, "is behind"),
        (9, 7, ERROR, "is ahead"),
        (None, 7, WARNING, "tells no serial"),
    ],
)
def test_secondaries_are_judged_by_their_serial(heard: int | None, ours: int | None, level: Level, words: str) -> None:
    """By serial number arithmetic (RFC 1982)."""
    finding = judge_secondary(ORIGIN, SERVER, heard, ours)
    assert finding.level is level
    assert words in finding.text
    assert bool(finding.remedy) == (level is not OK)


def test_short_keys_are_told() -> None:
    """A key of 16 octets is taken, and is shorter than RFC 8945 wants; the key itself is not shown."""
    short = judge_key(tsig_key("k", "hmac-sha256", "MDEyMzQ1Njc4OWFiY2RlZg=="))
    assert short is not None
    assert (short.level, short.check) == (WARNING, "key k")
    assert "has 16 octets, hmac-sha256 wants 32" in short.text
    assert judge_key(tsig_key("k", "hmac-sha256", KEY)) is None


@pytest.mark.peers
async def test_a_real_secondary_is_asked_with_its_key(tmp_path: Path) -> None:
    """Knot tells its serial to the right key, and nothing to a wrong one."""
    (tmp_path / "knot").mkdir()
    (tmp_path / "key").write_text(KEY)
    with updatable("knot", tmp_path / "knot") as knot:
        text = f"""
[dns]
secondaries = ["{knot.server} key {KEY_NAME}"]
keys = [{{ name = "{KEY_NAME}", algorithm = "{ALGORITHM}", secret_file = "key" }}]
[zones."example.net"]
"""
        async with case_of(tmp_path, text) as case:
            (found,) = await secondaries(case)
            assert (found.level, "serial 1" in found.text) == (OK, True)
            (tmp_path / "key").write_text(OTHER_KEY + "\n")
            (found,) = await secondaries(case)
            assert found.level is WARNING
            assert f"key {KEY_NAME} is the same on both sides" in found.remedy
