"""The STUN codec agrees with aioice's and survives what the network makes of packets."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address

import pytest
from aioice import stun as oracle
from hypothesis import given
from hypothesis import strategies as st

from homing.detect.stun_message import (
    ALTERNATE_SERVER,
    ERROR_CODE,
    MAGIC_COOKIE,
    XOR_MAPPED_ADDRESS,
    Kind,
    StunMessage,
    address_attribute,
    binding_request,
    is_about,
    message_length,
    parse_message,
)
from homing.errors import MessageError
from homing.model.address import Address

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
TRANSACTIONS = st.binary(min_size=12, max_size=12)
PORTS = st.integers(0, 65535)


@given(TRANSACTIONS)
def test_the_oracle_reads_our_request(transaction: bytes) -> None:
    """aioice takes our Binding request for one."""
    message = oracle.parse_message(binding_request(transaction))
    assert message.message_method == oracle.Method.BINDING
    assert message.message_class == oracle.Class.REQUEST
    assert message.transaction_id == transaction


@given(ADDRESSES, PORTS, TRANSACTIONS, st.booleans())
def test_we_read_the_oracle_s_response(
    address: IPv4Address | IPv6Address, port: int, transaction: bytes, fingerprint: bool
) -> None:
    """The mapped address and port of aioice's response arrive, with and without FINGERPRINT."""
    response = oracle.Message(oracle.Method.BINDING, oracle.Class.RESPONSE, transaction)
    response.attributes["SOFTWARE"] = "oracle"
    response.attributes["XOR-MAPPED-ADDRESS"] = (str(address), port)
    if fingerprint:
        response.add_fingerprint()
    message = parse_message(bytes(response))
    assert (message.kind, message.transaction) == (Kind.SUCCESS, transaction)
    assert message.mapped == (address, port)
    assert message.not_understood == ()


@given(ADDRESSES, PORTS, TRANSACTIONS)
def test_the_oracle_reads_our_response(address: Address, port: int, transaction: bytes) -> None:
    """aioice reads the address in our response and accepts its FINGERPRINT."""
    mapped = address_attribute(address, port, transaction)
    wire = StunMessage(Kind.SUCCESS, transaction, ((XOR_MAPPED_ADDRESS, mapped),)).encode(fingerprint=True)
    attributes = oracle.parse_message(wire).attributes
    assert attributes["XOR-MAPPED-ADDRESS"] == (str(address), port)
    assert "FINGERPRINT" in attributes


@given(
    st.sampled_from(Kind),
    TRANSACTIONS,
    st.lists(st.tuples(st.integers(0x8030, 0xFFFF), st.binary(max_size=30)), max_size=6),
    st.integers(0, 0xFFF),
    st.booleans(),
)
def test_messages_survive_the_wire(
    kind: Kind, transaction: bytes, attributes: list[tuple[int, bytes]], method: int, fingerprint: bool
) -> None:
    """What is encoded is parsed back, whatever the padding."""
    message = StunMessage(kind, transaction, tuple(attributes), method)
    parsed = parse_message(message.encode(fingerprint=fingerprint))
    assert (parsed.kind, parsed.transaction, parsed.method) == (kind, transaction, method)
    assert parsed.attributes[: len(attributes)] == message.attributes


def response(address: Address, transaction: bytes = b"t" * 12) -> bytes:
    """A plain response with a fingerprint."""
    mapped = address_attribute(address, 4000, transaction)
    return StunMessage(Kind.SUCCESS, transaction, ((XOR_MAPPED_ADDRESS, mapped),)).encode(fingerprint=True)


@given(st.data())
def test_mutated_packets_raise_only_the_house_s_error(data: st.DataObject) -> None:
    """A packet with changed, missing or added bytes is read or refused, never more."""
    wire = bytearray(response(IPv6Address("2001:db8::1")))
    for _ in range(data.draw(st.integers(1, 6))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    mutated = bytes(wire[: data.draw(st.integers(0, len(wire)))]) + data.draw(st.binary(max_size=8))
    with contextlib.suppress(MessageError):
        message = parse_message(mutated)
        assert message.mapped is None or message.not_understood is not None
        assert message.alternate is None or message.error


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_the_house_s_error(data: bytes) -> None:
    """Noise is refused."""
    assert not is_about(data, b"\0" * 12) or data[4:8] == MAGIC_COOKIE.to_bytes(4, "big")
    with pytest.raises(MessageError):
        parse_message(data[:19] or b"x")


@given(st.integers(0, 8 * 40 - 1))
def test_a_fingerprint_reveals_every_flipped_bit_of_the_body(bit: int) -> None:
    """No bit of a message with FINGERPRINT may change, its header's length and cookie least of all."""
    wire = bytearray(response(IPv4Address("203.0.113.7")))
    wire[bit // 8] ^= 1 << bit % 8
    try:
        changed = parse_message(bytes(wire))
    except MessageError:
        return
    # Only the type of the last attribute can hide the fingerprint itself.
    assert changed.first(0x8028) is None


def test_rfc_5769_sample_responses() -> None:
    """The sample responses of RFC 5769 (sections 2.2 and 2.3) give their addresses; fingerprints are checked."""
    v4 = bytes.fromhex(
        "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f5"
        "99fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
    )
    v6 = bytes.fromhex(
        "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4"
        "b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
    )
    assert parse_message(v4).mapped == (IPv4Address("192.0.2.1"), 32853)
    assert parse_message(v6).mapped == (IPv6Address("2001:db8:1234:5678:11:2233:4455:6677"), 32853)


def test_oversized_framing_is_refused() -> None:
    """A header that announces 64 KiB is refused before anything is read."""
    with pytest.raises(MessageError, match="more than 1280 bytes"):
        message_length(bytes.fromhex("0101fff0") + MAGIC_COOKIE.to_bytes(4, "big") + b"t" * 12)


def test_error_and_alternate_are_read() -> None:
    """Code, printable reason and the other server of an error response."""
    other = address_attribute(IPv4Address("192.0.2.9"), 3479)
    attributes = ((ERROR_CODE, b"\0\0\x03\x00Try\x07 elsewhere"), (ALTERNATE_SERVER, other))
    message = parse_message(StunMessage(Kind.ERROR, b"t" * 12, attributes).encode())
    assert message.error == (300, "Try elsewhere")
    assert message.alternate == (IPv4Address("192.0.2.9"), 3479)
