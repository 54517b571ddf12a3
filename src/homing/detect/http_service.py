"""Asks an HTTP service for this machine's address: a text or JSON body that holds it and nothing else."""

from __future__ import annotations

import json
from typing import cast

from homing.effects.clock import Clock
from homing.effects.http import HttpClient, HttpError
from homing.errors import ModelError, ObservationError
from homing.model.address import Address, Family, parse_address

MAX_BODY = 4096
"""Bytes of an answer that are read."""

MAX_REDIRECTS = 3
"""Redirects that are followed."""

COOLDOWN = 0.5
"""Seconds between the two attempts."""

KEYS = ("ip", "address", "origin", "query", "ip_addr")
"""The keys under which JSON services put the address."""

_TEMPORARY = frozenset({"timeout", "reset", "connect", "dns"})


async def ask_http(client: HttpClient, url: str, family: Family, *, clock: Clock, timeout: float) -> Address:
    """The address a service says, asked over one family; two attempts at most within ``timeout`` seconds.

    Only what may pass by itself (no connection, a reset, 5xx) is tried again. Whether the address counts is
    for the caller to judge. Raises ObservationError.
    """
    end = clock.monotonic() + timeout
    try:
        return await _attempt(client, url, family, timeout)
    except _TemporaryError as error:
        left = end - clock.monotonic() - COOLDOWN
        if left <= 0:
            raise ObservationError(str(error)) from None
    await clock.sleep(COOLDOWN)
    return await _attempt(client, url, family, left)


class _TemporaryError(ObservationError):
    """Asking again may help."""


async def _attempt(client: HttpClient, url: str, family: Family, timeout: float) -> Address:
    try:
        response = await client.request(
            "GET",
            url,
            timeout=timeout,
            family=family,
            headers={"Accept": "text/plain, application/json;q=0.9"},
            max_body=MAX_BODY,
            max_redirects=MAX_REDIRECTS,
        )
    except HttpError as error:
        raise (_TemporaryError if error.code in _TEMPORARY else ObservationError)(str(error)) from None
    if response.status >= 500:
        raise _TemporaryError(f"the service answered with status {response.status}")
    if response.status != 200:
        raise ObservationError(f"the service answered with status {response.status}")
    return parse_body(response.body)


def parse_body(body: bytes) -> Address:
    """The one address in a text or JSON body. Raises ObservationError.

    Text holds the address and white space; JSON an object with the address under one of ``KEYS``, or as its only
    value that is an address, or just a string.
    """
    try:
        text = body.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ObservationError("the service answered with something that is not text") from None
    if not text:
        raise ObservationError("the service answered with nothing")
    if text.startswith("<"):
        raise ObservationError("the service answered with a web page (HTML), not with an address")
    if text[0] in '{["':
        text = _from_json(text)
    try:
        return parse_address(text)
    except ModelError:
        shown = "".join(char if char.isprintable() else " " for char in text[:40])
        raise ObservationError(f"the service answered {shown!r}, which is not an address") from None


def _from_json(text: str) -> str:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        raise ObservationError("the service answered with broken JSON") from None
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        strings = {key: member.strip() for key, member in members.items() if isinstance(member, str)}
        found = {strings[key] for key in KEYS if key in strings} or set(filter(_is_address, strings.values()))
        if len(found) == 1:
            return found.pop()
        if found:
            raise ObservationError("the service answered with several addresses")
    raise ObservationError("the service answered with JSON that holds no address")


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except ModelError:
        return False
    return True
