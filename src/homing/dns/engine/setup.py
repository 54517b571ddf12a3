"""How the server answers, apart from its zones: made by the main process, told to every worker."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from homing.dns.cookie import SECRET_SIZE, Cookies
from homing.dns.engine.limit import RateLimit
from homing.dns.respond import Manner


@dataclass(frozen=True, slots=True)
class Setup:
    """``cookie_secret`` is 16 octets: one for all servers that share an address (RFC 9018, section 5)."""

    cookie_secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_SIZE), repr=False)
    nsid: bytes = b""
    version: str | None = None
    identity: str | None = None
    limit: RateLimit = field(default_factory=RateLimit)

    @property
    def manner(self) -> Manner:
        """What the answering needs of it."""
        return Manner(Cookies(self.cookie_secret), self.nsid, self.version, self.identity)

    def data(self) -> tuple[Any, ...]:
        """As plain values."""
        limit = (self.limit.rate, self.limit.slip, self.limit.exempt)
        return self.cookie_secret, self.nsid, self.version, self.identity, limit

    @classmethod
    def from_data(cls, data: Any) -> Setup:
        """From plain values."""
        secret, nsid, version, identity, limit = data
        return cls(secret, nsid, version, identity, RateLimit(*limit))
