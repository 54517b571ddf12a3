"""STUN over real sockets: right answers are taken, every fault becomes a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from homing.detect.stun import MAX_STREAM, WAITS, Transport, ask_stun
from homing.detect.stun_message import (
    ALTERNATE_SERVER,
    ERROR_CODE,
    MAPPED_ADDRESS,
    Kind,
    StunMessage,
    address_attribute,
    parse_message,
)
from homing.errors import ObservationError
from homing.model.address import Address, parse_address
from tests.detect.servers import LOOPBACK, WAN, Reply, honest, stun_response, tcp_server, udp_server

QUICK = (0.05, 0.1, 0.2)
V6 = parse_address("2001:db8::7")


async def ask(reply: Reply, host: str = "127.0.0.1") -> Address:
    """Ask a server that replies so."""
    async with udp_server(reply, host) as (address, port):
        return await ask_stun(address, port, waits=QUICK, accept=LOOPBACK)


async def refusal(reply: Reply) -> str:
    """The sentence that a server which replies so earns."""
    with pytest.raises(ObservationError) as caught:
        await ask(reply)
    return str(caught.value)


async def test_the_mapped_address_is_learnt_over_udp() -> None:
    """A server over IPv4 and one over IPv6 say the address they see."""
    assert await ask(honest) == WAN
    assert await ask(lambda data, _: [stun_response(data, V6)], "::1") == V6


async def test_a_lost_packet_is_sent_again_with_the_same_transaction() -> None:
    """The server that drops the first two packets gets the same request again."""
    seen: list[bytes] = []

    def reply(data: bytes, _: int) -> list[bytes]:
        seen.append(data)
        return [stun_response(data)] if len(seen) == 3 else []

    assert await ask(reply) == WAN
    assert len(set(seen)) == 1


def test_retransmission_follows_the_rfc() -> None:
    """Packets leave at 0, 500, 1500, 3500, 7500, 15500 and 31500 ms; the end is at 39500 ms (section 6.2.1)."""
    starts = [sum(WAITS[:count]) for count in range(len(WAITS) + 1)]
    assert starts == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 39.5]


async def test_a_silent_server_is_given_up() -> None:
    """After the last wait the observer fails."""
    assert await refusal(lambda _data, _port: []) == "no answer to any packet"


async def test_a_wrong_transaction_id_is_ignored() -> None:
    """The answer to somebody else's question does not end the waiting for ours."""

    def foreign_first(data: bytes, _: int) -> list[bytes]:
        foreign = StunMessage(Kind.REQUEST, b"x" * 12).encode()
        return [stun_response(foreign, parse_address("198.51.100.66")), stun_response(data)]

    assert await ask(foreign_first) == WAN
    only = await refusal(lambda _data, _port: [stun_response(StunMessage(Kind.REQUEST, b"x" * 12).encode())])
    assert only == "only packets that do not belong to the question came back"


