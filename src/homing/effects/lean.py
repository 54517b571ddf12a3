"""Keeping out what a library would load although nobody needs it."""

from __future__ import annotations

import contextlib
import importlib
import ssl
import sys
import threading
from collections.abc import Generator
from typing import Any


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


def load_aiohttp() -> None:
    """Load aiohttp without the system's authorities, which it reads at once: 30 ms and 1 MB.

    They would be for requests that bring no TLS context. Ours bring one; any other would find that it trusts nobody.
    """
    if "aiohttp" in sys.modules:
        return
    default, here = ssl.create_default_context, threading.get_ident()

    def empty(*given: Any, **named: Any) -> ssl.SSLContext:
        if threading.get_ident() != here:
            return default(*given, **named)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    ssl.create_default_context = empty
    try:
        importlib.import_module("aiohttp")
    finally:
        ssl.create_default_context = default
