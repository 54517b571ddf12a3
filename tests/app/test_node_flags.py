"""The flags of a zone of nodes: the guide, and where its state goes."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from homing.app.cli import node_flags
from homing.app.cli.dns import dns_command
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


def test_the_guide_tells_every_flag_with_its_default() -> None:
    """And no other; docs/nodes.md."""
    page = (Path(__file__).parents[2] / "docs" / "nodes.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^[|] `--([a-z-]+)` [|] ?`?([^`|]*?)`? [|]", page, re.MULTILINE))
    flags = {
        option.name.replace("_", "-"): "" if option.is_flag or option.default == "" else str(option.default)
        for option in dns_command.params
        if isinstance(option, click.Option) and option.name in {*node_flags._KEYS, "leader_elect"}
    }
    assert told == flags
