"""Work that makes thousands of objects that stay, spared from the search for garbage among them; and what it leaves."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Generator


@contextlib.contextmanager
def uncollected(*, stays: bool = False) -> Generator[None, None, None]:
    """While entered nothing is looked for: there is next to none, and looking takes a third of the time.

    ``stays``: what there is at the end is left out of later searches, too; not for what happens often, since garbage of
    that moment stays with it.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if stays:
                gc.freeze()
            gc.enable()


def give_back() -> None:
    """Have the C library give free memory back to the system, after work that took much for a while.

    It keeps what was freed below what is still held (malloc_trim(3), glibc); elsewhere nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
