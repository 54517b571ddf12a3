"""Zones for corners of look-up, as master files: those of the RFCs, and a few more. The peers load them too."""

from __future__ import annotations

from homing.dns.lookup import Zones
from homing.dns.master import read_zone
from homing.model.name import parse_name
from tests.dns.zones import serving

_SOA = "$TTL 3600\n@ SOA ns1 hostmaster 1 3600 900 86400 60\n"

CORPUS = {
    # RFC 4592, section 2.2.1
    "example": _SOA
    + """
@ NS ns.example.com.
@ NS ns.example.net.
*.example. TXT "this is a wildcard"
*.example. MX 10 host1.example.
sub.*.example. TXT "this is not a wildcard"
host1.example. A 192.0.2.1
_ssh._tcp.host1.example. SRV 0 0 22 host1
_ssh._tcp.host2.example. SRV 0 0 22 host1
subdel.example. NS ns.example.com.
subdel.example. NS ns.example.net.
""",
    # A DNAME at the apex, beside SOA and NS (RFC 6672, section 2.3)
    "apex.test": _SOA
    + """
@ NS ns.example.com.
@ A 192.0.2.9
@ DNAME target.invalid.
""",
    "parent.test": _SOA
    + """
@ NS ns1
ns1 A 192.0.2.53
Child NS ns1.child
Child NS ns2.other
Child DS 12345 13 2 0123456789012345678901234567890123456789012345678901234567890123
ns1.child A 192.0.2.54
other NS ns2.other
ns2.other AAAA 2001:db8::54
hidden.other A 192.0.2.66
cut-only.deep.other NS ns1
into-other CNAME hidden.other
to-wild CNAME some.wild
*.wild CNAME www
www A 192.0.2.80
www AAAA 2001:db8::80
d DNAME www
twice CNAME x.d2
d2 DNAME wild
loop DNAME loop
Case CNAME WwW
""",
    "child.parent.test": _SOA
    + """
@ NS ns1
ns1 A 192.0.2.54
www A 192.0.2.81
""",
}

NAMES = (
    *("example", "host3.example", "foo.bar.example", "host1.example", "sub.*.example", "_telnet._tcp.host1.example"),
    *("host.subdel.example", "ghost.*.example", "*.example", "host2.example", "_tcp.host2.example", "x.host2.example"),
    *("subdel.example", "HOST3.EXAMPLE", "a.sub.*.example", "_ssh._tcp.host1.example", "a.b.host1.example"),
    *("apex.test", "a.apex.test", "a.b.apex.test", "*.apex.test"),
    *("parent.test", "child.parent.test", "www.child.parent.test", "gone.child.parent.test", "ns1.child.parent.test"),
    *("other.parent.test", "hidden.other.parent.test", "ns2.other.parent.test", "deep.other.parent.test"),
    *("cut-only.deep.other.parent.test", "x.cut-only.deep.other.parent.test", "into-other.parent.test"),
    *("to-wild.parent.test", "wild.parent.test", "a.wild.parent.test", "a.b.wild.parent.test", "*.wild.parent.test"),
    *("d.parent.test", "a.d.parent.test", "twice.parent.test", "d2.parent.test", "y.d2.parent.test"),
    *("case.parent.test", "gone.parent.test"),
)


def corpus() -> Zones:
    """All of them, served together."""
    return serving(*(read_zone(text, origin, parse_name(origin)) for origin, text in CORPUS.items()))
