"""The guides as a site: strict, every link leads somewhere, and the commands of the five minutes at home work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dns_servers import free_port

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


@pytest.mark.skipif(not shutil.which("dig"), reason="needs dig")
def test_the_five_minutes_at_home_end_with_an_answer(tmp_path: Path) -> None:
    """Each command of the page as it stands, but for the ports, and pip: what is installed is this checkout."""
    text = (
        (ROOT / "docs" / "home.md").read_text(encoding="utf-8").partition("## In five minutes")[2].partition("\n## ")[0]
    )
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert commands.pop(0) == "pip install homing"
    dns, web = free_port(), free_port()
    ready = (
        "until dig +tries=1 +time=1 @127.0.0.1 -p 5300 home.arpa SOA +short | grep -q hostmaster; do sleep 0.1; done"
    )
    assert "sleep 3" in commands
    script = "\n".join(commands).replace("sleep 3", ready).replace("5300", str(dns))
    script = script.replace("homing up", f"homing up --web 127.0.0.1:{web} --dns 127.0.0.1:{dns}")
    ran = subprocess.run(
        ["bash", "-e", "-c", f"trap 'kill $(jobs -p)' EXIT\n{script}"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "ns1.home.arpa." in ran.stdout.splitlines()
