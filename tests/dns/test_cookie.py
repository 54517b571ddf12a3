"""Server cookies: the vectors of SipHash and RFC 9018, and what is taken, renewed and refused."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.dns.cookie import MAX_AGE, MAX_AHEAD, RENEWAL_AGE, Cookies, CookieVerdict, siphash

OLD, NEW = "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
FIRST = "e5e973e5a6b2a43f48e7dc849e37bfcf"

SIPHASH = (
    0x726FDB47DD0E0E31, 0x74F839C593DC67FD, 0x0D6C8009D9A94F5A, 0x85676696D7FB7E2D, 0xCF2794E0277187B7,
    0x18765564CD99A68D, 0xCBC9466E58FEE3CE, 0xAB0200F58B01D137, 0x93F5F5799A932462, 0x9E0082DF0BA9E4B0,
    0x7A5DBBC594DDB9F3, 0xF4B32F46226BADA7, 0x751E8FBC860EE5FB, 0x14EA5627C0843D90, 0xF723CA908E7AF2EE,
    0xA129CA6149BE45E5, 0x3F2ACC7F57C29BDB,
)  # fmt: skip
"""Of 0, 1, ... 16 octets 00 01 02 ... with the key 00 ... 0f (reference implementation of SipHash, vectors.h)."""

NOW = 1_700_000_000
CLIENT = bytes(range(8))
ADDRESS = bytes((192, 0, 2, 1))
COOKIES = Cookies(bytes(16))


def packed(address: str) -> bytes:
    """An address as octets."""
    return ip_address(address).packed


@pytest.mark.parametrize("size", range(len(SIPHASH)))
def test_siphash_has_the_values_of_its_authors(size: int) -> None:
    """SipHash-2-4 of 0 to 16 octets."""
    first, second = struct.unpack("<2Q", bytes(range(16)))
    assert siphash((first, second), bytes(range(size))) == SIPHASH[size]


def test_siphash_of_a_long_input() -> None:
    """63 octets, the last of the reference vectors."""
    first, second = struct.unpack("<2Q", bytes(range(16)))
    assert siphash((first, second), bytes(range(63))) == 0x958A324CEB064572


@pytest.mark.parametrize(
    ("secret", "address", "client", "time", "server"),
    [
        (FIRST, "198.51.100.100", "2464c4abcf10c957", 1559731985, "010000005cf79f111f8130c3eee29480"),
        (FIRST, "198.51.100.100", "2464c4abcf10c957", 1559734385, "010000005cf7a871d4a564a1442aca77"),
        (FIRST, "203.0.113.203", "fc93fc62807ddb86", 1559734700, "010000005cf7a9acf73a7810aca2381e"),
        (NEW, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298", 1559741961, "010000005cf7c609a6bb79d16625507a"),
    ],
)
def test_the_cookies_of_the_rfc_are_made(secret: str, address: str, client: str, time: int, server: str) -> None:
    """RFC 9018, appendix A: what the server answers."""
    made = Cookies(bytes.fromhex(secret)).option(packed(address), bytes.fromhex(client), time)
    assert made.hex() == f"000a0018{client}{server}"


@pytest.mark.parametrize(
    ("secret", "previous", "address", "cookie", "time"),
    [
        (FIRST, None, "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559734385),
        (FIRST, None, "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559727985 + 3000),
        (
            NEW,
            OLD,
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            1559741961,
        ),
    ],
)
def test_the_cookies_of_the_rfc_are_taken_and_renewed(
    secret: str, previous: str | None, address: str, cookie: str, time: int
) -> None:
    """RFC 9018, appendix A: after 40 minutes, with reserved octets set, by the secret before."""
    cookies = Cookies(bytes.fromhex(secret), None if previous is None else bytes.fromhex(previous))
    assert cookies.verify(packed(address), bytes.fromhex(cookie), time) is CookieVerdict.RENEW


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (0, CookieVerdict.VALID),
        (RENEWAL_AGE, CookieVerdict.VALID),
        (RENEWAL_AGE + 1, CookieVerdict.RENEW),
        (MAX_AGE, CookieVerdict.RENEW),
        (MAX_AGE + 1, CookieVerdict.WRONG),
        (-MAX_AHEAD, CookieVerdict.VALID),
        (-MAX_AHEAD - 1, CookieVerdict.WRONG),
        (2**31, CookieVerdict.WRONG),
    ],
)
def test_a_cookie_has_its_time(age: int, verdict: CookieVerdict) -> None:
    """An hour, renewed after half of it, and five minutes for clocks that are ahead (RFC 9018, section 4.3)."""
    made = COOKIES.option(ADDRESS, CLIENT, NOW)[4:]
    assert COOKIES.verify(ADDRESS, made, NOW + age) is verdict


def test_time_goes_on_behind_the_last_second_of_32_bits() -> None:
    """A cookie made before the timestamp wraps around is good after it (RFC 9018, section 4.3: RFC 1982)."""
    made = COOKIES.option(ADDRESS, CLIENT, 2**32 - 10)[4:]
    assert COOKIES.verify(ADDRESS, made, 2**32 + 10) is CookieVerdict.VALID


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8))
def test_a_cookie_is_good_for_its_client_only(address: bytes, client: bytes) -> None:
    """From another address, with another client cookie, or by another secret it is wrong."""
    made = COOKIES.option(address, client, NOW)[4:]
    assert COOKIES.verify(address, made, NOW) is CookieVerdict.VALID
    assert COOKIES.verify(bytes((address[0] ^ 1,)) + address[1:], made, NOW) is CookieVerdict.WRONG
    assert COOKIES.verify(address, bytes((made[0] ^ 1,)) + made[1:], NOW) is CookieVerdict.WRONG
    assert Cookies(b"\1" * 16).verify(address, made, NOW) is CookieVerdict.WRONG


@given(st.integers(8, 23), st.integers(1, 255))
def test_no_octet_of_a_server_cookie_can_be_changed(index: int, change: int) -> None:
    """Version, reserved octets, timestamp and hash are all guarded."""
    made = bytearray(COOKIES.option(ADDRESS, CLIENT, NOW)[4:])
    made[index] ^= change
    assert COOKIES.verify(ADDRESS, bytes(made), NOW) is CookieVerdict.WRONG


@given(st.binary(max_size=40))
def test_what_others_made_is_wrong(cookie: bytes) -> None:
    """Any octets, of any length, are judged."""
    assert COOKIES.verify(ADDRESS, cookie, NOW) is CookieVerdict.WRONG


def test_a_secret_has_16_octets() -> None:
    """Another length is an error that does not show the secret."""
    with pytest.raises(ValueError, match="16 octets, not 3") as raised:
        Cookies(b"abc")
    assert "abc" not in str(raised.value)
