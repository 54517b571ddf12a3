"""What the zones say, as values."""

from __future__ import annotations

import pytest

from homing.dns.lookup import MAX_CHAIN, Zones
from homing.dns.message import Rcode, RRClass
from homing.model.name import parse_name
from homing.model.rrset import RRType
from tests.dns.zones import SOA, ask, owners, sample

ZONES = sample()


def test_a_name_answers_its_rrset_with_authority() -> None:
    """An existing name and type is NOERROR, authoritative, with that RRset and nothing else."""
    said = ask(ZONES, "WWW.example.NET")
    assert (said.rcode, said.authoritative) == (Rcode.NOERROR, True)
    assert [item.values for item in said.answer] == [("192.0.2.1", "192.0.2.2")]
    assert said.authority == said.additional == ()


@pytest.mark.parametrize(
    ("fqdn", "rtype", "rcode"),
    [
        ("gone.example.net", RRType.A, Rcode.NXDOMAIN),
        ("below.www.example.net", RRType.A, Rcode.NXDOMAIN),
        ("text.example.net", RRType.A, Rcode.NOERROR),
        ("nothing.example.net", RRType.A, Rcode.NOERROR),
        ("below.nothing.example.net", RRType.ANY, Rcode.NOERROR),
        ("www.example.net", RRType.SOA, Rcode.NOERROR),
    ],
)
def test_negative_answers_carry_the_soa(fqdn: str, rtype: int, rcode: Rcode) -> None:
    """NXDOMAIN and NODATA, empty non-terminals too, carry the SOA with the negative TTL (RFC 2308)."""
    said = ask(ZONES, fqdn, rtype)
    assert (said.rcode, said.answer, said.authoritative) == (rcode, (), True)
    (soa,) = said.authority
    assert (soa.name.text, soa.type, soa.ttl) == ("example.net", RRType.SOA, SOA.minimum)


def test_the_apex_answers_its_soa_with_its_own_ttl() -> None:
    """The SOA that was asked for has the SOA's TTL and the serial of the zone."""
    (soa,) = ask(ZONES, "example.net", RRType.SOA).answer
    assert soa.ttl == SOA.ttl
    assert int.from_bytes(soa.rdatas[0][-20:-16]) == 2026


def test_name_servers_come_with_their_glue() -> None:
    """NS at the apex brings the addresses of the servers inside the zone."""
    said = ask(ZONES, "example.net", RRType.NS)
    assert owners(said.answer) == [("example.net", RRType.NS)]
    assert owners(said.additional) == [("ns1.example.net", RRType.A), ("ns1.example.net", RRType.AAAA)]


def test_the_longest_origin_wins() -> None:
    """A name in two zones is answered from the lower one, whether it exists there or not."""
    assert ask(ZONES, "www.sub.example.net").answer[0].values == ("198.51.100.1",)
    assert ask(ZONES, "gone.sub.example.net").authority[0].name.text == "sub.example.net"


def test_a_cname_is_followed_and_its_target_answered() -> None:
    """A CNAME comes first, then what its target holds, in whichever zone is served here."""
    said = ask(ZONES, "alias.example.net")
    assert owners(said.answer) == [("alias.example.net", RRType.CNAME), ("www.example.net", RRType.A)]
    assert owners(ask(ZONES, "far.example.net").answer)[-1] == ("www.other.test", RRType.A)


@pytest.mark.parametrize("rtype", [RRType.CNAME, RRType.ANY])
def test_a_cname_asked_for_is_not_followed(rtype: int) -> None:
    """CNAME and ANY get the CNAME itself (RFC 8482, section 4.2)."""
    assert owners(ask(ZONES, "alias.example.net", rtype).answer) == [("alias.example.net", RRType.CNAME)]


def test_a_cname_to_elsewhere_ends_with_noerror() -> None:
    """A target outside the zones is left to the resolver."""
    said = ask(ZONES, "outside.example.net")
    assert (said.rcode, owners(said.answer), said.authority) == (
        Rcode.NOERROR,
        [("outside.example.net", RRType.CNAME)],
        (),
    )


def test_a_cname_to_nothing_is_nxdomain_of_the_target() -> None:
    """The code is that of the last name of the chain (RFC 6604, section 3)."""
    said = ask(ZONES, "dangling.example.net")
    assert (said.rcode, len(said.answer), len(said.authority)) == (Rcode.NXDOMAIN, 1, 1)


def test_a_loop_of_cnames_ends() -> None:
    """Each CNAME of a loop is told once."""
    said = ask(ZONES, "loop1.example.net")
    assert (said.rcode, len(said.answer)) == (Rcode.NOERROR, 2)


def test_a_long_chain_is_cut() -> None:
    """No more than eight CNAMEs are followed."""
    assert len(ask(ZONES, "c0.example.net").answer) == MAX_CHAIN == 8
    assert ask(ZONES, "c13.example.net").rcode is Rcode.NXDOMAIN


@pytest.mark.parametrize("fqdn", ["www.example.net", "example.net"])
def test_any_gets_one_hinfo(fqdn: str) -> None:
    """ANY is answered by a synthesized HINFO (RFC 8482, section 4.2)."""
    (found,) = ask(ZONES, fqdn, RRType.ANY).answer
    assert (found.type, found.rdatas) == (RRType.HINFO, (b"\x07RFC8482\x00",))


def test_any_of_a_missing_name_is_nxdomain() -> None:
    """ANY does not make a name exist."""
    assert ask(ZONES, "gone.example.net", RRType.ANY).rcode is Rcode.NXDOMAIN


@pytest.mark.parametrize("cls", [0, 3, 4, 254])
def test_other_classes_are_refused(cls: int) -> None:
    """CHAOS, Hesiod, NONE and unknown classes are refused, inside the zone too."""
    assert ask(ZONES, "www.example.net", cls=cls).rcode is Rcode.REFUSED


def test_class_any_is_answered_without_authority() -> None:
    """Class ANY is answered from IN, never authoritatively (RFC 1035, section 6.2)."""
    said = ask(ZONES, "www.example.net", cls=RRClass.ANY)
    assert (said.rcode, said.authoritative, len(said.answer)) == (Rcode.NOERROR, False, 1)


@pytest.mark.parametrize("fqdn", ["example.org", "net", ".", "notexample.net"])
def test_names_outside_are_refused(fqdn: str) -> None:
    """A name in none of the zones is refused."""
    assert ask(ZONES, fqdn).rcode is Rcode.REFUSED


@pytest.mark.parametrize("rtype", [251, 252])
def test_transfers_are_refused(rtype: int) -> None:
    """IXFR and AXFR are refused."""
    assert ask(ZONES, "example.net", rtype).rcode is Rcode.REFUSED


def test_an_awaited_zone_is_servfail_and_what_is_outside_refused() -> None:
    """A zone that shall be served but is not known yet fails, for that zone only."""
    zones = Zones(awaited=frozenset((parse_name("example.net"),)))
    assert ask(zones, "www.example.net").rcode is Rcode.SERVFAIL
    assert ask(zones, "www.example.org").rcode is Rcode.REFUSED
