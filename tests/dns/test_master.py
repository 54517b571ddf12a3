"""Master files into zones, and what is said about mistakes in them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dns.zone
from homing.dns.master import load_zone, load_zones, read_zone
from homing.errors import ConfigError
from homing.model.name import parse_name
from homing.model.rrset import RRset, RRType
from homing.model.zone import Zone
from tests.dns.corpus import CORPUS
from tests.dns.generated import generate

ORIGIN = parse_name("example.net")
TOP = "$TTL 300\n@ SOA ns1 Admin 2026 3600 900 86400 30\n@ NS ns1\n"


def read(text: str) -> Zone:
    """The zone of a text under the usual top of three lines."""
    return read_zone(TOP + text, "example.net.zone", ORIGIN)


def found(zone: Zone, fqdn: str, rtype: int) -> RRset:
    """One RRset of a zone."""
    return zone.nodes[parse_name(fqdn)][rtype]


def test_a_zone_has_its_soa_and_records() -> None:
    """Serial, times and TTL come from the SOA, its names keep their case."""
    zone = read("www 60 IN A 192.0.2.1\n    IN 61 AAAA 2001:db8::1\n")
    assert (zone.origin, zone.serial, zone.soa.ttl, zone.soa.minimum) == (ORIGIN, 2026, 300, 30)
    assert str(zone.soa.rname) == "Admin.example.net."
    assert found(zone, "www.example.net", RRType.A).ttl == 60
    assert found(zone, "www.example.net", RRType.AAAA).ttl == 61


def test_lines_are_joined_by_parentheses_and_comments_left_out() -> None:
    """RFC 1035, section 5.1, in one record; a blank owner is the last one, a semicolon in quotes is text."""
    zone = read('t (TXT "a;b" ; remark (\n  "c" ) ; end\n)\n'.replace(") ; end\n)", ")") + "  MX 10 mail\n")
    assert found(zone, "t.example.net", RRType.TXT).rdatas == (b"\x03a;b\x01c",)
    assert found(zone, "t.example.net", 15).rdatas == (b"\0\x0a\x04mail\x07example\x03net\0",)


def test_origins_change_and_nest() -> None:
    """$ORIGIN may be relative, and @ stands for it."""
    zone = read("$ORIGIN sub\n@ A 192.0.2.1\na CNAME B\n$ORIGIN example.net.\nlast A 192.0.2.2\n")
    assert found(zone, "sub.example.net", RRType.A).values == ("192.0.2.1",)
    assert found(zone, "a.sub.example.net", RRType.CNAME).rdatas == (parse_name("B.sub.example.net").wire,)
    assert parse_name("last.example.net") in zone.nodes


def test_ttls_have_units_and_defaults() -> None:
    """1h30m is 5400 seconds; without a $TTL the TTL before is taken, and before the first the SOA's minimum."""
    zone = read_zone("@ SOA a b 1 2 3 4 77\n@ NS a\nx 1h30m A 192.0.2.1\ny A 192.0.2.1\n", "f", ORIGIN)
    assert (zone.soa.ttl, found(zone, "example.net", RRType.NS).ttl) == (77, 77)
    assert [found(zone, f"{label}.example.net", RRType.A).ttl for label in "xy"] == [5400, 5400]


def test_an_rrset_has_the_least_of_its_ttls() -> None:
    """RFC 2181, section 5.2."""
    assert found(read("x 60 A 192.0.2.1\nx 50 A 192.0.2.2\n"), "x.example.net", RRType.A).ttl == 50


def test_an_soa_without_a_ttl_takes_a_minimum_that_is_one() -> None:
    """A minimum beyond what a TTL may be (RFC 2181, section 8) still gives an SOA that can be sent."""
    zone = read_zone("@ SOA a b 1 2 3 4 4294967295\n@ 5 NS a\n", "f", ORIGIN)
    assert zone.soa_rrset.ttl == zone.negative_soa.ttl == 2**31 - 1


