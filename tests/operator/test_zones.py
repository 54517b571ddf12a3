"""What a Zone says becomes what is served, and who may follow it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from homing.dns.transfers.tsig import Key, tsig_key
from homing.kube.kinds.zone import ZoneSpec
from homing.model.name import parse_name
from homing.model.rrset import type_name
from homing.operator.entry import Unready
from homing.operator.zones import Follow, follow_of, shown_lag, template_of

KEY = "c2VjcmV0IG9mIHRoZSB0ZXN0cyB3aXRoIDMyIGJ5dGVzISE="


def spec(*records: dict[str, Any], **more: Any) -> ZoneSpec:
    """The spec of example.net with a name server inside."""
    servers = [{"name": "ns1.example.net", "addresses": ["192.0.2.53", "2001:db8::53"]}, {"name": "ns.example.org"}]
    return msgspec.convert(
        {"origin": "example.net", "nameServers": servers, "records": records, **more}, ZoneSpec, strict=False
    )


def served(*records: dict[str, Any], **more: Any) -> set[tuple[str, str, int, tuple[str, ...]]]:
    """Name, type, TTL and data of the records that come of it, apart from those of the name servers."""
    found = template_of(spec(*records, **more)).static
    return {
        (item.name.text, type_name(item.type), item.ttl, tuple(rdata.hex() for rdata in item.rdatas))
        for item in found
        if item.name.text != "ns1.example.net" and type_name(item.type) != "NS"
    }


def problem(*records: dict[str, Any], **more: Any) -> str:
    """What is wrong."""
    with pytest.raises(Unready) as refused:
        template_of(spec(*records, **more))
    return f"{refused.value.reason}: {refused.value}"


def test_the_soa_comes_of_the_spec() -> None:
    """The first name server is the primary unless another is named; an address of mail becomes a name."""
    plain = template_of(spec())
    assert (plain.soa.mname.text, plain.soa.rname.text) == ("ns1.example.net", "hostmaster.example.net")
    assert (plain.soa.refresh, plain.soa.retry, plain.soa.expire, plain.soa.minimum, plain.soa.ttl) == (
        3600,
        900,
        86400,
        30,
        300,
    )
    soa = {
        "primary": "hidden.example.org",
        "email": "dns.admin@example.org",
        "expireSeconds": 7,
        "negativeTTLSeconds": 5,
    }
    other = template_of(spec(soa=soa, ttlSeconds=60))
    assert other.soa.mname.text == "hidden.example.org"
    assert other.soa.rname.labels[0] == b"dns.admin"
    assert (other.soa.expire, other.soa.minimum, other.soa.ttl) == (7, 5, 60)


def test_name_servers_and_their_glue() -> None:
    """NS names all servers, addresses are served of those inside only."""
    found = {(item.name.text, type_name(item.type)): item for item in template_of(spec()).static}
    assert set(found) == {("example.net", "NS"), ("ns1.example.net", "A"), ("ns1.example.net", "AAAA")}
    assert len(found["example.net", "NS"].rdatas) == 2


def test_records_of_every_type() -> None:
    """As a master file has them: relative names, the TTL of the zone or their own, unknown types by number."""
    assert served(
        {"name": "@", "type": "TXT", "values": ['"a; b" c'], "ttlSeconds": 0},
        {"name": "*.apps", "type": "CNAME", "values": ["www"]},
        {"name": "x", "type": "TYPE65280", "values": ["\\# 2 abcd"]},
        {"name": "www", "type": "A", "values": ["192.0.2.1", "192.0.2.2"]},
        ttlSeconds=60,
    ) == {
        ("example.net", "TXT", 0, ((b"\x04a; b\x01c").hex(),)),
        ("*.apps.example.net", "CNAME", 60, (parse_name("www.example.net").wire.hex(),)),
        ("x.example.net", "TYPE65280", 60, ("abcd",)),
        ("www.example.net", "A", 60, ("c0000201", "c0000202")),
    }


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([{"name": "m", "type": "MX", "values": ["mail"]}], "record m MX, value 'mail'"),
        ([{"name": "t", "type": "TXT", "values": ["v=spf1; all"]}], "a semicolon"),
        ([{"name": "t", "type": "TXT", "values": ["a\nevil A 192.0.2.9"]}], "the end of a line"),
        ([{"name": "t", "type": "TXT", "values": ["( a"]}], "a parenthesis is not closed"),
        ([{"name": "t", "type": "NOTYPE", "values": ["a"]}], "'NOTYPE' is no record type"),
        ([{"name": "s", "type": "RRSIG", "values": ["a"]}], "signed zone"),
        (
            [{"name": "w", "type": "CNAME", "values": ["a"]}, {"name": "w", "type": "A", "values": ["192.0.2.1"]}],
            "w.example.net. has a CNAME beside other records",
        ),
        ([{"name": "ns1", "type": "A", "values": ["192.0.2.1"]}], "ns1.example.net. A is given twice"),
        ([{"name": "a" * 64, "type": "A", "values": ["192.0.2.1"]}], "label"),
    ],
)
def test_what_cannot_be_served_is_told(records: list[dict[str, Any]], told: str) -> None:
    """With the record and the value."""
    found = problem(*records)
    assert found.startswith("InvalidRecords: ")
    assert told in found


def follow(known: bool = True, **more: Any) -> Follow:
    """Who follows, with the key k or without."""

    def read(_: int) -> Key:
        if not known:
            raise Unready("SecretNotFound", "there is no Secret a/b")
        return tsig_key("k", "hmac-sha256", KEY)

    return follow_of(spec(**more), read)


KEYS = [{"name": "k", "secretRef": {"namespace": "a", "name": "b"}}]


def test_secondaries_and_rules() -> None:
    """Each with its key; a network may have bits of a host; nothing said is no policy of its own."""
    found = follow(
        tsigKeys=KEYS,
        secondaries=[{"address": "192.0.2.1", "tsigKeyName": "k"}, {"address": "2001:db8::1", "port": 5353}],
        transfers=[{"network": "192.0.2.9/24", "tsigKeyName": "k"}, {"network": "198.51.100.1"}],
    )
    assert found.policy is not None
    assert [(str(item), item.key is not None) for item in found.policy.secondaries] == [
        ("192.0.2.1:53", True),
        ("[2001:db8::1]:5353", False),
    ]
    assert [(str(rule.networks[0]), rule.key is not None) for rule in found.policy.others] == [
        ("192.0.2.0/24", True),
        ("198.51.100.1/32", False),
    ]
    assert follow().policy is None


def test_whoever_needs_an_unknown_key_is_left_out() -> None:
    """Nothing is sent or allowed unsigned in its stead, and it is told."""
    found = follow(
        known=False,
        tsigKeys=KEYS,
        secondaries=[{"address": "192.0.2.1", "tsigKeyName": "k"}],
        transfers=[{"network": "0.0.0.0/0", "tsigKeyName": "k"}, {"tsigKeyName": "k"}],
    )
    assert found.policy is not None
    assert (found.policy.secondaries, found.policy.others, found.keys) == ((), (), ())
    assert found.problem is not None
    assert found.problem.reason == "SecretNotFound"


@pytest.mark.parametrize(("lag", "told"), [(0.0, 0), (0.2, 1), (1.9, 1), (7.0, 4), (100.0, 64)])
def test_a_lag_that_grows_is_seldom_told(lag: float, told: int) -> None:
    """Rounded down to a power of two, and never to nothing."""
    assert shown_lag(lag) == told
