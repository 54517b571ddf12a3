"""A guide's five minutes on the real node."""

from __future__ import annotations

import subprocess

from tests.node.internet import WAN


def test_the_five_minutes_end_with_an_answer(walked: subprocess.CompletedProcess[str]) -> None:
    """Each command of docs/cluster.md as it stands succeeds; dig has the WAN address, then the one set by hand."""
    story = f"{walked.stdout[-3000:]}\n{walked.stderr[-3000:]}"
    assert walked.returncode == 0, story
    answers = [line for line in walked.stdout.splitlines() if line in (WAN, "192.0.2.1")]
    assert answers == [WAN, "192.0.2.1"], story
