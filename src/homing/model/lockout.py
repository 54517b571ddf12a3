"""A pause that a provider asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lockout:
    """A pause for a whole account (``host`` empty) or one host.

    ``host`` is a name without the final dot. ``since`` and ``until`` are Unix seconds; ``until`` None means: until a
    person changes something. ``fingerprint`` stands for the credentials in use when it was earned.
    """

    provider: str
    account: str
    host: str
    code: str
    reason: str
    since: float
    until: float | None
    fingerprint: str
