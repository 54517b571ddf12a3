"""Clock, backoff and secrets."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.effects.backoff import Backoff
from homing.effects.clock import ManualClock, settle
from homing.effects.secret import secret_from_environment, secret_from_file
from homing.errors import ConfigError


@given(st.integers(0, 100), st.integers(0, 2**32))
def test_backoff_grows_to_its_limit_with_jitter(failures: int, seed: int) -> None:
    """Each wait lies in the upper half of a doubling time that is bounded; without a failure there is none."""
    seconds = Backoff(5.0, 60.0, failures).seconds(random.Random(seed))
    full = min(60.0, 5.0 * 2 ** max(0, failures - 1))
    assert (full / 2 <= seconds <= full) if failures else seconds == 0


async def test_a_manual_clock_wakes_sleepers_in_order() -> None:
    """Sleepers wake at their own time, in order, however far the clock is moved at once."""
    clock = ManualClock(0.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.time()))

    tasks = [asyncio.create_task(sleeper(name, seconds)) for name, seconds in (("b", 20), ("a", 10), ("c", 30))]
    await settle()
    await clock.advance(25)
    assert woken == [("a", 10.0), ("b", 20.0)]
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_secret_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    """Law 3: a changed secret counts at once, whether the file is rewritten or replaced."""
    path = tmp_path / "password"
    path.write_text(" first \n")
    secret = secret_from_file(path, "here")
    before = secret.fingerprint(b"salt")
    assert secret.reveal() == "first"
    path.write_text("second, longer")
    assert secret.reveal() == "second, longer"
    other = tmp_path / "other"
    other.write_text("third, as long")
    other.replace(path)
    assert secret.reveal() == "third, as long"
    assert secret.fingerprint(b"salt") not in (before, "")


def test_a_secret_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr nor error holds the text, and a fingerprint tells nothing without the salt."""
    path = tmp_path / "password"
    path.write_text("hush")
    assert "hush" not in repr(secret_from_file(path, "here"))
    assert secret_from_file(path, "here").fingerprint(b"one") != secret_from_file(path, "here").fingerprint(b"two")
    monkeypatch.setenv("PASSWORD", "hush")
    assert "hush" not in repr(secret_from_environment("PASSWORD", "here"))
    assert secret_from_environment("PASSWORD", "here").reveal() == "hush"


@pytest.mark.parametrize("content", [None, b"", b"  \n", b"\xff\xfe", b"x" * 20_000])
def test_a_secret_that_cannot_be_used_is_told(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty, foreign or endless file is an error that names the file, and has no fingerprint."""
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    secret = secret_from_file(path, "homing.toml: providers.x.password_file")
    with pytest.raises(ConfigError, match=str(path)):
        secret.reveal()
    assert secret.fingerprint(b"salt") == ""


def test_a_missing_variable_is_told() -> None:
    """The variable's name is in the message."""
    assert "HOMING_NO_SUCH" not in os.environ
    with pytest.raises(ConfigError, match="HOMING_NO_SUCH"):
        secret_from_environment("HOMING_NO_SUCH", "here").reveal()
