"""DNS whoami: our questions are DNS, answers are read strictly."""

from __future__ import annotations

import contextlib

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.detect.ask import NetworkAsk
from homing.detect.observers import WhoamiServer
from homing.detect.whoami import ask_whoami
from homing.detect.whoami_message import CLASS_CH, CLASS_IN, TYPE_A, TYPE_AAAA, TYPE_TXT, build_query, read_answer
from homing.effects.clock import SystemClock
from homing.effects.http import HttpClient
from homing.errors import MessageError, ObservationError
from homing.model.address import Family, parse_address
from homing.model.name import parse_name
from tests.detect.servers import SEEN, WAN, udp_server

CLOUDFLARE = (parse_name("whoami.cloudflare"), TYPE_TXT, CLASS_CH)
GOOGLE = (parse_name("o-o.myaddr.l.google.com"), TYPE_TXT, CLASS_IN)
OPENDNS = (parse_name("myip.opendns.com"), TYPE_A, CLASS_IN)


def answered(query: bytes, *rdata: str, rcode: int = 0, owner: str = "", flags: int = 0) -> bytes:
    """An answer, made by dnspython."""
    question = dns.message.from_wire(query)
    response = dns.message.make_response(question)
    response.flags |= flags
    response.set_rcode(dns.rcode.Rcode(rcode))
    asked = question.question[0]
    if rdata:
        response.answer.append(dns.rrset.from_text(owner or asked.name, 60, asked.rdclass, asked.rdtype, *rdata))
    return response.to_wire()


@pytest.mark.parametrize("question", [CLOUDFLARE, GOOGLE, OPENDNS])
def test_the_oracle_reads_our_question(question: tuple[object, int, int]) -> None:
    """dnspython sees the name, type and class that were meant."""
    name, rdtype, rdclass = question
    message = dns.message.from_wire(build_query(4711, parse_name(str(name)), rdtype, rdclass))
    asked = message.question[0]
    assert (message.id, str(asked.name), asked.rdtype, asked.rdclass) == (4711, str(name), rdtype, rdclass)


def test_the_three_services_are_understood() -> None:
    """TXT in class CH, A and AAAA, and TXT beside a client subnet, in whatever order."""
    query = build_query(1, *CLOUDFLARE)
    assert read_answer(query, answered(query, '"203.0.113.7"')) == WAN
    query = build_query(1, *OPENDNS)
    assert read_answer(query, answered(query, "203.0.113.7")) == WAN
    query = build_query(1, OPENDNS[0], TYPE_AAAA, CLASS_IN)
    assert read_answer(query, answered(query, "2001:db8::7")) == parse_address("2001:db8::7")
    query = build_query(1, *GOOGLE)
    subnet = '"edns0-client-subnet 198.51.100.0/24"'
    assert read_answer(query, answered(query, subnet, '"203.0.113.7"')) == WAN
    assert read_answer(query, answered(query, '"203.0.113.7"', subnet)) == WAN


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda query: answered(query, rcode=5), "REFUSED"),
        (answered, "without an address"),
        (lambda query: answered(query, '"203.0.113.7"', '"203.0.113.8"'), "several"),
        (lambda query: answered(query, '"hello"'), "not an address"),
        (lambda query: answered(query, '"203.0.113.7"', flags=dns.flags.TC), "truncated"),
        (lambda query: answered(query, '"203.0.113.7"', owner="other.example."), "without an address"),
        (lambda query: answered(query, '"203.0.113.7"')[:-3], "truncated"),
    ],
)
async def test_a_faulty_answer_fails_with_a_sentence(change: object, sentence: str) -> None:
    """Refusals, emptiness, contradictions and broken records end the question."""
    assert callable(change)
    async with udp_server(lambda data, _: [change(data)]) as (address, port):
        with pytest.raises(ObservationError, match=sentence):
            await ask_whoami(address, port, CLOUDFLARE, waits=(1.0,))


async def test_foreign_answers_are_ignored_and_lost_questions_repeated() -> None:
    """A wrong id, a wrong question and a query do not end the waiting; a lost packet is sent again."""
    count = 0

    def reply(data: bytes, _: int) -> list[bytes]:
        nonlocal count
        count += 1
        wrong_id = bytes((data[0] ^ 0xFF,)) + data[1:]
        other = build_query(int.from_bytes(data[:2], "big"), *GOOGLE)
        bad = [answered(wrong_id, '"198.51.100.1"'), answered(other, '"198.51.100.1"'), data]
        return [] if count == 1 else [*bad, answered(data, '"203.0.113.7"')]

    async with udp_server(reply) as (address, port):
        assert await ask_whoami(address, port, CLOUDFLARE, waits=(0.05, 1.0)) == WAN


async def test_the_type_follows_the_family() -> None:
    """A whoami server without a fixed type is asked for A over IPv4 and AAAA over IPv6."""
    async with HttpClient() as client:
        ask = NetworkAsk(client, SystemClock(), accept=SEEN)
        for host, family, text in (("127.0.0.1", Family.V4, "203.0.113.7"), ("::1", Family.V6, "2001:db8::7")):
            async with udp_server(lambda data, _, text=text: [answered(data, text)], host) as (_, port):  # type: ignore[misc]
                server = WhoamiServer(host, OPENDNS[0], 0, CLASS_IN, port=port)
                seen = await ask(server, family, 2.0)
                assert (str(seen.address), seen.counts) == (text, True)


@given(st.data())
def test_mutated_answers_raise_only_the_house_s_error(data: st.DataObject) -> None:
    """Changed, cut and lengthened answers are read, ignored or refused."""
    query = build_query(1, *GOOGLE)
    wire = bytearray(answered(query, '"203.0.113.7"', '"edns0-client-subnet 198.51.100.0/24"'))
    for _ in range(data.draw(st.integers(1, 8))):
        wire[data.draw(st.integers(2, len(wire) - 1))] = data.draw(st.integers(0, 255))
    mutated = bytes(wire[: data.draw(st.integers(0, len(wire)))]) + data.draw(st.binary(max_size=8))
    with contextlib.suppress(MessageError):
        read_answer(query, mutated)


def test_a_name_that_points_to_itself_is_refused() -> None:
    """Compression pointers go strictly back."""
    query = build_query(1, *CLOUDFLARE)
    head = query[:2] + b"\x80\0\0\x01\0\x01\0\0\0\0" + query[12:]
    loop = head + (0xC000 | len(head)).to_bytes(2, "big") + bytes(10)
    with pytest.raises(MessageError, match="malformed name"):
        read_answer(query, loop)
