"""docs/secondaries.md, copied: Homing as a hidden primary, and each kind of secondary by the sample of the page."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks
from tests.lab.namespaces import Host, obstacle
from tests.waiting import until

PAGE = "docs/secondaries.md"
SECRET = "c2VjcmV0IG9mIHRoZSB0ZXN0cyB3aXRoIDMyIGJ5dGVzISE="

KNOT = """
server:
    rundir: "{folder}"
    listen: 192.0.2.1@53
database:
    storage: "{folder}"
"""

NSD = """
server:
    ip-address: 192.0.2.1
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{folder}"
    pidfile: "{folder}/nsd.pid"
    zonelistfile: "{folder}/zones"
    xfrdfile: "{folder}/xfrd"
    xfrdir: "{folder}"
remote-control:
    control-enable: no
"""

POWERDNS = """
local-address=192.0.2.1
socket-dir={folder}
xfr-cycle-interval=1
"""

BIND = """options {{
    directory "{folder}"; pid-file none; session-keyfile "{folder}/session.key";
    listen-on {{ 192.0.2.1; }}; listen-on-v6 {{ none; }};"""

PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "knot.conf": (KNOT, ("knotd", "-c", "{file}")),
    "named.conf": ("", ("named", "-g", "-n", "1", "-c", "{file}")),
    "nsd.conf": (NSD, ("nsd", "-d", "-c", "{file}")),
    "pdns.conf": (POWERDNS, ("pdns_server", "--daemon=no", "--guardian=no", "--config-dir={folder}")),
}
"""By the name of its file: what a secondary has anyway, where it listens and its folders, and how it is run."""


def sample(title: str) -> str:
    """The file of the page."""
    (text,) = [block.text for block in blocks(PAGE) if block.title == title]
    return text


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Homing on the machine that the page calls 192.0.2.53, and 192.0.2.1 beside it."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    (tmp_path / "homing.toml").write_text(sample("homing.toml"))
    (tmp_path / "ns2.key").write_text(SECRET)
    (tmp_path / "ns2.key").chmod(0o600)
    words = ["homing", "up", "-c", str(tmp_path / "homing.toml"), "--state", str(tmp_path / "state")]
    primary = Host("primary")
    host = Host("secondary", primary)
    try:
        primary.shell(f"ip link add eth0 type veth peer name eth0 netns {host.pid}")
        for one, address in ((primary, "192.0.2.53/24"), (host, "192.0.2.1/24")):
            one.shell(f"ip address add {address} dev eth0; ip link set eth0 up")
        with (tmp_path / "homing.log").open("wb") as log:
            process = primary.popen([sys.executable, "-m", *words], cwd=ROOT, stdout=log, stderr=log)
        try:
            until(lambda: asked(primary, "192.0.2.53"), 20, "Homing")
            yield primary, host
        finally:
            process.terminate()
            process.wait(20)
    finally:
        host.close()
        primary.close()


@pytest.mark.lab
@pytest.mark.parametrize("title", PROGRAMS)
def test_a_secondary_by_the_sample_serves_the_zone(title: str, house: tuple[Host, Host], tmp_path: Path) -> None:
    """It has the zone by a signed transfer, through the catalog where it knows those."""
    primary, host = house
    folder = tmp_path / "secondary"
    folder.mkdir()
    text = sample(title).replace('"..."', f'"{SECRET}"').replace("/var/lib/powerdns", str(folder))
    if title == "named.conf":
        text = text.replace("options {", BIND.format(folder=folder)).replace('file "', f'file "{folder}/')
    elif title == "knot.conf":
        text = text.replace("    master: homing\n", f'    master: homing\n    storage: "{folder}"\n')
    anyway, command = PROGRAMS[title]
    file = folder / title
    file.write_text(anyway.format(folder=folder) + text)
    if title == "pdns.conf":
        for line in commands("pdnsutil"):
            host.shell(f"cd {tmp_path}; {line.replace('pdnsutil', f'pdnsutil --config-dir={folder}')}")
    with (tmp_path / "secondary.log").open("wb") as log:
        process = host.popen([word.format(file=file, folder=folder) for word in command], stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or asked(host, "192.0.2.1"), 15, "the zone at the secondary")
        assert process.poll() is None, (tmp_path / "secondary.log").read_text()
        assert asked(host, "192.0.2.1") == asked(primary, "192.0.2.53")
    finally:
        process.terminate()
        process.wait(20)


def commands(program: str) -> list[str]:
    """The lines of the page that call a program."""
    text = "\n".join(block.text for block in blocks(PAGE) if block.language == "sh")
    return re.findall(rf"^{program} .*$", text, re.MULTILINE)


def asked(host: Host, server: str) -> str:
    """The start of authority that a server has of the page's zone; empty when it has none."""
    words = ["dig", "+short", "+tries=1", "+time=1", f"@{server}", "example.org", "SOA"]
    done = host.run(words, check=False)
    return done.stdout if "hostmaster" in done.stdout else ""
