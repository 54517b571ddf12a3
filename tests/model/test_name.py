"""Domain names."""

from __future__ import annotations

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.errors import ModelError
from homing.model.name import Name, is_host_name, parse_name

labels = st.lists(st.binary(min_size=1, max_size=20), max_size=8).map(tuple)


@given(labels)
def test_presentation_form_survives_a_round_trip(given_labels: tuple[bytes, ...]) -> None:
    """Any octets in labels can be written and read back."""
    name = Name(given_labels)
    assert parse_name(str(name)).labels == given_labels


@given(labels)
def test_wire_form_is_that_of_dnspython(given_labels: tuple[bytes, ...]) -> None:
    """The wire form agrees with another implementation, and so does canonical order."""
    assert Name(given_labels).wire == dns.name.Name((*given_labels, b"")).to_wire()


@given(labels, labels)
def test_order_is_canonical(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> None:
    """Names sort as RFC 4034, section 6.1 says."""
    theirs = dns.name.Name((*one, b"")) < dns.name.Name((*other, b""))
    assert (Name(one) < Name(other)) is theirs


def test_case_is_kept_but_does_not_matter() -> None:
    """RFC 4343: names compare without regard to ASCII case."""
    assert parse_name("WWW.Example.DE") == parse_name("www.example.de.")
    assert hash(parse_name("WWW.Example.DE")) == hash(parse_name("www.example.de."))
    assert str(parse_name("WWW.Example.DE")) == "WWW.Example.DE."
    assert parse_name("WWW.Example.DE").text == "www.example.de"


@pytest.mark.parametrize(
    "text", ["", "a..b", ".a", "a" * 64 + ".de", "ä.de", "a b.de", "a\\25", "a\\256.de", "a." * 128]
)
def test_what_is_not_a_name_is_refused(text: str) -> None:
    """Empty labels, long labels, long names, foreign characters and broken escapes are errors."""
    with pytest.raises(ModelError):
        parse_name(text)


def test_relatives() -> None:
    """A name knows its zone, its parent and its place in the zone."""
    name, zone = parse_name("www.Home.arpa"), parse_name("home.arpa")
    assert name.is_within(zone)
    assert not zone.is_within(name)
    assert not parse_name("nothome.arpa").is_within(zone)
    assert name.relative(zone) == "www"
    assert zone.relative(zone) == "@"
    assert [str(ancestor) for ancestor in zone.ancestors()] == ["home.arpa.", "arpa.", "."]


def test_host_names_are_letters_digits_hyphens() -> None:
    """RFC 1123, section 2.1."""
    assert is_host_name(parse_name("a-1.example.de"))
    assert not any(is_host_name(parse_name(text)) for text in ("localhost", "-a.de", "a-.de", "_dmarc.example.de"))
