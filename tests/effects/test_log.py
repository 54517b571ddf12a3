"""What the log shows of what strangers wrote."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from homing.effects.log import configure, get_logger
configure(json={json})
get_logger("test").warning("seen", name="www\\x1b]0;owned\\x07\\x9b31m", place="Z\\u00fcrich")
"""


@pytest.mark.parametrize("json", [False, True])
def test_what_a_stranger_wrote_does_not_speak_to_the_terminal(*, json: bool) -> None:
    """Control characters of a value arrive as text, in both formats."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM.format(json=json)], capture_output=True, check=True, timeout=30)
    told = ran.stderr.decode()
    assert "www" in told
    assert json or "Zürich" in told
    assert told.rstrip("\n").isprintable()
