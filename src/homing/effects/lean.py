"""Keeping out what a library would load although nobody needs it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator


@contextlib.contextmanager
def without(name: str) -> Generator[None, None, None]:
    """Have imports inside find no package of this name, unless it is loaded already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment] # the documented way to block an import
    try:
        yield
    finally:
        del sys.modules[name]
