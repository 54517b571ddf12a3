"""Tests side by side (``pytest -n 2``): what stays together, and what is alone (docs/design/022)."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = (
    ("tests/deploy/test_apply.py", "tests/deploy/test_helm.py", "tests/deploy/test_scripts.py"),
    ("tests/node/",),
)
"""Files or folders whose tests share something of the session that takes long to make: one worker has them all."""


class ByFile(LoadScopeScheduling):
    """A worker takes a file after the other, in the order of the names; what belongs together counts as one file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((each[0] for each in TOGETHER if file.startswith(each)), file)


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait until nothing that runs is alone, or until nothing runs; ``folder`` is one that all workers see.

    Who waits to be alone lets nobody else begin. A worker that dies gives way.
    """
    with (folder / "queue").open("ab") as queue, (folder / "room").open("ab") as room:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)  # told, since a forked child that lives on may have the file as well


def common_folder(config: pytest.Config) -> Path | None:
    """A folder that all workers of a run see, gone with their temporary files; None where there is one process."""
    if not hasattr(config, "workerinput"):
        return None
    return Path(config.getoption("basetemp")).parent
