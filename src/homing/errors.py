"""The error tree. Every message says what happened, to what, and what to do next; none holds a secret.

HomingError
├── ConfigError            a setting is wrong: names the file, the key and the remedy
├── ModelError             a value is not what it claims to be (also a ValueError)
├── MessageError           a DNS or STUN message cannot be read
├── ResolveError           a host name has no address, or the resolver does not say
├── ObservationError       one observer could not say the address
├── ListenError            an address and port cannot be listened on
├── DeliveryError          a message to a person was not taken
├── WorkerError            a process that answers cannot be started
├── StoreError             the state directory cannot be used
│   └── StateLocked        another Homing holds it
├── NotLeading             this process does not lead, or no longer, and so must not write
├── KubeError              the API server of Kubernetes refused a request; its word for why is ``reason``
│   ├── KubeUnavailable    try again later (no connection, timeouts, 5xx, 429)
│   ├── Unauthorized       401: the credentials are not known there, or have expired
│   ├── Forbidden          403: they lack the right
│   ├── NotFound           404
│   ├── Conflict           409: changed since it was read, or it exists already
│   ├── Gone               410: what was asked about lies too far back; list anew
│   └── Invalid            422: the object does not fit its schema
└── ProviderError          a provider did not do what was asked
    ├── ProviderBusy       try again later by itself (timeouts, 5xx, resets)
    ├── ProviderRefused    this one request is wrong; asking again unchanged does not help
    └── ProviderLocked     stop until a person changes something, or until a time
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import cast


class HomingError(Exception):
    """Base of everything Homing raises on purpose."""


class ConfigError(HomingError):
    """A setting is wrong. ``where`` is ``file: key``, ``remedy`` what to write instead."""

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{where}: {problem}" + (f"; {remedy}" if remedy else ""))
        self.where = where
        self.problem = problem
        self.remedy = remedy


def first_cause(error: BaseException) -> BaseException:
    """The first error inside a group, as tasks that run side by side raise it; other errors as they are."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def kind_and_place(error: BaseException) -> str:
    """What nobody expected, by kind and place: its text is not ours and may hold anything, a secret too."""
    cause = first_cause(error)
    frames = traceback.extract_tb(cause.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(cause).__name__}{place}"


class ModelError(HomingError, ValueError):
    """A value is not what it claims to be: a name, an address, a zone."""


class MessageError(HomingError):
    """A wire message cannot be read."""


class ResolveError(HomingError):
    """A host name has no address of the family asked for, or the resolver does not say."""


class ObservationError(HomingError):
    """One observer could not say the address; the text is shown to the user as its answer."""


class ListenError(HomingError):
    """A server cannot listen where it should. ``service`` is what would have listened there (``DNS over UDP``)."""

    def __init__(self, service: str, address: str, port: int, reason: str, remedy: str) -> None:
        super().__init__(f"{service}: cannot listen on {address} port {port}: {reason}; {remedy}")
        self.address = address
        self.port = port
        self.reason = reason
        self.remedy = remedy


class DeliveryError(HomingError):
    """A receiver did not take a message; the text never holds its URL."""


class WorkerError(HomingError):
    """A process that answers DNS queries cannot be started, or its server was closed meanwhile."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"DNS workers cannot be started: {reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class StoreError(HomingError):
    """The state directory cannot be used as asked (read-only, full, not a directory)."""


class StateLocked(StoreError):  # noqa: N818 - a state, as in the tree above
    """Another Homing process holds the state directory."""


class NotLeading(HomingError):  # noqa: N818 - a state, as in the tree above
    """This process does not lead, or its time ran out before the write began; nothing was sent."""


class KubeError(HomingError):
    """The API server refused a request, or could not be asked.

    ``status`` is the HTTP status (0 when there was no answer), ``reason`` the API's word for it (``NotFound``,
    ``AlreadyExists``, ``Expired``; ``Timeout`` and the like when there was no answer). The text holds what the server
    said, never a credential.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class KubeUnavailable(KubeError):  # noqa: N818
    """The API server cannot be asked now. ``seconds`` is how long it wants to be left alone (``Retry-After``)."""

    def __init__(self, status: int, reason: str, message: str, *, seconds: float | None = None) -> None:
        super().__init__(status, reason, message)
        self.seconds = seconds


class Unauthorized(KubeError):  # noqa: N818
    """401, also after the credentials were read again."""


class Forbidden(KubeError):  # noqa: N818
    """403: a role or a binding is missing."""


class NotFound(KubeError):  # noqa: N818
    """404: no such object, or no such kind."""


class Conflict(KubeError):  # noqa: N818
    """409: the object changed since it was read, or exists already (``reason`` tells which)."""


class Gone(KubeError):  # noqa: N818
    """410: the version or the list asked about has been compacted away."""


class Invalid(KubeError):  # noqa: N818
    """422: the object does not fit its schema; the text says which field."""


class ProviderError(HomingError):
    """A provider did not do what was asked.

    ``code`` is the provider's own word for it (``badauth``, ``http-500``, ``timeout``), safe to show and to count.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ProviderBusy(ProviderError):  # noqa: N818
    """The provider cannot serve now; trying again later, with backoff, is right.

    ``seconds`` is how long the provider asks to be left alone, where it says so (``Retry-After``).
    """

    def __init__(self, code: str, message: str, *, seconds: float | None = None) -> None:
        super().__init__(code, message)
        self.seconds = seconds


class ProviderRefused(ProviderError):  # noqa: N818
    """The provider refuses this one request; the same request again would be refused again."""


class ProviderLocked(ProviderError):  # noqa: N818
    """Stop asking: until a person changes something (``seconds`` is None) or for ``seconds``.

    ``account`` tells whether the whole account is meant or only the host that was asked for.
    """

    def __init__(self, code: str, message: str, *, account: bool, seconds: float | None = None) -> None:
        super().__init__(code, message)
        self.account = account
        self.seconds = seconds
