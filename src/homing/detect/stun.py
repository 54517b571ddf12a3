"""Asks a STUN server (RFC 8489) for this machine's address, over UDP and TCP."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import secrets
import socket
from collections.abc import Callable, Sequence

from homing.detect.datagram import exchange, open_socket
from homing.detect.stun_message import (
    BINDING,
    HEADER,
    MAX_MESSAGE,
    TRANSACTION_LENGTH,
    TRY_ALTERNATE,
    Kind,
    StunMessage,
    binding_request,
    is_about,
    message_length,
    parse_message,
)
from homing.errors import MessageError, ObservationError
from homing.model.address import Address, Network, publishable

DEFAULT_PORT = 3478
"""The port of STUN over UDP and TCP (RFC 8489, section 18.6)."""

RTO = 0.5
"""Seconds until the first retransmission over UDP (RFC 8489, section 6.2.1)."""

WAITS = (*(RTO * 2**count for count in range(6)), 16 * RTO)
"""Seconds waited after each of the Rc = 7 transmissions, the last one Rm = 16 times the RTO (section 6.2.1)."""

TCP_TIMEOUT = 39.5
"""Seconds for a whole transaction over TCP (Ti, section 6.2.2)."""

MAX_STREAM = 4 * MAX_MESSAGE
"""Bytes read from a TCP stream that does not come to the point."""


class Transport(enum.Enum):
    """What carries the messages."""

    UDP = "udp"
    TCP = "tcp"


def random_transaction() -> bytes:
    """A transaction id nobody can guess (RFC 8489, section 5)."""
    return secrets.token_bytes(TRANSACTION_LENGTH)


async def ask_stun(
    address: Address,
    port: int = DEFAULT_PORT,
    transport: Transport = Transport.UDP,
    *,
    accept: Sequence[Network] = (),
    transaction: Callable[[], bytes] = random_transaction,
    waits: Sequence[float] = WAITS,
) -> Address:
    """The address in XOR-MAPPED-ADDRESS, as the server at ``address`` says it.

    An ALTERNATE-SERVER is followed once, to a globally reachable address (or one in ``accept``) of the same family
    (section 10). Whether the mapped address counts is for the caller to judge. The caller also bounds the whole
    by its own deadline. Raises ObservationError, and OSError from the socket.
    """
    message = await _transact(address, port, transport, transaction(), waits)
    if message.kind is Kind.ERROR:
        alternate = _alternate(message, address, accept)
        message = await _transact(*alternate, transport, transaction(), waits)
    return _mapped(message)


async def _transact(
    address: Address, port: int, transport: Transport, transaction: bytes, waits: Sequence[float]
) -> StunMessage:
    def read(data: bytes) -> StunMessage | None:
        return _read(data, transaction)

    request = binding_request(transaction)
    if transport is Transport.UDP:
        return await exchange(address, port, request, waits, read)
    try:
        async with asyncio.timeout(TCP_TIMEOUT):
            return await _stream(address, port, request, read)
    except TimeoutError:
        raise ObservationError("no answer over TCP") from None


async def _stream(
    address: Address, port: int, request: bytes, read: Callable[[bytes], StunMessage | None]
) -> StunMessage:
    loop = asyncio.get_running_loop()
    received = 0
    with contextlib.closing(open_socket(address, socket.SOCK_STREAM)) as sock:
        await loop.sock_connect(sock, (str(address), port))
        await loop.sock_sendall(sock, request)
        while received < MAX_STREAM:
            header = await _exactly(sock, HEADER.size)
            try:
                length = message_length(header)
            except MessageError as error:
                raise ObservationError(f"the server sent {error}") from None
            message = header + await _exactly(sock, length - HEADER.size)
            answer = read(message)
            if answer is not None:
                return answer
            received += length
    raise ObservationError(f"the server sent {MAX_STREAM} bytes and no answer")


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        part = await loop.sock_recv(sock, size - len(data))
        if not part:
            raise ObservationError("the server closed the connection before its answer was complete")
        data += part
    return data


def _read(data: bytes, transaction: bytes) -> StunMessage | None:
    """The response in a packet; None when it belongs to another transaction or is no response."""
    if not is_about(data, transaction):
        return None
    try:
        message = parse_message(data)
    except MessageError as error:
        raise ObservationError(f"the server sent {error}") from None
    if message.kind in (Kind.REQUEST, Kind.INDICATION) or message.method != BINDING:
        return None
    return message


def _alternate(message: StunMessage, asked: Address, accept: Sequence[Network]) -> tuple[Address, int]:
    """Where an error response sends us; every other error ends the transaction."""
    try:
        code, reason = message.error
        alternate = message.alternate if code == TRY_ALTERNATE else None
    except MessageError as error:
        raise ObservationError(f"the server sent {error}") from None
    if alternate is None:
        raise ObservationError(f"the server answered with error {code} {reason}".rstrip())
    address, port = alternate
    if address.version != asked.version or not port or not publishable(address, accept):
        raise ObservationError(f"the server points to {address}, which is not asked")
    return address, port


def _mapped(message: StunMessage) -> Address:
    try:
        if message.kind is Kind.ERROR:
            code, reason = message.error
            raise ObservationError(f"the alternate server answered with error {code} {reason}".rstrip())
        if message.not_understood:
            unknown = ", ".join(f"0x{kind:04x}" for kind in message.not_understood[:4])
            raise ObservationError(f"the answer demands knowledge of unknown STUN attributes ({unknown})")
        mapped = message.mapped
    except MessageError as error:
        raise ObservationError(f"the server sent {error}") from None
    if mapped is None:
        raise ObservationError("the answer has no XOR-MAPPED-ADDRESS")
    return mapped[0]
