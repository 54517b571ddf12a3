"""The lab as a fixture: one for each module that asks for it, skipped with a reason where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.lab import Lab
from tests.lab.namespaces import obstacle


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A home in a box, 20 ms from the internet."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    with Lab() as made:
        yield made
