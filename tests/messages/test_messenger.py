"""Who tells: looks at the situation by itself, and knows the faults of its own process."""

from __future__ import annotations

import random
from pathlib import Path

from homing.effects.clock import ManualClock
from homing.effects.metrics import Metrics
from homing.effects.secret import secret_from_file
from homing.messages.messenger import LOOK, Messenger, Wishes
from homing.messages.watch import Situation


async def test_a_fault_of_homing_itself_is_told_once(tmp_path: Path) -> None:
    """Whichever part it was in; a part that fails over and over is told once an hour."""
    (tmp_path / "urls").write_text("json://127.0.0.1/")
    sent: list[str] = []

    async def deliver(url: str, title: str, text: str) -> None:
        sent.append(f"{title}: {text}")

    clock, metrics = ManualClock(), Metrics("1")
    wishes = Wishes(secret_from_file(tmp_path / "urls", "urls"), gather=1.0)
    messenger = Messenger(wishes, Situation, metrics, clock=clock, chance=random.Random(1), deliver=deliver)
    async with messenger.running():
        await clock.advance(LOOK)
        metrics.faults.labels("turns of gandi").inc()
        for _ in range(5):
            await clock.advance(LOOK)
            metrics.faults.labels("turns of gandi").inc()
        (one,) = sent
        assert "turns of gandi fault" in one
        assert "please report it" in one
        metrics.faults.labels("page").inc()
        for _ in range(3):
            await clock.advance(LOOK)
        assert "page" in sent[1]
        assert metrics.registry.get_sample_value("homing_messages_total", {"kind": "fault", "result": "sent"}) == 2
