"""Work that makes thousands of objects that stay, spared from the search for garbage among them."""

from __future__ import annotations

import contextlib
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
