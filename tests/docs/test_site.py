"""The guides as a site: strict, and every link leads somewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def built(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """The site of a checkout."""
    return subprocess.run(
        [BIN / "mkdocs", "build", "--strict", "--site-dir", site, "-f", root / "mkdocs.yml"],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_site_is_built_without_a_complaint(tmp_path: Path) -> None:
    """Every page is in the navigation, every link and anchor leads somewhere."""
    ran = built(ROOT, tmp_path / "site")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "site" / "home.html").is_file()
    assert (tmp_path / "site" / "design" / "001-layers.html").is_file()


@pytest.mark.parametrize(
    "broken", ["[x](nowhere.md)", "[x](home.md#nowhere)", "[x](../deploy/nowhere.yaml)", "[x](/home.html)"]
)
def test_a_link_that_leads_nowhere_is_told(tmp_path: Path, broken: str) -> None:
    """Inside the guides and beside them."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name in ("mkdocs.yml", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    page = tmp_path / "docs" / "faq.md"
    page.write_text(page.read_text(encoding="utf-8") + f"\n{broken}\n", encoding="utf-8")
    ran = built(tmp_path, tmp_path / "site")
    assert ran.returncode != 0
    assert "nowhere" in ran.stderr or "/home.html" in ran.stderr
