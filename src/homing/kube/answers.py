"""What the API server answered: objects, pages of lists, and refusals as errors of our tree."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic

import msgspec

from homing.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    KubeUnavailable,
    NotFound,
    Unauthorized,
)
from homing.kube.objects import Key, ListMeta, PartialObject, Status, T, key_of

_LONGEST_WORD = 500
"""Characters kept of what the server says about a refusal."""

_KINDS: dict[int, type[KubeError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
}


class _WirePage(msgspec.Struct, Generic[T]):
    metadata: ListMeta
    items: list[T] | None = None


class _RawPage(msgspec.Struct):
    metadata: ListMeta
    items: list[msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; ``token`` asks for the next, and is empty on the last.

    ``unreadable`` are the objects that do not fit their type, with why; they are not in ``items``.
    """

    items: list[T]
    version: str
    token: str
    unreadable: Mapping[Key, str]


@functools.cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The decoder of a type; made once."""
    return msgspec.json.Decoder(kind)


def read_object(body: bytes, kind: type[T]) -> T:
    """One object. Raises KubeError when it does not fit its type."""
    try:
        decoded: T = decoder(kind).decode(body)
    except msgspec.DecodeError as error:
        raise KubeError(
            200, "Unreadable", f"the API server sent a {kind.__name__} that cannot be read: {error}"
        ) from None
    return decoded


def read_page(body: bytes, kind: type[T]) -> Page[T]:
    """A page of a list. One object that does not fit its type is told of, and takes no other down with it."""
    try:
        page: _WirePage[T] = decoder(_WirePage[kind]).decode(body)  # type: ignore[valid-type]
    except msgspec.ValidationError:
        pass
    except msgspec.DecodeError:
        raise KubeUnavailable(200, "Unreadable", "the API server sent a list that cannot be read") from None
    else:
        return Page(page.items or [], page.metadata.resource_version, page.metadata.continue_, {})
    items: list[T] = []
    unreadable: dict[Key, str] = {}
    try:
        raw = decoder(_RawPage).decode(body)
        for each in raw.items or ():
            try:
                items.append(decoder(kind).decode(each))
            except msgspec.ValidationError as error:
                unreadable[key_of(decoder(PartialObject).decode(each))] = str(error)
    except msgspec.DecodeError:
        raise KubeUnavailable(200, "Unreadable", "the API server sent a list that cannot be read") from None
    return Page(items, raw.metadata.resource_version, raw.metadata.continue_, unreadable)


def refusal(code: int, headers: Mapping[str, str], body: bytes, what: str) -> KubeError:
    """The error for an answer that is no success, in the server's own words where it has any."""
    try:
        status: Status = decoder(Status).decode(body)
    except msgspec.DecodeError:
        status = Status()
    reason = status.reason or f"http-{code}"
    said = status.message[:_LONGEST_WORD] or reason
    message = f"{what}: {said}"
    if code == 429 or code >= 500:
        return KubeUnavailable(code, reason, message, seconds=_retry_after(headers, status))
    return _KINDS.get(code, KubeError)(code, reason, message)


def _retry_after(headers: Mapping[str, str], status: Status) -> float | None:
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit() and len(text) < 6:
        return float(text)
    return float(status.details.retry_after_seconds) if status.details and status.details.retry_after_seconds else None
