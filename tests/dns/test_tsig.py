"""TSIG against dnspython's."""

from __future__ import annotations

import base64
import contextlib

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homing.dns.transfers.tsig import Keyring, Rejected, Signer, TsigError, Verified, reject, split, tsig_key, verify
from homing.errors import MessageError, ModelError

SECRET = base64.b64encode(b"secret of the tests with 32 byte").decode()
ALGORITHMS = ["hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha1"]
NOW = 1_800_000_000


def keys(algorithm: str = "hmac-sha256", name: str = "Key.Example") -> tuple[Keyring, dns.tsig.Key]:
    """The same key here and in dnspython."""
    own = tsig_key(name, algorithm, SECRET, allow_sha1=True)
    return Keyring((own,)), dns.tsig.Key(name, SECRET, algorithm)


def signed_query(theirs: dns.tsig.Key, monkeypatch: pytest.MonkeyPatch, now: int = NOW) -> dns.message.QueryMessage:
    """A query that dnspython signs at a time."""
    monkeypatch.setattr("time.time", lambda: float(now))
    query = dns.message.make_query("example.net", "SOA", use_edns=0)
    query.use_tsig(theirs)
    query.to_wire()
    return query


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_both_sides_understand_each_other(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What dnspython signs is verified, and dnspython verifies the signed answer."""
    ring, theirs = keys(algorithm)
    query = signed_query(theirs, monkeypatch)
    wire = query.to_wire()
    verified = verify(wire, ring, NOW + 299)
    assert isinstance(verified, Verified)
    assert dns.message.from_wire(verified.message).question == query.question
    assert split(verified.message) is None
    answer = Signer(verified.key, verified.mac).sign(bare(query), NOW)
    read = dns.message.from_wire(answer, keyring=theirs, request_mac=query.mac)
    assert read.had_tsig


def bare(query: dns.message.QueryMessage) -> bytes:
    """An empty answer to a query."""
    response = dns.message.make_query("example.net", "SOA", id=query.id)
    response.flags |= dns.flags.QR
    return response.to_wire()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_stream_is_chained(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """dnspython verifies five messages, each by the MAC of the one before; one left out breaks the chain."""
    ring, theirs = keys(algorithm)
    query = signed_query(theirs, monkeypatch)
    verified = verify(query.to_wire(), ring, NOW)
    assert isinstance(verified, Verified)
    signer = Signer(verified.key, verified.mac)
    parts = [signer.sign(bare(query), NOW) for _ in range(5)]
    context = None
    for part in parts:
        read = dns.message.from_wire(part, keyring=theirs, request_mac=query.mac, tsig_ctx=context, multi=True)
        context = read.tsig_ctx
        assert read.had_tsig
    read = dns.message.from_wire(parts[0], keyring=theirs, request_mac=query.mac, multi=True)
    with pytest.raises(dns.tsig.BadSignature):
        dns.message.from_wire(parts[2], keyring=theirs, request_mac=query.mac, tsig_ctx=read.tsig_ctx, multi=True)


def test_our_requests_are_verified_there_and_their_answers_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """dnspython verifies a request signed here, and its signed answer is verified with the MAC of the request."""
    ring, theirs = keys()
    monkeypatch.setattr("time.time", lambda: float(NOW))
    signer = Signer(tsig_key("Key.Example", "hmac-sha256", SECRET))
    request = dns.message.from_wire(
        signer.sign(dns.message.make_query("example.net", "SOA").to_wire(), NOW), keyring=theirs
    )
    answer = dns.message.make_response(request).to_wire()
    assert isinstance(verify(answer, ring, NOW, request_mac=signer.mac), Verified)
    assert isinstance(verify(answer, ring, NOW, request_mac=b"x" * 32), Rejected)
    assert isinstance(verify(answer, ring, NOW), Rejected)


def rejection(wire: bytes, ring: Keyring, now: int) -> tuple[TsigError, bytes]:
    """What is wrong, and the answer that says so."""
    verdict = verify(wire, ring, now)
    assert isinstance(verdict, Rejected)
    response = dns.message.make_response(dns.message.from_wire(verdict.message))
    response.set_rcode(dns.rcode.NOTAUTH)
    return verdict.error, reject(response.to_wire(), verdict, now)


@pytest.mark.parametrize("drift", [-301, 301])
def test_a_wrong_clock_is_badtime_and_signed(drift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to a request of another time is signed, so that dnspython can believe it, and carries our time."""
    ring, theirs = keys()
    query = signed_query(theirs, monkeypatch)
    error, answer = rejection(query.to_wire(), ring, NOW + drift)
    assert error is TsigError.BADTIME
    with pytest.raises(dns.tsig.PeerBadTime):
        dns.message.from_wire(answer, keyring=theirs, request_mac=query.mac)
    parts = split(answer)
    assert parts is not None
    assert int.from_bytes(parts[1].other) == NOW + drift
    assert len(parts[1].mac) == 32


def test_an_unknown_key_is_badkey(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not known, or known for another algorithm, is BADKEY, and the answer has an empty MAC."""
    ring, _ = keys()
    for other in (keys(name="other")[1], keys("hmac-sha512")[1]):
        query = signed_query(other, monkeypatch)
        error, answer = rejection(query.to_wire(), ring, NOW)
        assert error is TsigError.BADKEY
        with pytest.raises(dns.tsig.PeerBadKey):
            dns.message.from_wire(answer, keyring=other, request_mac=query.mac)


def test_a_changed_message_is_badsig(monkeypatch: pytest.MonkeyPatch) -> None:
    """One changed octet of the question is BADSIG, and the answer is not signed."""
    ring, theirs = keys()
    wire = bytearray(signed_query(theirs, monkeypatch).to_wire())
    wire[14] ^= 1
    error, answer = rejection(bytes(wire), ring, NOW)
    parts = split(answer)
    assert error is TsigError.BADSIG
    assert parts is not None
    assert (parts[1].error, parts[1].mac) == (TsigError.BADSIG, b"")


def test_an_id_changed_on_the_way_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature goes by the original ID, the answer by the one that came (RFC 8945, section 5.2)."""
    ring, theirs = keys()
    wire = signed_query(theirs, monkeypatch).to_wire()
    forwarded = bytes((wire[0] ^ 0xFF,)) + wire[1:]
    verified = verify(forwarded, ring, NOW)
    assert isinstance(verified, Verified)
    assert verified.message[:2] == forwarded[:2]


def test_a_shortened_mac_is_badtrunc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A MAC cut to the half is BADTRUNC; one cut further is malformed (RFC 8945, section 5.2.2.1)."""
    ring, theirs = keys()
    wire = signed_query(theirs, monkeypatch).to_wire()
    start = wire.rindex(b"\x00\x20", 0, len(wire) - 32)

    def cut(size: int) -> bytes:
        changed = bytearray(wire)
        del changed[start + 2 + size : start + 34]
        changed[start : start + 2] = size.to_bytes(2)
        rdlength = wire.index(b"\x0bhmac-sha256") - 2
        changed[rdlength : rdlength + 2] = (int.from_bytes(wire[rdlength : rdlength + 2]) - 32 + size).to_bytes(2)
        return bytes(changed)

    verdict = verify(cut(16), ring, NOW)
    assert isinstance(verdict, Rejected)
    assert verdict.error is TsigError.BADTRUNC
    with pytest.raises(MessageError):
        verify(cut(15), ring, NOW)
    empty = verify(cut(0), ring, NOW)
    assert isinstance(empty, Rejected)
    assert empty.error is TsigError.BADSIG


@given(st.binary(max_size=300))
@example(b"\0" * 11 + b"\1" + b"\xc0\x0c" * 20)
def test_no_octets_raise_anything_but_a_message_error(packet: bytes) -> None:
    """Whatever comes, there is a verdict or a MessageError."""
    for wire in (packet, b"\0\0\0\0\0\1\0\0\0\0\0\1\0\0\6\0\1" + packet):
        with contextlib.suppress(MessageError):
            verify(wire, keys()[0], NOW)


@given(st.data())
def test_mutated_messages_are_never_verified(data: st.DataObject) -> None:
    """A signed message with octets changed is rejected or malformed, unless only case, ID or padding bits changed."""
    ring, _ = keys()
    signer = Signer(tsig_key("Key.Example", "hmac-sha256", SECRET))
    wire = signer.sign(dns.message.make_query("example.net", "SOA").to_wire(), NOW)
    place = data.draw(st.integers(2, len(wire) - 1))
    changed = bytearray(wire)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        verdict = verify(bytes(changed), ring, NOW)
    except MessageError:
        return
    if isinstance(verdict, Verified):
        assert bytes(changed).lower() == wire.lower()


def test_keys_are_checked_and_never_shown() -> None:
    """SHA-1 is only taken where allowed, and neither errors nor repr tell a secret."""
    for algorithm, secret in (
        ("hmac-sha1", SECRET),
        ("hmac-md5", SECRET),
        ("hmac-sha256", "sec*ret"),
        ("hmac-sha256", ""),
    ):
        with pytest.raises(ModelError) as caught:
            tsig_key("key", algorithm, secret)
        assert not secret or secret not in str(caught.value)
    assert "secret" not in repr(tsig_key("key", "hmac-sha256", SECRET)).replace("secret of", "")
