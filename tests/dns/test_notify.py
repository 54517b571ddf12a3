"""NOTIFY, received by a secondary of the test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.tsig
import pytest

from homing.dns.authority import Authority
from homing.dns.transfers.notify import ATTEMPTS, DEBOUNCE, LONGEST_WAIT, Notifier, Told
from homing.dns.transfers.secondary import PATIENCE, Secondary
from homing.dns.transfers.tsig import tsig_key
from homing.effects.clock import ManualClock, settle
from homing.model.name import Name
from homing.model.zone import succeed, zone
from tests.dns.test_server import until
from tests.dns.zones import ORIGIN, SOA, addresses
from tests.dns_servers import ALGORITHM, KEY_NAME
from tests.dns_servers import KEY as SECRET

THEIRS = dns.tsig.Key(KEY_NAME, SECRET, ALGORITHM)
FIRST = zone(ORIGIN, 1, SOA, ())
Reply = Callable[[dns.message.Message], bytes | None]


class Listener(asyncio.DatagramProtocol):
    """Keeps what comes and answers as told."""

    def __init__(self, reply: Reply) -> None:
        self.received: list[dns.message.Message] = []
        self.reply = reply
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # Python 3.11's is no instance of it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A NOTIFY."""
        message = dns.message.from_wire(data, keyring=THEIRS)
        self.received.append(message)
        reply = self.reply(message)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)

    @property
    def serials(self) -> list[int]:
        """The serials told of."""
        return [message.answer[0][0].serial for message in self.received]


def accept(message: dns.message.Message) -> bytes:
    """NOERROR, signed when the NOTIFY was."""
    return dns.message.make_response(message).to_wire()


def silence(message: dns.message.Message) -> None:
    """No answer."""


class Scene:
    """A notifier with its listener, on a clock moved by hand."""

    def __init__(self, authority: Authority, listener: Listener, notifier: Notifier, clock: ManualClock) -> None:
        self.authority = authority
        self.listener = listener
        self.notifier = notifier
        self.clock = clock
        self.ended: list[Told] = []
        self.secondary: Secondary

    async def advance(self, seconds: float, received: int) -> None:
        """Move the clock and wait for this many NOTIFYs in all."""
        await self.clock.advance(seconds)
        await until(lambda: len(self.listener.received) >= received)

    async def tick_until(self, condition: Callable[[], bool]) -> None:
        """Move the clock second by second, with time for datagrams to arrive, until a condition holds."""
        for _ in range(1000):
            if condition():
                return
            await self.clock.advance(1)
            await asyncio.sleep(0.002)
        pytest.fail("the condition did not come true within 1000 s")

    @property
    def told(self) -> Told:
        """How far the one secondary is told."""
        (told,) = self.notifier.told.values()
        return told


@asynccontextmanager
async def scene(reply: Reply = accept, *, signed: bool = False) -> AsyncIterator[Scene]:
    """One secondary at the address of a listener."""
    loop = asyncio.get_running_loop()
    transport, listener = await loop.create_datagram_endpoint(lambda: Listener(reply), local_addr=("127.0.0.1", 0))
    host, port = transport.get_extra_info("sockname")
    key = tsig_key(KEY_NAME, ALGORITHM, SECRET) if signed else None
    # dnspython checks the time of signatures against the machine's.
    clock = ManualClock(start=time.time())
    authority = Authority()
    ended: list[Told] = []

    def on_told(secondary: Secondary, origin: Name, told: Told) -> None:
        ended.append(told)

    secondary = Secondary(host, port, key)
    notifier = Notifier(authority, [secondary], clock, random.Random(1), on_told=on_told)
    made = Scene(authority, listener, notifier, clock)
    made.ended, made.secondary = ended, secondary
    try:
        yield made
    finally:
        await notifier.aclose()
        transport.close()


async def publish(made: Scene) -> None:
    """Publish the first version and let the debounce begin."""
    made.authority.publish(FIRST)
    await until(lambda: made.clock.sleepers == 1)


@pytest.mark.parametrize("signed", [False, True])
async def test_a_change_is_told(signed: bool) -> None:
    """The secondary gets one NOTIFY with the new SOA, signed when it has a key, and is done when it answers."""
    async with scene(signed=signed) as made:
        await publish(made)
        await made.advance(DEBOUNCE, 1)
        (message,) = made.listener.received
        assert message.opcode() == dns.opcode.NOTIFY
        assert message.flags & dns.flags.AA
        assert message.had_tsig == signed
        assert made.listener.serials == [1]
        await until(lambda: bool(made.ended))
        assert made.ended == [Told(1, 1, 0)]
        assert made.told.is_acknowledged


