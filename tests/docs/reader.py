"""A reader of the guides: a checkout, a shell whose programs are stand-ins, and what the pages take for there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.docs.blocks import ROOT, blocks
from tests.docs.programs import REAL, STAND_INS, STATE
from tests.lab.namespaces import search_path

ZONE = "$TTL 300\n@ SOA ns1 admin 1 3600 900 86400 30\n@ NS ns1\nns1 A 192.0.2.53\n"

DNS_INI = """\
[gandi]
api_key = "API_KEY"
target_domain_fqdn = TARGET_DOMAIN_FQDN
record_name_root = home
[WANIPState]
ip_check_services = {"svc": ["https://ip.example.org/"]}
"""

FILES = {
    "zones/example.org.zone": ZONE,
    "dns.ini": DNS_INI,
    "ca.pem": "",
    "gandi.token": "token-of-the-house-0815",
    "strato.password": "open-sesame-4711",
}
"""Files that pages take for there."""

BEFORE = {
    "deploy/helm/homing/README.md": "cd deploy/helm/homing\n",
    "docs/page.md": "homing up --state state &\n"
    "for _ in $(seq 100); do curl -sf localhost:8053/readyz >readyz && break; sleep 0.1; done\n",
}
"""What pages take for done."""

_HEAD = """
set -eE -o pipefail
trap 'echo "this failed: $BASH_COMMAND" >&2' ERR
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT
lasting() {{ READER_PARSES=yes "$@"; "$@" & }}
cd {folder}
"""

_LASTING = re.compile(
    r"^(homing (?:up|demo|dns(?! check| stats)|.*--watch)(?:[^&#\n]*[^&#\n ])?)( *#.*)?$", re.MULTILINE
)
"""A command that a reader would look at and end, or leave in a window of its own."""


def script(page: str) -> str:
    """Every command of a page, as it stands; lasting ones in the background, and settings put where the page says."""
    parts = [BEFORE.get(page, "")]
    for block in blocks(page):
        if block.language == "sh":
            parts.append(_LASTING.sub(r"lasting \1", block.text))
        elif block.title == "homing.toml":
            parts.append(f"cat >>homing.toml <<'END'\n{block.text}END\n")
    return "\n".join(parts)


def furnish(folder: Path, kubeconfig: Path | None = None) -> tuple[str, Mapping[str, str]]:
    """The head of the reader's script, and the environment, in a folder that is made ready."""
    home = folder / "homing"
    shutil.copytree(ROOT / "deploy", home / "deploy")
    shutil.copytree(ROOT / "examples", home / "examples")
    shutil.copy(ROOT / "examples" / "gandi-domain.yaml", home / "my-domain.yaml")
    for name, text in FILES.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
        (home / name).chmod(0o600)
    call = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.docs.programs {{}} "$@"\n'
    for file in (home / "deploy").rglob("*.sh"):
        file.write_text(call.format(f"script {ROOT / file.relative_to(home)}"))
    programs = folder / "programs"
    programs.mkdir()
    for name in STAND_INS:
        (programs / name).write_text(call.format(name))
        (programs / name).chmod(0o755)
    for name in REAL:
        found = shutil.which(name, path=search_path())
        if found:
            (programs / name).symlink_to(found)
    more = {"PATH": str(programs), "HOME": str(home)}
    if kubeconfig is not None:
        (home / ".cluster").mkdir()
        shutil.copy(kubeconfig, home / ".cluster" / "kubeconfig")
        more |= {"KUBECONFIG": str(home / ".cluster" / "kubeconfig"), STATE: str(folder / "cluster")}
    return _HEAD.format(folder=home), more


def told(done: subprocess.CompletedProcess[str]) -> str:
    """Why a page did not work."""
    return f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
