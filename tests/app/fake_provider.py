"""A provider that keeps RRsets in memory and can be told to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from homing.errors import ProviderError, ProviderRefused
from homing.model.name import Name
from homing.model.rrset import RRset
from homing.plan import NameChange
from homing.providers.base import Traits


class FakeProvider:
    """Remembers every request in ``applied`` and raises what ``fails`` says for a name."""

    def __init__(self, name: str = "fake", traits: Traits | None = None) -> None:
        self.name = name
        self.traits = traits or Traits(readable=True)
        self.held: dict[tuple[Name, int], RRset] = {}
        self.applied: list[NameChange] = []
        self.reads = 0
        self.user = "account"
        self.password = "first"
        self.fails: Callable[[Name], ProviderError | None] = lambda _: None
        self.before_apply: Callable[[], object] = lambda: None

    def but(self, **traits: object) -> FakeProvider:
        """The same provider with other traits."""
        self.traits = replace(self.traits, **traits)  # type: ignore[arg-type]
        return self

    def account(self, name: Name) -> str:
        return self.user

    def fingerprint(self, name: Name, salt: bytes) -> str:
        return f"fingerprint of {self.password}"

    async def read(self, name: Name) -> tuple[RRset, ...]:
        self.reads += 1
        if not self.traits.readable:
            raise ProviderRefused("unreadable", "cannot be read")
        error = self.fails(name)
        if error is not None:
            raise error
        return tuple(item for key, item in self.held.items() if key[0] == name)

    async def apply(self, change: NameChange) -> None:
        self.applied.append(change)
        self.before_apply()
        error = self.fails(change.name)
        if error is not None:
            raise error
        for item in change.changes:
            self.held.pop((change.name, item.type), None)
            if item.after is not None:
                self.held[change.name, item.type] = item.after

    async def aclose(self) -> None:
        pass

    def values(self, name: Name) -> set[str]:
        """What the provider holds at a name."""
        return {value for key, item in self.held.items() if key[0] == name for value in item.values}