async def test_changes_close_together_share_a_notify() -> None:
    """Ten versions within the debounce are told of once, by the last."""
    async with scene() as made:
        await publish(made)
        version = FIRST
        for index in range(10):
            version = succeed(version, addresses("www.example.net", f"192.0.2.{index}"))
            made.authority.publish(version)
        await made.clock.advance(DEBOUNCE * 0.9)
        assert made.told == Told(version.serial)
        await made.advance(DEBOUNCE, 1)
        await until(lambda: bool(made.ended))
        assert made.listener.serials == [version.serial]


async def test_silence_is_asked_again_and_given_up() -> None:
    """Without an answer it is sent again, later and later, and a bounded number of times."""
    async with scene(silence) as made:
        await publish(made)
        await made.advance(DEBOUNCE, 1)
        moments: list[float] = []

        def ended() -> bool:
            if made.told.attempts > len(moments):
                moments.append(made.clock.time())
            return bool(made.ended)

        await made.tick_until(ended)
        assert made.ended == [Told(1, ATTEMPTS, None)]
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert gaps[0] < 2 * PATIENCE
        assert LONGEST_WAIT / 2 <= gaps[-1] <= LONGEST_WAIT + 2 * PATIENCE
        await made.clock.advance(10 * LONGEST_WAIT)
        assert len(made.listener.received) == ATTEMPTS


async def test_a_change_while_waiting_is_told_at_once() -> None:
    """A new version starts anew instead of waiting for the backoff of the one before."""
    async with scene(silence) as made:
        await publish(made)
        await made.advance(DEBOUNCE, 1)
        made.listener.reply = accept
        made.authority.publish(succeed(FIRST, addresses("www.example.net", "192.0.2.1")))
        await settle()
        await until(lambda: made.clock.sleepers == 1)
        await made.advance(DEBOUNCE, 2)
        await until(lambda: bool(made.ended))
        assert made.ended == [Told(2, 1, 0)]


async def test_silent_secondaries_hold_up_no_other() -> None:
    """With 100 hosts that never answer listed before it, one that does hears of a change at once."""
    async with scene() as made:
        with contextlib.ExitStack() as stack:
            deaf = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(100)]
            for one in deaf:
                one.bind(("127.0.0.1", 0))
            everybody = [*(Secondary(*one.getsockname()) for one in deaf), made.secondary]
            made.notifier.follow(lambda _: everybody)
            made.authority.publish(FIRST)
            await made.tick_until(lambda: all(told.attempts for told in made.notifier.told.values()))
            await made.tick_until(lambda: made.listener.serials == [1])
            await made.clock.advance(2 * PATIENCE)
            made.authority.publish(succeed(FIRST, addresses("www.example.net", "192.0.2.1")))
            await until(lambda: made.clock.sleepers >= 101)
            await made.advance(DEBOUNCE, len(made.listener.received) + 1)
            assert made.listener.serials[-1] == 2


async def test_an_answer_that_is_not_signed_does_not_count() -> None:
    """With a key, a success without a signature is as good as none; a refusal is retried."""

    def unsigned(message: dns.message.Message) -> bytes:
        response = dns.message.make_query("example.net", "SOA", id=message.id)
        response.set_opcode(dns.opcode.NOTIFY)
        response.flags |= dns.flags.QR
        return response.to_wire()

    async with scene(unsigned, signed=True) as made:
        await publish(made)
        await made.advance(DEBOUNCE, 1)
        await until(lambda: made.clock.sleepers == 1)
        assert not made.told.is_acknowledged
        made.listener.reply = accept
        await made.tick_until(lambda: bool(made.ended))
        assert made.ended == [Told(1, 2, 0)]


async def test_a_refusal_is_tried_again_and_a_secondary_without_notify_is_not() -> None:
    """REFUSED may be mended by its owner; NOTIMP ends it (RFC 1996, section 3.12)."""

    def says(rcode: dns.rcode.Rcode) -> Reply:
        def reply(message: dns.message.Message) -> bytes:
            response = dns.message.make_response(message)
            response.set_rcode(rcode)
            return response.to_wire()

        return reply

    async with scene(says(dns.rcode.REFUSED)) as made:
        await publish(made)
        await made.advance(DEBOUNCE, 1)
        await until(lambda: made.told.rcode == dns.rcode.REFUSED)
        made.listener.reply = says(dns.rcode.NOTIMP)
        await made.tick_until(lambda: bool(made.ended))
        assert made.ended == [Told(1, 2, dns.rcode.NOTIMP)]


async def test_a_zone_that_is_gone_is_told_no_more() -> None:
    """Withdrawing a zone ends its NOTIFYs."""
    async with scene(silence) as made:
        await publish(made)
        await made.advance(DEBOUNCE, 1)
        made.authority.withdraw(ORIGIN)
        await made.clock.advance(100)
        assert len(made.listener.received) == 1
        assert not made.notifier.told
