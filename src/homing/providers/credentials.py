"""What providers share in handling their credentials."""

from __future__ import annotations

import hashlib

from homing.effects.secret import Secret
from homing.errors import ConfigError, ProviderBusy


def reveal(secret: Secret, provider: str) -> str:
    """The secret's text. Raises ProviderBusy when it cannot be read: once it can, updates go on by themselves."""
    try:
        return secret.reveal()
    except ConfigError as error:
        raise ProviderBusy("secret", f"provider {provider}: no request was made: {error}") from None


def combined_fingerprint(secret: Secret, salt: bytes, *settings: str) -> str:
    """Changes when the secret or one of the settings beside it (user, server) does; ``""`` when it is unreadable."""
    own = secret.fingerprint(salt)
    return hashlib.sha256("\0".join((own, *settings)).encode()).hexdigest()[:32] if own else ""
