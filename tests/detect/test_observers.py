"""Observers know their operators, and the built-in ones are enough for a quick verdict."""

from __future__ import annotations

import subprocess
import sys

import pytest

from homing.detect.builtin import HTTP, STUN_TCP, WHOAMI, default_observers
from homing.detect.consensus import decide
from homing.detect.observers import HttpService, StunServer, operator_of
from homing.model.address import Family, parse_address
from homing.model.observation import Method, Observation, Outcome


@pytest.mark.parametrize(
    ("host", "operator"),
    [
        ("ipv4.icanhazip.com", "cloudflare"),
        ("stun.cloudflare.com", "cloudflare"),
        ("1.1.1.1", "cloudflare"),
        ("stun.l.google.com", "google"),
        ("ns1.google.com", "google"),
        ("stun.example.co.uk", "example.co.uk"),
        ("a.b.example.org.", "example.org"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("localhost", "localhost"),
    ],
)
def test_operators_are_derived_from_hosts(host: str, operator: str) -> None:
    """The registrable domain stands for the operator; well-known ones have a name, addresses stand for themselves."""
    assert operator_of(host) == operator


def test_an_address_serves_its_own_family_only() -> None:
    """A server given by address is asked over that family."""
    assert StunServer("192.0.2.1").families == (Family.V4,)
    assert HttpService("http://[2001:db8::1]:8080/").families == (Family.V6,)
    assert StunServer("2001:db8::1").name == "[2001:db8::1]:3478/udp"


def test_names_hold_no_secrets() -> None:
    """User, password and parameters of a URL are not part of an observer's name."""
    service = HttpService("https://user:secret@ip.example.com:8443/raw?token=secret")
    assert service.name == "https://ip.example.com:8443/raw"


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("dead", [frozenset(), frozenset({"twilio", "threema"})])
def test_one_round_trip_is_enough_for_the_built_in_observers(family: Family, dead: frozenset[str]) -> None:
    """STUN and whoami answers alone settle the verdict, before any HTTP service answers, even with two dead servers."""
    address = parse_address("203.0.113.7" if family is Family.V4 else "2001:db8::7")
    asked = [one for one in default_observers() if family in one.families]
    quick = [one for one in asked if one.method in (Method.STUN, Method.WHOAMI) and one.operator not in dead]
    seen = [Observation(one.name, one.operator, one.method, family, 0, 0, address) for one in quick]
    verdict = decide(family, seen, [one.operator for one in asked if one not in quick])
    assert verdict is not None
    assert verdict.outcome is Outcome.AGREED


def test_built_in_names_are_unique_and_methods_selectable() -> None:
    """No two observers of a family share a name; a choice of methods leaves out the others."""
    for family in Family:
        names = [one.name for one in (*default_observers(), *STUN_TCP) if family in one.families]
        assert len(names) == len(set(names))
    assert {one.method for one in default_observers(frozenset({Method.HTTP}))} == {Method.HTTP}
    assert set(default_observers(frozenset({Method.WHOAMI}))) == set(WHOAMI)
    assert set(default_observers(frozenset({Method.HTTP}))) == set(HTTP)


def test_the_package_is_light() -> None:
    """Importing the package loads neither an HTTP library nor a netlink or DNS library."""
    code = "import sys, homing.detect; print([m for m in ('aiohttp', 'pyroute2', 'dns', 'rich') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
