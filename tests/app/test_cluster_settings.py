"""The settings of operator and agent say what cannot be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from homing.app.cluster.settings import load_settings
from homing.errors import ConfigError


def test_strato_itself_is_asked_once_a_minute(tmp_path: Path) -> None:
    """A shorter time between two requests for a host needs another server, in the file as by flags."""
    with pytest.raises(ConfigError, match="strato-cooldown: is under 60 s"):
        load_settings(None, {"strato_cooldown": 5.0})
    file = tmp_path / "operator.toml"
    file.write_text('strato-cooldown = 5\nstrato-server = "http://127.0.0.1:8080/nic/update"\n')
    assert load_settings(file, {"strato_server": None}).strato_cooldown == 5
