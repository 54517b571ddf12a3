"""The queries by which RFC 8906, section 8, tests a server, sent by the client it names and by Knot's."""

from __future__ import annotations

import re

import pytest

from tests.dns.test_peers import SETUP, client
from tests.dns.test_server import full, running

pytestmark = pytest.mark.peers

SOA = "IN\tSOA\tns1.example.net."
EDNS = "EDNS: version: 0"
DO = "flags: do;"
MBZ = "MBZ"
OPTION = "OPT=100"
RRSIG = "RRSIG"

TIMES = 3
"""Each query is sent so often: what was answered once takes another way through the server the next time."""


@pytest.mark.parametrize(
    ("command", "status", "flags", "present", "absent"),
    [
        ("+noedns +noad +norec soa example.net", "NOERROR", "qr aa", [SOA], [EDNS]),
        ("+noedns +noad +norec type1000 example.net", "NOERROR", "qr aa", ["ANSWER: 0"], [EDNS]),
        ("+noedns +noad +norec +cd soa example.net", "NOERROR", "qr aa", [SOA], [EDNS]),
        ("+noedns +norec +ad soa example.net", "NOERROR", "qr aa", [SOA], [EDNS]),
        ("+noedns +noad +norec +zflag soa example.net", "NOERROR", "qr aa", [SOA], [EDNS, MBZ]),
        ("+noedns +noad +rec soa example.net", "NOERROR", "qr aa rd", [SOA], [EDNS]),
        ("+noedns +noad +opcode=15 +norec +header-only", "NOTIMP", "qr", [], [SOA, EDNS]),
        ("+noedns +noad +norec +tcp soa example.net", "NOERROR", "qr aa", [SOA], [EDNS]),
        ("+nocookie +edns=0 +noad +norec soa example.net", "NOERROR", "qr aa", [SOA, EDNS], []),
        ("+nocookie +edns=1 +noednsneg +noad +norec soa example.net", "BADVERS", "qr", [EDNS], [SOA]),
        ("+nocookie +edns=0 +noad +norec +ednsopt=100 soa example.net", "NOERROR", "qr aa", [SOA, EDNS], [OPTION]),
        ("+nocookie +edns=0 +noad +norec +ednsflags=0x40 soa example.net", "NOERROR", "qr aa", [SOA, EDNS], [MBZ]),
        ("+nocookie +edns=1 +noednsneg +noad +norec +ednsflags=0x40 soa example.net", "BADVERS", "qr", [EDNS], [MBZ]),
        ("+nocookie +edns=1 +noednsneg +noad +norec +ednsopt=100 soa example.net", "BADVERS", "qr", [EDNS], [OPTION]),
        ("+norec +dnssec +bufsize=512 +ignore dnskey example.net", "NOERROR", "qr aa", [EDNS], []),
        ("+norec +noad +dnssec +bufsize=512 +ignore a many.example.net", "NOERROR", "qr aa tc", [EDNS], []),
        ("+nocookie +edns=0 +noad +norec +dnssec soa example.net", "NOERROR", "qr aa", [SOA, EDNS, DO], [RRSIG]),
        ("+nocookie +edns=1 +noednsneg +noad +norec +dnssec soa example.net", "BADVERS", "qr", [EDNS, DO], [SOA]),
        (
            "+edns=0 +noad +norec +cookie +nsid +expire +subnet=0.0.0.0/0 soa example.net",
            "NOERROR",
            "qr aa",
            [SOA, EDNS, "(good)", "NSID"],
            [],
        ),
        ("+noedns +noad +norec a gone.example.net", "NXDOMAIN", "qr aa", ["IN\tSOA"], []),
        ("+noedns +noad +norec a www.example.org", "REFUSED", "qr", [], [SOA]),
        ("+noedns +noad +norec +opcode=notify soa example.net", "REFUSED", "qr", [], [SOA]),
        ("+noedns +noad +norec +opcode=update soa example.net", "REFUSED", "qr", [], [SOA]),
        ("+nocookie +noad +norec +header-only", "FORMERR", "qr", [EDNS], []),
        ("+noedns +noad +norec +header-only", "FORMERR", "qr", [], [EDNS]),
    ],
)
async def test_dig_gets_what_the_rfc_expects(
    command: str, status: str, flags: str, present: list[str], absent: list[str]
) -> None:
    """Code and flags, what must be in the response and what must not; dig complains of nothing, however often."""
    async with running(full(), setup=SETUP) as (_, address, _, _):
        for _ in range(TIMES):
            printed = await client("dig", address, "+time=2", "+tries=1", *command.split())
            said = printed.partition(";; Got answer:")[2]
            assert f"status: {status}," in said
            assert re.search(rf";; flags: {flags};", said), said
            for text in present:
                assert text in said
            for text in absent:
                assert text not in said
            assert "WARN" not in printed.upper().replace("WARNING: RECURSION REQUESTED BUT NOT AVAILABLE", "")
            assert "malformed" not in printed.lower()


@pytest.mark.parametrize(
    ("command", "status", "flags"),
    [
        ("+noedns +norec soa example.net", "NOERROR", "qr aa"),
        ("+noedns +norec type1000 example.net", "NOERROR", "qr aa"),
        ("+noedns +norec +cdflag soa example.net", "NOERROR", "qr aa"),
        ("+noedns +norec +adflag soa example.net", "NOERROR", "qr aa"),
        ("+noedns +norec +zflag soa example.net", "NOERROR", "qr aa"),
        ("+noedns +rec soa example.net", "NOERROR", "qr aa rd"),
        ("+noedns +norec +tcp soa example.net", "NOERROR", "qr aa"),
        ("+edns=0 +norec soa example.net", "NOERROR", "qr aa"),
        ("+edns=1 +norec soa example.net", "BADVERS", "qr"),
        ("+edns=0 +norec +ednsopt=100 soa example.net", "NOERROR", "qr aa"),
        ("+edns=1 +norec +ednsopt=100 soa example.net", "BADVERS", "qr"),
        ("+norec +dnssec +bufsize=512 +ignore a many.example.net", "NOERROR", "qr aa tc"),
        ("+norec +dnssec soa example.net", "NOERROR", "qr aa"),
        ("+edns=1 +norec +dnssec soa example.net", "BADVERS", "qr"),
        ("+norec +cookie +nsid +expire +subnet=0.0.0.0/0 +padding=128 soa example.net", "NOERROR", "qr aa"),
    ],
)
async def test_kdig_gets_what_the_rfc_expects(command: str, status: str, flags: str) -> None:
    """The same by Knot's client, without a warning."""
    async with running(full(), setup=SETUP) as (_, address, _, _):
        for _ in range(TIMES):
            printed = await client("kdig", address, "+time=2", "+retry=0", *command.split())
            assert f"status: {status};" in printed
            assert f"Flags: {flags};" in printed
            assert "WARNING" not in printed
            assert ("EDNS PSEUDOSECTION" in printed) is ("+noedns" not in command)