async def test_an_answer_from_another_source_is_ignored() -> None:
    """A packet with the right transaction id from another port of the same host does not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

        def elsewhere(data: bytes, port: int) -> list[bytes]:
            stranger.sendto(stun_response(data, parse_address("198.51.100.66")), ("127.0.0.1", port))
            return []

        assert await refusal(elsewhere) == "no answer to any packet"


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda data: stun_response(data)[:-6], "truncated"),
    "oversized": (lambda data: stun_response(data, WAN, (0x8022, b"x" * 1300)), "more than 1280 bytes"),
    "unknown attribute": (lambda data: stun_response(data, WAN, (0x7777, b"")), "0x7777"),
    "wrong fingerprint": (lambda data: stun_response(data)[:-1] + b"!", "fingerprint"),
    "trailing bytes": (lambda data: stun_response(data) + b"1234", "bytes behind"),
    "no XOR-MAPPED-ADDRESS": (
        lambda data: StunMessage(Kind.SUCCESS, data[8:20], ((MAPPED_ADDRESS, address_attribute(WAN, 4000)),)).encode(),
        "no XOR-MAPPED-ADDRESS",
    ),
    "error response": (
        lambda data: StunMessage(Kind.ERROR, data[8:20], ((ERROR_CODE, b"\0\0\x05\0Server Error"),)).encode(),
        "error 500 Server Error",
    ),
    "error without code": (lambda data: StunMessage(Kind.ERROR, data[8:20]).encode(), "without an error code"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_answer_fails_with_a_sentence(fault: str) -> None:
    """The observer fails at once and says what was wrong."""
    make, sentence = FAULTS[fault]
    assert sentence in await refusal(lambda data, _: [make(data)])


async def test_a_flood_of_foreign_packets_ends() -> None:
    """A server that floods is given up after a bounded number of packets."""
    assert "do not belong" in await refusal(lambda _data, _port: [b"noise"] * 100)


def redirect(data: bytes, address: Address, port: int) -> list[bytes]:
    """An answer that sends the client to another server."""
    attributes = ((ERROR_CODE, b"\0\0\x03\0"), (ALTERNATE_SERVER, address_attribute(address, port)))
    return [StunMessage(Kind.ERROR, parse_message(data).transaction, attributes).encode()]


async def test_an_alternate_server_is_followed_once() -> None:
    """The other server's answer counts; a second redirect does not."""
    async with udp_server(honest) as (address, port):
        assert await ask(lambda data, _: redirect(data, address, port)) == WAN
    async with udp_server(lambda data, _: redirect(data, address, port)) as (again, other):
        assert "error 300" in await refusal(lambda data, _: redirect(data, again, other))


@pytest.mark.parametrize("elsewhere", ["::1", "10.0.0.1", "224.0.0.1"])
async def test_an_alternate_server_of_another_reach_or_family_is_not_asked(elsewhere: str) -> None:
    """A redirect into a private network or to the other family is refused."""
    assert "not asked" in await refusal(lambda data, _: redirect(data, parse_address(elsewhere), 3478))


async def test_a_closed_port_fails_at_once() -> None:
    """The refusal of the other side's kernel arrives as OSError, without waiting."""
    async with udp_server(honest) as (address, port):
        pass
    with pytest.raises(ConnectionRefusedError):
        await ask_stun(address, port, waits=(5.0,))


async def stream(*parts: bytes, answer: bool = True, pause: float = 0.0) -> Address:
    """Ask a TCP server that sends these parts, then the right answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(20)
        for part in (*parts, *([stun_response(request)] if answer else [])):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    async with tcp_server(talk) as (address, port):
        return await ask_stun(address, port, Transport.TCP)


async def test_the_mapped_address_is_learnt_over_tcp() -> None:
    """Foreign messages before the answer are skipped, framed by their length."""
    foreign = stun_response(StunMessage(Kind.REQUEST, b"x" * 12).encode())
    assert await stream() == WAN
    assert await stream(foreign, foreign[:7], foreign[7:], pause=0.01) == WAN


def _foreign() -> Iterator[bytes]:
    message = StunMessage(Kind.SUCCESS, b"x" * 12, ((0x8022, b"x" * 1000),)).encode()
    return iter([message] * (MAX_STREAM // len(message) + 2))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([b""], "closed the connection"),
        ([b"\x01\x01\x00\x0c"], "closed the connection"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "not a STUN message"),
        ([bytes.fromhex("0101fffc2112a442") + b"t" * 12], "more than 1280 bytes"),
        (list(_foreign()), "and no answer"),
    ],
)
async def test_a_faulty_stream_fails_with_a_sentence(parts: list[bytes], sentence: str) -> None:
    """A stream that ends early, is not STUN, announces too much or never comes to the point is given up."""
    with pytest.raises(ObservationError, match=sentence):
        await stream(*parts, answer=False)


async def test_an_endless_dribble_is_cut_by_the_deadline() -> None:
    """A byte now and then does not hold the caller beyond its deadline."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"\x01")
            await asyncio.sleep(0.05)

    async with tcp_server(talk) as (address, port):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3) as limit:
                await ask_stun(address, port, Transport.TCP)
        assert limit.expired()
