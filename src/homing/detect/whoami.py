"""Asks a name server that answers with the address of the asker (DNS whoami), over UDP."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from homing.detect.datagram import exchange
from homing.detect.whoami_message import build_query, read_answer
from homing.errors import MessageError, ObservationError
from homing.model.address import Address
from homing.model.name import Name

WAITS = (0.5, 1.0, 8.0)
"""Seconds waited after each transmission."""


async def ask_whoami(
    address: Address,
    port: int,
    question: tuple[Name, int, int],
    *,
    identifier: int | None = None,
    waits: Sequence[float] = WAITS,
) -> Address:
    """The address in the answer to a question of name, type and class, from the server at ``address``.

    The id and, through a fresh socket, the source port are random. Whether the address counts is for the caller to
    judge. Raises ObservationError, and OSError from the socket.
    """
    query = build_query(secrets.randbits(16) if identifier is None else identifier, *question)

    def read(data: bytes) -> Address | None:
        try:
            return read_answer(query, data)
        except MessageError as error:
            raise ObservationError(f"the server {error}") from None

    return await exchange(address, port, query, waits, read)
