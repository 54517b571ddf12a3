"""Where the state of a zone by flags goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from homing.app.cli import node_flags
from homing.app.cli.node_flags import writable_state


def test_state_goes_into_memory_where_files_are_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the container of the Go node DNS; into a directory of our own, and nobody else's."""
    monkeypatch.setattr(node_flags, "SHARED_MEMORY", tmp_path)
    assert writable_state(tmp_path / "state") == tmp_path / "state"
    (tmp_path / "file").touch()
    wanted = tmp_path / "file" / "state"
    memory = writable_state(wanted)
    assert memory.parent == tmp_path
    assert memory.stat().st_mode & 0o777 == 0o700
    memory.chmod(0o777)
    assert writable_state(wanted) == wanted
