"""What every provider can do: two methods and a few traits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from homing.model.name import Name
from homing.model.rrset import RRset
from homing.plan import NameChange


@dataclass(frozen=True, slots=True)
class Traits:
    """What a provider is like.

    ``readable``: what is published can be read, so drift is found and repaired. ``public``: the world reads it, so only
    globally reachable addresses go there. ``min_ttl`` is seconds. ``cooldown`` is the least time in seconds between
    two requests for one host. ``parallel`` is how many names may be changed at a time.
    """

    readable: bool
    public: bool = True
    min_ttl: int = 0
    cooldown: float = 0.0
    parallel: int = 4


class Provider(Protocol):
    """Publishes RRsets.

    Both methods take at most some tens of seconds, raise ProviderBusy, ProviderRefused or ProviderLocked and nothing
    else, and never put a secret into an error.
    """

    @property
    def name(self) -> str:
        """The key of the provider in the settings."""
        ...

    @property
    def traits(self) -> Traits:
        """What it is like."""
        ...

    def account(self, name: Name) -> str:
        """The account a name's requests run under; an account-wide lockout pauses all names that share it."""
        ...

    def fingerprint(self, name: Name, salt: bytes) -> str:
        """Changes when the credentials used for the name change; tells nothing else."""
        ...

    async def read(self, name: Name) -> tuple[RRset, ...]:
        """The A and AAAA RRsets published at the name; an unreadable provider raises ProviderRefused."""
        ...

    async def apply(self, change: NameChange) -> None:
        """Make the changes of one name; when it returns, all of them are published."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
