"""What is released works where only it is: the wheel in a clean environment, its manual, completions and units."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homing import __version__
from tests.app.running import HOMING, environment, get
from tests.app.test_dns_command import Server
from tests.waiting import until

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"


def run(*words: str | Path, **more: str) -> str:
    """What a command prints; it must end well."""
    ran = subprocess.run(
        [str(word) for word in words], env=os.environ | more, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of an environment that holds the wheel and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("release")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    wheels = list(folder.glob("*.whl"))
    assert [wheel.name for wheel in wheels] == [f"homing-{__version__}-py3-none-any.whl"]
    run(UV, "pip", "install", "--quiet", "--python", folder / "venv", wheels[0])
    yield folder / "venv" / "bin"
    shutil.rmtree(folder, ignore_errors=True)


def test_the_wheel_serves_names_in_a_clean_environment(installed: Path, tmp_path: Path) -> None:
    """`pip install`, `homing up`: the page is there and a question for a name is answered."""
    assert run(installed / "homing", "--version") == f"homing {__version__}\n"
    words = [str(installed / "homing"), "up", "--state", str(tmp_path / "state"), "--dns", "127.0.0.1:0"]
    with Server([*words, "--web", "127.0.0.1:0"], tmp_path, environment(tmp_path)) as server:
        until(lambda: get(f"{server.web}/readyz")[0] == 200, 20, "readiness")
        assert "home.arpa" in get(f"{server.web}/")[1]
        assert server.values("home.arpa", "SOA")


def test_uvx_runs_it_without_installing_it(installed: Path, tmp_path: Path) -> None:
    """`uvx homing`, from the wheel: in an environment of uv's own, from any folder."""
    (wheel,) = installed.parents[1].glob("*.whl")
    words = (UV, "tool", "run", "--isolated", "--quiet", "--python", sys.executable, "--from", wheel, "homing")
    (tmp_path / "homing.toml").write_text(run(*words, "init"))
    assert run(*words, "check", "-c", tmp_path / "homing.toml").endswith("fine, 1 names\n")


def test_the_wheel_holds_what_is_no_python(installed: Path) -> None:
    """The templates of the page, the example of the settings, the guides of `homing migrate`."""
    assert "[[names]]" in run(installed / "homing", "init")
    domains = ROOT / "examples" / "strato-domain.yaml"
    assert "The way back" in run(installed / "homing", "migrate", "strato", domains)
    assert run(installed / "homing", "crds").count("kind: CustomResourceDefinition") == 6


def test_the_manual_tells_every_command(tmp_path: Path) -> None:
    """Each command of --help has its section, and groff has nothing to say against it."""
    page = run(*HOMING, "man")
    commands = re.findall(r"^  (\S+)  ", run(*HOMING, "--help").partition("Commands:")[2], re.MULTILINE)
    assert len(commands) > 10
    for command in commands:
        assert f".SS homing {command}".replace("-", "\\-") in page
    if shutil.which("groff"):
        file = tmp_path / "homing.1"
        file.write_text(page, encoding="utf-8")
        assert subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", "-z", str(file)], capture_output=True, check=True, timeout=60
        ).stderr == b""  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_flags(shell: str) -> None:
    """The script asks the command itself; what it is told holds what fits."""
    assert "_HOMING_COMPLETE" in run(*HOMING, "completion", shell)
    told = run(
        *HOMING,
        _HOMING_COMPLETE=f"{shell}_complete",
        COMP_WORDS="homing hist",
        COMP_CWORD="1" if shell != "fish" else "hist",
    )
    assert "history" in told
    assert "status" not in told


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", ["homing.service", "homing-dns.service"])
def test_systemd_takes_the_unit_and_finds_it_well_guarded(unit: str, tmp_path: Path) -> None:
    """No complaint, and an exposure of at most 2.0 of 10."""
    text = (ROOT / "deploy" / "systemd" / unit).read_text(encoding="utf-8")
    file = tmp_path / unit
    file.write_text(
        text.replace("ExecStart=homing ", f"ExecStart={HOMING[0]} ").replace("Documentation=man:homing(1)\n", "")
    )
    told = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert unit not in told.stderr
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", file)
