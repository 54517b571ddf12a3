"""A zone to ask about, and short ways to ask."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv6Address

import dns.message
import dns.rcode
import dns.rdatatype

from homing.dns.lookup import Zones, answer
from homing.dns.message import Answer, Question, Rcode, RRClass
from homing.dns.respond import respond
from homing.dns.server import DnsServer
from homing.dns.stats import Transport
from homing.model.name import Name, parse_name
from homing.model.rrset import RRset, RRType, address_rrsets, rrset, txt_rdata
from homing.model.zone import Soa, Zone, zone

ORIGIN = parse_name("example.net")
SOA = Soa(parse_name("ns1.example.net"), parse_name("admin.example.net"), ttl=300, minimum=30)
SERIAL = 2026


def addresses(fqdn: str, *texts: str, ttl: int = 60) -> tuple[RRset, ...]:
    """The RRsets of a name with these addresses."""
    return address_rrsets(parse_name(fqdn), ttl, [IPv6Address(t) if ":" in t else IPv4Address(t) for t in texts])


def alias(fqdn: str, target: str) -> RRset:
    """A CNAME."""
    return rrset(parse_name(fqdn), RRType.CNAME, 60, [parse_name(target).wire])


RRSETS = (
    rrset(ORIGIN, RRType.NS, 300, [parse_name("ns1.example.net").wire, parse_name("ns.example.org").wire]),
    *addresses("ns1.example.net", "192.0.2.53", "2001:db8::53"),
    *addresses("www.example.net", "192.0.2.1", "192.0.2.2", "2001:db8::1"),
    *addresses("deep.below.nothing.example.net", "192.0.2.3"),
    rrset(parse_name("text.example.net"), RRType.TXT, 60, [txt_rdata(b"hello", b"world")]),
    rrset(parse_name("odd.example.net"), 65280, 60, [b"\x01\x02\x03"]),
    rrset(parse_name("mail.example.net"), 15, 60, [b"\x00\x0a" + parse_name("www.example.net").wire]),
    alias("alias.example.net", "WWW.Example.net"),
    alias("far.example.net", "www.other.test"),
    alias("outside.example.net", "www.example.org"),
    alias("dangling.example.net", "gone.example.net"),
    alias("loop1.example.net", "loop2.example.net"),
    alias("loop2.example.net", "loop1.example.net"),
    *(alias(f"c{i}.example.net", f"c{i + 1}.example.net") for i in range(20)),
    *addresses("many.example.net", *(f"192.0.2.{i}" for i in range(1, 100))),
    *addresses("crowd.example.net", *(f"2001:db8::{i:x}" for i in range(5000))),
)


def sample() -> Zones:
    """``example.net``, ``sub.example.net`` and ``other.test``."""
    own = zone(ORIGIN, SERIAL, SOA, RRSETS)
    sub = zone(parse_name("sub.example.net"), 1, SOA, addresses("www.sub.example.net", "198.51.100.1"))
    other = zone(parse_name("other.test"), 1, SOA, addresses("www.other.test", "198.51.100.2"))
    return serving(own, sub, other)


def serving(*zones: Zone) -> Zones:
    """These zones and no others."""
    return Zones({item.origin: item for item in zones})


def ask(zones: Zones, fqdn: str, rtype: int = RRType.A, cls: int = RRClass.IN) -> Answer:
    """What the zones say."""
    return answer(zones, Question(parse_name(fqdn), rtype, cls))


def owners(rrsets: tuple[RRset, ...]) -> list[tuple[str, int]]:
    """Names and types."""
    return [(item.name.text, item.type) for item in rrsets]


def exchange(zones: Zones, query: dns.message.Message, *, udp: bool = True) -> dns.message.Message:
    """A query built by dnspython, answered here, the response read by dnspython."""
    reply = respond(query.to_wire(), zones, udp=udp)
    assert reply is not None
    return dns.message.from_wire(reply.message, ignore_trailing=False)


def names(zones: Zones) -> list[Name]:
    """Every name that exists in the zones."""
    return [name for item in zones.loaded.values() for name in item.nodes]


class Seen:
    """What a server counted so far, by transport and response code (None: no response)."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def counts(self) -> Counter[tuple[Transport, Rcode | None]]:
        """The counts of this moment."""
        found: Counter[tuple[Transport, Rcode | None]] = Counter()
        for seen, count in self._server.stats.queries.items():
            found[seen.transport, seen.rcode] += count
        return found

    def total(self) -> int:
        """All queries."""
        return self._server.stats.queries.total()

    def __getitem__(self, key: tuple[Transport, Rcode | None]) -> int:
        return self.counts()[key]
