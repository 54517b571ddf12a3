"""What docs/reference/ says is what the code says."""

from __future__ import annotations

import msgspec
import pytest

from homing.app.settings import ProviderSettings, Settings, provider_types
from tests.docs.reference import FOLDER, _below, documented, pages


@pytest.mark.parametrize("name", ["settings.md", "kinds.md", "commands.md"])
def test_the_reference_is_that_of_the_code(name: str) -> None:
    """Where it is not: make reference."""
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name]


def test_every_setting_says_what_it_is_for() -> None:
    """Each key that is no table has a text of its own."""
    tables: list[type[msgspec.Struct]] = [Settings]
    seen: set[type[msgspec.Struct]] = {ProviderSettings, *provider_types().values()}
    while tables:
        kind = tables.pop()
        seen.add(kind)
        tables += [below for _, below in _below("", kind)]
    assert len(seen) > 10
    for kind in seen:
        keys = {field.name for field in msgspec.structs.fields(kind)}
        tabled = {place for place, _ in _below("", kind)} | {"zones", "keys", "names", "providers"}
        assert keys - documented(kind).keys() - tabled == set(), kind
