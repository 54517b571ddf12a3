"""Talking to a secondary over UDP: one message and its answer, signed both ways when a key is shared."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from homing.dns.message import HEADER_SIZE, Rcode, RRClass
from homing.dns.transfers.transfer import Rule
from homing.dns.transfers.tsig import Key, Keyring, Signer, Verified, skip_name, verify
from homing.effects.clock import Clock
from homing.errors import MessageError
from homing.model.name import Name
from homing.model.rrset import RRType
from homing.model.zone import serial_gt

PATIENCE = 3.0
"""Seconds that a secondary has to answer."""

FIRST_PATIENCE = 1.0
"""Seconds it has when a start waits for it."""

ASKED_AT_ONCE = 256
"""Questions under way at a time when a start asks all secondaries, each with a socket."""

_MAX_ANSWER = 4096


@dataclass(frozen=True, slots=True)
class Secondary:
    """A server that follows this one: IP address, port, and the key to sign with, if it shares one."""

    host: str
    port: int = 53
    key: Key | None = None

    @property
    def rule(self) -> Rule:
        """The rule that lets it transfer."""
        return Rule((ip_network(self.host),), self.key.name if self.key is not None else None)

    def __str__(self) -> str:
        """Address and port, as the settings take them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def exchange(secondary: Secondary, message: bytes, clock: Clock, patience: float = PATIENCE) -> bytes | None:
    """Send a message, signed if there is a key, and give the answer without its signature.

    None when no answer came in time that belongs to the message and is signed as it must be.
    """
    mac = b""
    if secondary.key is not None:
        signer = Signer(secondary.key)
        message = signer.sign(message, clock.time())
        mac = signer.mac
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes | None] = loop.create_future()

    def take(packet: bytes) -> None:
        answer = _answer(packet, message, secondary.key, mac, clock.time())
        if answer is not None:
            _settle(answered, answer)

    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answers(take, lambda: _settle(answered, None)), remote_addr=(secondary.host, secondary.port)
        )
    except OSError:  # no route now; another time there may be one
        return None
    timer = loop.create_task(_expire(clock, answered, patience))
    try:
        transport.sendto(message)
        return await answered
    finally:
        timer.cancel()
        transport.close()


async def ask_serial(
    secondary: Secondary, origin: Name, clock: Clock, chance: random.Random, patience: float = PATIENCE
) -> int | None:
    """The serial of a zone that a secondary serves; None when it does not say."""
    message = struct.pack("!6H", chance.randrange(1 << 16), 0, 1, 0, 0, 0)
    message += origin.wire + struct.pack("!2H", RRType.SOA, RRClass.IN)
    answer = await exchange(secondary, message, clock, patience)
    if answer is None or answer[3] & 0x0F != Rcode.NOERROR:
        return None
    questions, answers = struct.unpack_from("!2H", answer, 4)
    try:
        position = HEADER_SIZE
        for _ in range(questions):
            position = skip_name(answer, position) + 4
        for _ in range(answers):
            position = skip_name(answer, position)
            rtype, _, _, size = struct.unpack_from("!HHIH", answer, position)
            position += 10 + size
            if rtype == RRType.SOA and size >= 22 and position <= len(answer):
                return int.from_bytes(answer[position - 20 : position - 16])
    except (MessageError, struct.error):
        pass
    return None


async def heard_serials(
    secondaries: Mapping[Name, Iterable[Secondary]], clock: Clock, chance: random.Random, patience: float
) -> dict[Name, list[int]]:
    """The serials that the secondaries of some zones serve, as far as they answer within ``patience`` seconds.

    Each is asked twice at most, and each server for itself: one that is silent holds up no other.
    """
    heard: dict[Name, list[int]] = {}
    zones: dict[Secondary, list[Name]] = {}
    for origin, servers in secondaries.items():
        for secondary in servers:
            zones.setdefault(secondary, []).append(origin)

    async def ask(secondary: Secondary, origins: Iterator[Name]) -> None:
        for origin in origins:
            for _ in range(2):
                serial = await ask_serial(secondary, origin, clock, chance, FIRST_PATIENCE)
                if serial is not None:
                    heard.setdefault(origin, []).append(serial)
                    break

    asking: list[asyncio.Future[None]] = []
    for secondary, origins in zones.items():
        left = iter(origins)  # shared by those who ask the same server
        at_once = min(len(origins), max(1, ASKED_AT_ONCE // len(zones)))
        asking += [asyncio.ensure_future(ask(secondary, left)) for _ in range(at_once)]
    if asking:
        _, late = await asyncio.wait(asking, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    return heard


def greatest_serial(serials: Iterable[int]) -> int | None:
    """The greatest by RFC 1982, so that none is ahead; None for no serials."""
    greatest: int | None = None
    for serial in serials:
        if greatest is None or serial_gt(serial, greatest):
            greatest = serial
    return greatest


async def _expire(clock: Clock, answered: asyncio.Future[bytes | None], patience: float) -> None:
    await clock.sleep(patience)
    _settle(answered, None)


def _settle(answered: asyncio.Future[bytes | None], answer: bytes | None) -> None:
    if not answered.done():
        answered.set_result(answer)


def _answer(packet: bytes, message: bytes, key: Key | None, mac: bytes, now: float) -> bytes | None:
    """The answer to a message; None for what is no answer to it or not signed as it must be."""
    is_answer = (
        HEADER_SIZE <= len(packet) <= _MAX_ANSWER
        and packet[:2] == message[:2]
        and packet[2] & 0x80
        and (packet[2] ^ message[2]) & 0x78 == 0
    )
    if not is_answer:
        return None
    if key is None or packet[3] & 0x0F == Rcode.NOTAUTH:  # of a key they do not know, servers cannot tell signed
        return packet
    try:
        verdict = verify(packet, Keyring((key,)), now, request_mac=mac)
    except MessageError:
        return None
    return verdict.message if isinstance(verdict, Verified) else None


class _Answers(asyncio.DatagramProtocol):
    """Hands datagrams and reported errors on."""

    def __init__(self, take: Callable[[bytes], None], fail: Callable[[], None]) -> None:
        self._take = take
        self._fail = fail

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A datagram came from the secondary, or from who took its address."""
        self._take(data)

    def error_received(self, exc: Exception) -> None:
        """The secondary's port is closed, or its host cannot be reached."""
        self._fail()