@pytest.mark.parametrize("word", ["1" * 60 + "x", "1h" * 30 + "x", "1" * 100_000 + "h" + "1" * 100_000 + "-"])
def test_no_word_takes_long(word: str) -> None:
    """A word that begins like a TTL is told as wrong at once."""
    began = time.process_time()
    with pytest.raises(ConfigError):
        read(f"a {word} A 192.0.2.1\n")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "data", ["TXT " + " ".join(["x" * 255] * 300), "TYPE65280 \\# 70000 " + "00" * 70_000], ids=["txt", "generic"]
)
def test_a_record_that_fits_into_no_message_is_refused(data: str) -> None:
    """More than 64,000 octets of data cannot be sent, and are told with the line."""
    with pytest.raises(ConfigError, match=r"zone:4: the data of a record is \d+ octets long; shorten"):
        read(f"big {data}\n")


def test_unknown_types_and_data_are_read() -> None:
    r"""RFC 3597, section 5: TYPE65280, and \# for known types too."""
    zone = read("u TYPE65280 \\# 3 01 0203\nu A \\# 4 c0000201\nu TYPE16 x\n")
    assert found(zone, "u.example.net", 65280).rdatas == (b"\x01\x02\x03",)
    assert found(zone, "u.example.net", RRType.A).values == ("192.0.2.1",)
    assert found(zone, "u.example.net", RRType.TXT).rdatas == (b"\x01x",)


def test_escapes_are_octets() -> None:
    r"""\. and \DDD in owners, names in rdata and texts."""
    zone = read('a\\.b\\032c CNAME x\\000\nt TXT "\\200\\"é"\n')
    (owner,) = [name for name, types in zone.nodes.items() if RRType.CNAME in types]
    assert owner.labels[0] == b"a.b c"
    assert zone.nodes[owner][RRType.CNAME].rdatas == (b"\x02x\0\x07example\x03net\0",)
    assert found(zone, "t.example.net", RRType.TXT).rdatas == (b'\x04\xc8"\xc3\xa9',)


@pytest.mark.parametrize("kind", ["DNSKEY", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "CDS", "CDNSKEY", "TYPE48"])
def test_a_signed_zone_is_refused(kind: str) -> None:
    """File, line and remedy are named, whatever the data looks like."""
    with pytest.raises(ConfigError, match=r"^example\.net\.zone:5: .*signed zone; .*sign at the secondary"):
        read(f"\n@ {kind} 1 0 10 AB\n")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("\n\n@ A 192.0.2.300\n", 6, "A record: .*; correct its data"),
        ("x MX ten mail\n", 4, "MX record"),
        ("x MX (\n10\n)\n", 4, "MX record"),
        ("x QQ y\n", 4, "'QQ' is no record type; .*RFC 3597"),
        ("x ANY y\n", 4, "class ANY is not served"),
        ("x TYPE255 y\n", 4, "not a type of data"),
        ("x CH A 192.0.2.1\n", 4, "class CH is not served; write IN"),
        ("$INCLUDE other\n", 4, r"\$INCLUDE is not followed; put the other file's records here"),
        ("$GENERATE 1-9 x$ A 192.0.2.$\n", 4, "write the records out"),
        ("www.example.org. A 192.0.2.1\n", 4, r"www\.example\.org\. is not in zone example\.net\."),
        ("a CNAME b\na A 192.0.2.1\n", 5, "CNAME beside other records; .*see line 4"),
        ("a A 192.0.2.1\na CNAME b\n", 5, "CNAME beside other records; .*see line 4"),
        ("a CNAME b\na CNAME c\n", 5, "a second CNAME; leave one; the other is in line 4"),
        ("a DNAME b\na DNAME c\n", 5, "a second DNAME"),
        ("sub SOA a b 1 2 3 4 5\n", 4, "a second SOA"),
        ('x TXT "open\n', 4, "a quotation mark stands alone"),
        ("x TXT (a\n\n\n", 4, "a parenthesis is not closed"),
        ("x TXT a)\n", 4, "a parenthesis is closed that was not opened"),
        (f"{'l' * 64} A 192.0.2.1\n", 4, "longer than 63 octets; correct the name"),
        ("ü A 192.0.2.1\n", 4, "correct the name"),
        ("x MX 1 ü\n", 4, "outside ASCII; write names as xn--"),
        ('"x" A 192.0.2.1\n', 4, "quoted"),
        ("x 9999999999 A 192.0.2.1\n", 4, "too long; at most 2147483647 seconds"),
        ("x 60\n", 4, "a record has no type"),
        ("x CNAME\n", 4, "CNAME record"),
        ("x A 192.0.2.1 192.0.2.2\n", 4, "A record"),
        ("$TTL\n", 4, r"\$TTL needs one value"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, line: int, said: str) -> None:
    """The line is that where the record begins."""
    with pytest.raises(ConfigError, match=rf"^example\.net\.zone:{line}: .*{said}"):
        read(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no SOA record"),
        ("@ 60 NS ns\n", "there is no SOA record"),
        ("@ 60 SOA a b 1 2 3 4 5\n", "has no NS record; name its servers"),
        ("x NS ns\n", "a record has no TTL; put a line like"),
        ("  A 192.0.2.1\n", "a record has no owner"),
    ],
)
def test_what_lacks_is_told(text: str, said: str) -> None:
    """A zone needs its SOA and servers, a record its owner and TTL."""
    with pytest.raises(ConfigError, match=said):
        read_zone(text, "f", ORIGIN)


