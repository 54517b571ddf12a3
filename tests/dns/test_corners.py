"""Wildcards, DNAMEs, delegations, DS: what the zones say, by the examples of the RFCs."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from homing.dns.lookup import MAX_CHAIN
from homing.dns.master import read_zone
from homing.dns.message import Rcode, RRClass, read_name
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType
from tests.dns.corpus import corpus
from tests.dns.zones import ask, exchange, owners, serving

ZONES = corpus()
MX, SRV, TXT = 15, 33, 16
SOA = "$TTL 60\n@ SOA ns hostmaster 1 3600 900 86400 60\n@ NS ns.example.org.\n"


def target(alias: RRset) -> str:
    """Where a CNAME, or DNAME, leads."""
    return str(read_name(alias.rdatas[0], 0)[0])


@pytest.mark.parametrize(
    ("fqdn", "rtype"), [("host3.example", MX), ("foo.bar.example", TXT), ("*.example", TXT), ("Ghost.Example", MX)]
)
def test_a_wildcard_answers_for_names_that_do_not_exist(fqdn: str, rtype: int) -> None:
    """The owner is the name that was asked for, in its case (RFC 4592, section 2.2.1)."""
    said = ask(ZONES, fqdn, rtype)
    assert (said.rcode, said.authoritative) == (Rcode.NOERROR, True)
    assert [(item.name.labels, item.type) for item in said.answer] == [(parse_name(fqdn).labels, rtype)]


@pytest.mark.parametrize(
    ("fqdn", "rtype", "rcode"),
    [
        ("host3.example", RRType.A, Rcode.NOERROR),
        ("host1.example", MX, Rcode.NOERROR),
        ("sub.*.example", MX, Rcode.NOERROR),
        ("_telnet._tcp.host1.example", SRV, Rcode.NXDOMAIN),
        ("ghost.*.example", MX, Rcode.NXDOMAIN),
        ("host2.example", TXT, Rcode.NOERROR),
        ("_tcp.host2.example", TXT, Rcode.NOERROR),
        ("x.host2.example", TXT, Rcode.NXDOMAIN),
    ],
)
def test_a_wildcard_stops_at_what_exists(fqdn: str, rtype: int, rcode: Rcode) -> None:
    """Names that exist, empty non-terminals too, block it, for themselves and all below (RFC 4592, section 2.2.1)."""
    said = ask(ZONES, fqdn, rtype)
    assert (said.rcode, said.answer, owners(said.authority)) == (rcode, (), [("example", RRType.SOA)])


def test_a_wildcard_without_records_covers_with_nothing() -> None:
    """An asterisk that is an empty non-terminal makes NODATA of the names it covers (RFC 4592, section 4.9)."""
    zones = serving(read_zone(f"{SOA}a.*.b A 192.0.2.1\n", "f", parse_name("example.net")))
    assert ask(zones, "x.b.example.net").rcode is Rcode.NOERROR
    assert ask(zones, "x.c.example.net").rcode is Rcode.NXDOMAIN


def test_a_wildcard_cname_is_followed() -> None:
    """Its owner is the name asked for, its target is looked up (RFC 4592, section 4.4)."""
    said = ask(ZONES, "to-wild.parent.test")
    assert owners(said.answer) == [
        ("to-wild.parent.test", RRType.CNAME),
        ("some.wild.parent.test", RRType.CNAME),
        ("www.parent.test", RRType.A),
    ]


@pytest.mark.parametrize(
    ("fqdn", "owner", "to", "result"),
    [
        ("com", "example.com", "example.net", None),
        ("example.com", "example.com", "example.net", None),
        ("a.example.com", "example.com", "example.net", "a.example.net."),
        ("a.b.example.com", "example.com", "example.net", "a.b.example.net."),
        ("ab.example.com", "b.example.com", "example.net", None),
        ("foo.example.com", "example.com", "example.net", "foo.example.net."),
        ("a.x.example.com", "x.example.com", "example.net", "a.example.net."),
        ("a.example.com", "example.com", "y.example.net", "a.y.example.net."),
        ("cyc.example.com", "example.com", "example.com", "cyc.example.com."),
        ("cyc.example.com", "example.com", "c.example.com", "cyc.c.example.com."),
        ("shortloop.x.x", "x", ".", "shortloop.x."),
        ("shortloop.x", "x", ".", "shortloop."),
    ],
)
def test_the_dname_table_of_the_rfc(fqdn: str, owner: str, to: str, result: str | None) -> None:
    """RFC 6672, section 2.2, table 1: what a DNAME substitutes, told as a CNAME with the TTL of the DNAME."""
    origin = Name(parse_name(owner).labels[-1:])
    zones = serving(read_zone(f"{SOA}{owner}. 77 DNAME {to if to == '.' else to + '.'}\n", "f", origin))
    said = ask(zones, fqdn, TXT)
    if result is None:
        assert said.answer == ()
    else:
        dname, cname = said.answer[:2]
        assert (str(dname.name), dname.type, target(dname)) == (f"{owner}.", RRType.DNAME, str(parse_name(to)))
        assert (str(cname.name), cname.ttl, target(cname)) == (f"{fqdn}.", 77, result)


def test_a_dname_asked_for_is_given() -> None:
    """At its owner the DNAME, and what stands beside it, is answered as any other record."""
    (found,) = ask(ZONES, "apex.test", RRType.DNAME).answer
    assert found.type == RRType.DNAME
    assert ask(ZONES, "apex.test").answer[0].values == ("192.0.2.9",)


def test_a_name_that_a_dname_makes_too_long_is_yxdomain() -> None:
    """YXDOMAIN with the DNAME (RFC 6672, section 2.2)."""
    long = ".".join(["t" * 63] * 3)
    zones = serving(read_zone(f"{SOA}d DNAME {long}.invalid.\n", "f", parse_name("example.net")))
    said = ask(zones, f"{'l' * 60}.d.example.net")
    assert (said.rcode, said.authoritative, said.authority) == (Rcode.YXDOMAIN, True, ())
    assert owners(said.answer) == [("d.example.net", RRType.DNAME)]
    response = exchange(zones, dns.message.make_query(f"{'l' * 60}.d.example.net", "A"))
    assert response.rcode() == dns.rcode.YXDOMAIN


@pytest.mark.parametrize("rtype", [RRType.CNAME, RRType.ANY])
def test_a_cname_of_a_dname_is_not_followed_when_asked_for(rtype: int) -> None:
    """The question for CNAME is answered by the one that the DNAME makes."""
    assert owners(ask(ZONES, "y.d2.parent.test", rtype).answer) == [
        ("d2.parent.test", RRType.DNAME),
        ("y.d2.parent.test", RRType.CNAME),
    ]


def test_a_dname_that_leads_below_itself_ends() -> None:
    """The chain is cut after eight, and the DNAME told once."""
    zones = serving(read_zone(f"{SOA}d DNAME a.d\n", "f", parse_name("example.net")))
    said = ask(zones, "x.d.example.net")
    assert [item.type for item in said.answer] == [RRType.DNAME] + [RRType.CNAME] * MAX_CHAIN
    assert len(ask(ZONES, "x.loop.parent.test").answer) == 2


def test_what_stands_below_a_dname_is_hidden() -> None:
    """Records below a DNAME are never answered (RFC 6672, section 2.4)."""
    zones = serving(read_zone(f"{SOA}d DNAME other.test.\nx.d A 192.0.2.1\n", "f", parse_name("example.net")))
    assert [item.type for item in ask(zones, "x.d.example.net").answer] == [RRType.DNAME, RRType.CNAME]


@pytest.mark.parametrize("fqdn", ["other.parent.test", "hidden.other.parent.test", "cut-only.deep.other.parent.test"])
@pytest.mark.parametrize("rtype", [RRType.A, RRType.NS, RRType.ANY, RRType.SOA])
def test_a_delegation_is_a_referral(fqdn: str, rtype: int) -> None:
    """NS in the authority section, glue in the additional, no AA, whatever hides below (RFC 1034, section 4.3.2)."""
    said = ask(ZONES, fqdn, rtype)
    assert (said.rcode, said.authoritative, said.answer) == (Rcode.NOERROR, False, ())
    assert owners(said.authority) == [("other.parent.test", RRType.NS)]
    assert owners(said.additional) == [("ns2.other.parent.test", RRType.AAAA)]


def test_a_chain_into_a_delegation_keeps_its_authority() -> None:
    """The CNAME is ours, what it leads to is not: AA is about the first name (RFC 1035, section 4.1.1)."""
    said = ask(ZONES, "into-other.parent.test")
    assert said.authoritative
    assert (owners(said.answer), owners(said.authority)) == (
        [("into-other.parent.test", RRType.CNAME)],
        [("other.parent.test", RRType.NS)],
    )


def test_ds_is_answered_by_the_parent() -> None:
    """At a delegation, with AA, also where the child is served here as well (RFC 4035, section 3.1.4.1)."""
    said = ask(ZONES, "child.parent.test", RRType.DS)
    assert (said.authoritative, owners(said.answer)) == (True, [("child.parent.test", RRType.DS)])
    said = ask(ZONES, "other.parent.test", RRType.DS)
    assert (said.authoritative, owners(said.authority)) == (True, [("parent.test", RRType.SOA)])
    assert not ask(ZONES, "hidden.other.parent.test", RRType.DS).authoritative


def test_ds_of_a_zone_whose_parent_is_elsewhere_is_nodata() -> None:
    """The child says it has none (RFC 4035, section 3.1.4.1)."""
    assert owners(ask(ZONES, "parent.test", RRType.DS).authority) == [("parent.test", RRType.SOA)]


def test_the_child_answers_for_itself() -> None:
    """Where both are served the longest match wins over the delegation."""
    assert ask(ZONES, "www.child.parent.test").answer[0].values == ("192.0.2.81",)
    assert ask(ZONES, "gone.child.parent.test").authority[0].name.text == "child.parent.test"


def test_class_any_of_a_chain_into_a_delegation_has_no_authority() -> None:
    """Class ANY is never authoritative (RFC 1035, section 6.2)."""
    assert not ask(ZONES, "into-other.parent.test", cls=RRClass.ANY).authoritative


def test_the_root_can_be_served() -> None:
    """A zone at the root answers and delegates like any other."""
    zones = serving(read_zone(f"{SOA}net NS ns.net\nns.net A 192.0.2.1\n*.org A 192.0.2.2\n", "f", Name(())))
    assert owners(ask(zones, "www.example.net").authority) == [("net", RRType.NS)]
    assert ask(zones, "a.b.org").answer[0].values == ("192.0.2.2",)
    assert ask(zones, ".", RRType.DS).authoritative
    assert ask(zones, "gone").rcode is Rcode.NXDOMAIN


def test_the_case_of_a_target_is_kept_in_the_response() -> None:
    """The question's case comes back with the owner, the zone's case with the target."""
    response = exchange(ZONES, dns.message.make_query("cAsE.parent.test", "A"))
    assert response.answer[0].to_text() == "cAsE.parent.test. 3600 IN CNAME WwW.parent.test."


def test_a_referral_without_room_for_its_glue_says_so() -> None:
    """TC, so that the client comes back by TCP, where all of it is (RFC 9471, section 3.1)."""
    servers = "".join(f"sub NS {'n' * 50}{i}.sub\n{'n' * 50}{i}.sub AAAA 2001:db8::{i}\n" for i in range(6))
    zones = serving(read_zone(SOA + servers, "f", parse_name("example.net")))
    query = dns.message.make_query("www.sub.example.net", "A", use_edns=False)
    response = exchange(zones, query)
    assert response.flags & dns.flags.TC
    full = exchange(zones, query, udp=False)
    assert not full.flags & dns.flags.TC
    assert len(full.additional) == 6
