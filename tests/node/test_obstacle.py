"""Where there can be no node, that is told, and nothing is installed for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.image.builder import ROOT


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_a_root_that_may_make_no_namespaces_is_told_so() -> None:
    """``make test`` goes on without the node and says why: no root, or a root without the right to namespaces."""
    without = ["setpriv", "--bounding-set=-sys_admin"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*without, sys.executable, "-m", "tests.node"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The tests on a real node (tests/node) are skipped: a node needs ")
    assert not done.stdout, "nothing was installed"