def test_the_file_is_named_after_the_zone_or_says_its_origin(tmp_path: Path) -> None:
    """``NAME.zone`` begins with that origin; another file needs $ORIGIN or names with the final dot."""
    named, other = tmp_path / "example.net.zone", tmp_path / "db"
    named.write_text(TOP)
    other.write_text(TOP)
    assert load_zone(named).origin == ORIGIN
    with pytest.raises(ConfigError, match=r"db:2: '@' is relative to nothing; begin with \$ORIGIN"):
        load_zone(other)
    other.write_text("$ORIGIN example.org.\n" + TOP)
    assert load_zone(other).origin == parse_name("example.org")


def test_one_broken_file_leaves_the_others(tmp_path: Path) -> None:
    """Each file is read for itself; what is wrong comes with the file, a zone given twice is the second's fault."""
    texts = {
        "a.test.zone": TOP,
        "again": "$ORIGIN a.test.\n" + TOP,
        "b.test.zone": TOP + "x A y\n",
        "c.test.zone": "\xff",
        "d.test.zone": TOP,
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    loaded = load_zones([*(tmp_path / name for name in texts), tmp_path / "none"])
    assert [path.name for path in loaded.zones] == ["a.test.zone", "d.test.zone"]
    reasons = {path.name: str(error) for path, error in loaded.errors.items()}
    assert list(reasons) == ["again", "b.test.zone", "c.test.zone", "none"]
    assert "a.test.zone too" in reasons["again"]
    assert "b.test.zone:4: A record" in reasons["b.test.zone"]
    assert "not UTF-8" in reasons["c.test.zone"]
    assert "cannot be read: No such file" in reasons["none"]


@pytest.mark.parametrize("text", [*CORPUS.values(), *(zone.text for zone in generate(3, 7))])
def test_the_records_are_those_that_dnspython_reads(text: str) -> None:
    """Owners, types, TTLs and data of whole zones agree with dnspython's own reader."""
    origin = text.split()[1] if text.startswith("$ORIGIN") else "example."
    own = read_zone(text, "f", parse_name(origin))
    theirs = dns.zone.from_text(text, origin, relativize=False)
    records = {
        (str(name).lower(), int(rdataset.rdtype), rdataset.ttl, rdata.to_wire())
        for name, rdataset in theirs.iterate_rdatasets()
        for rdata in rdataset
    }
    ours = {
        (parse_name(str(item.name)).labels, item.type, item.ttl, rdata)
        for item in (*own.rrsets(), own.soa_rrset)
        for rdata in item.rdatas
    }
    assert {(tuple(x.lower() for x in labels), *rest) for labels, *rest in ours} == {
        (parse_name(name).key, *rest) for name, *rest in records
    }


@settings(max_examples=300)
@given(st.text(st.sampled_from('ab.$@ \t\n\\"();0123456789ASOATXTÜ\x00'), max_size=60))
def test_any_text_is_a_zone_or_a_mistake(text: str) -> None:
    """Nothing but ConfigError comes out."""
    try:
        zone = read(text)
    except ConfigError:
        return
    assert zone.origin == ORIGIN
