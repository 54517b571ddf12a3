"""Every file and manifest that the guides show is one that its program takes."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench.dns.programs import coredns
from jsonschema import Draft202012Validator

from homing.app.settings import parse
from homing.messages.by_apprise import is_known
from tests.cluster.control_plane import ControlPlane
from tests.cluster.process import Process
from tests.deploy.chart import objects, pods, render
from tests.deploy.manifests import DEPLOY
from tests.deploy.programs import found
from tests.deploy.schemas import strict
from tests.docs.blocks import PAGES, Block, blocks
from tests.docs.programs import called
from tests.lab.namespaces import search_path
from tests.monitoring.rules import promtool
from tests.ports import free_port
from tests.waiting import until

SECRET = "c2VjcmV0IG9mIHRoZSB0ZXN0cyB3aXRoIDMyIGJ5dGVzISE="

BLOCKS = [block for page in PAGES for block in blocks(page)]

PICTURES = "a picture of how data flows, for the eye"


def says(*words: str | Path, stdin: str = "") -> str:
    """What a program says that is content; its output otherwise fails the test."""
    program = shutil.which(str(words[0]), path=search_path())
    assert program, f"there is no {words[0]}: run tests/install-peers"
    done = subprocess.run(
        [program, *map(str, words[1:])], input=stdin, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def knot(block: Block, file: Path) -> None:
    """Knot; keys and zones that the page takes for there are added."""
    known = yaml.safe_load(block.text)
    if "key" not in known:
        file.write_text(f"key:\n  - id: homing\n    algorithm: hmac-sha256\n    secret: {SECRET}\n" + file.read_text())
    says("knotc", "-c", file, "conf-check")


def named(block: Block, file: Path) -> None:
    """BIND."""
    says("named-checkconf", file)


def nsd(block: Block, file: Path) -> None:
    """NSD."""
    says("nsd-checkconf", file)


def powerdns(block: Block, file: Path) -> None:
    """PowerDNS reads all of it, and knows each setting."""
    program = shutil.which("pdns_server", path=search_path())
    assert program, "there is no pdns_server: run tests/install-peers"
    done = subprocess.run(
        [program, "--config=check", f"--config-dir={file.parent}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def unbound(block: Block, file: Path) -> None:
    """Unbound."""
    says("unbound-checkconf", file)


def dnsmasq(block: Block, file: Path) -> None:
    """dnsmasq."""
    says("dnsmasq", "--test", f"--conf-file={file}")


def corefile(block: Block, file: Path) -> None:
    """CoreDNS serves by it, on another port."""
    port = free_port()
    file.write_text(re.sub(r":53 \{", f":{port} {{\n    bind 127.0.0.1", block.text))
    process = Process(file.parent / "coredns.log", [coredns(), "-conf", str(file)])
    process.start()
    try:
        until(lambda: not process.is_running or f":{port} on 127.0.0.1" in process.tail(), 20, "CoreDNS")
        assert process.is_running, process.tail()
    finally:
        process.stop()


def prometheus(block: Block, file: Path) -> None:
    """Prometheus."""
    promtool("check", "config", "--syntax-only", str(file))


def settings(block: Block, file: Path) -> None:
    """Homing's own settings."""
    parse(tomllib.loads(block.text), str(block))


def values(block: Block, file: Path) -> None:
    """The chart's values: it is rendered with them, and the commands of its pods are those of Homing."""
    for name, pod in pods(objects(render("-f", str(file)))):
        for container in pod["spec"]["containers"]:
            if "command" not in container:  # which the pod of helm test has
                called(container["args"])
            mounted = {each["name"] for each in container.get("volumeMounts", ())}
            assert mounted == {each["name"] for each in pod["spec"].get("volumes", ())}, name


def urls(block: Block, file: Path) -> None:
    """Every line but comments is a URL of a service that is known."""
    lines = [line for line in block.text.splitlines() if not line.startswith("#")]
    assert lines
    assert all(is_known(line) for line in lines)


FILES: dict[str, Callable[[Block, Path], None]] = {
    "knot.conf": knot, "named.conf": named, "nsd.conf": nsd, "pdns.conf": powerdns, "unbound.conf": unbound,
    "dnsmasq.conf": dnsmasq, "Corefile": corefile, "prometheus.yml": prometheus, "homing.toml": settings,
    "messages.urls": urls, "values.yaml": values,
}  # fmt: skip

ZONE = """
apiVersion: homing.dev/v1alpha1
kind: Zone
metadata: {name: tried}
spec: {origin: example.com, nameServers: [{name: ns1.example.net}]}
"""

POD = """
apiVersion: v1
kind: Pod
metadata: {name: tried, namespace: default}
spec: {containers: [{name: one, image: homing}]}
"""

WITHIN = {"spec": ZONE, "securityContext": POD}
"""What a part of a manifest is a part of, by its first key."""


def sort_of(block: Block) -> str:
    """By what a block is held against the real thing; empty for one that no test knows."""
    if block.language == "sh":
        return "commands"  # test_commands.py
    if block.title:
        return "file" if block.title in FILES else ""
    if block.language == "yaml":
        first = block.text.partition(":")[0]
        return "manifest" if first == "apiVersion" or first in WITHIN else ""
    return PICTURES if block.language == "text" and re.search("[─▶]|->", block.text) else ""


def of(sort: str) -> list[Block]:
    """The blocks of a sort."""
    return [block for block in BLOCKS if sort_of(block) == sort]


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_a_page_is_left_out(page: str) -> None:
    """Each is run, read by the program whose file it is, taken by the API server, or a picture."""
    assert [str(block) for block in blocks(page) if not sort_of(block)] == []


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise's own
@pytest.mark.parametrize("block", of("file"), ids=str)
def test_a_file_is_taken_by_its_program(block: Block, tmp_path: Path) -> None:
    """As it stands, with a secret for the dots."""
    file = tmp_path / block.title
    text = block.text.replace('"..."', f'"{SECRET}"')
    file.write_text(text)
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    FILES[block.title](block, file)


@pytest.fixture(scope="module")
def kinds(fresh: ControlPlane, nothing: None) -> ControlPlane:
    """A cluster with Homing's kinds."""
    fresh.kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", str(DEPLOY / "crds"))
    fresh.kubectl("wait", "--for=condition=Established", "crd", "--selector=app.kubernetes.io/part-of=homing")
    return fresh


@pytest.mark.cluster
@pytest.mark.parametrize("block", of("manifest"), ids=str)
def test_a_manifest_is_taken_by_the_api_server(block: Block, kinds: ControlPlane) -> None:
    """Strictly, so that a field that there is not is refused; MetalLB's by its own definitions."""
    for part in yaml.safe_load_all(block.text):
        item = whole(part)
        if item["apiVersion"].startswith("metallb.io/"):
            read = [one for one in yaml.safe_load_all(found("metallb").read_text()) if one]
            (definition,) = [one for one in read if one["spec"]["names"]["kind"] == item["kind"]]
            (version,) = definition["spec"]["versions"]
            assert item["apiVersion"] == f"metallb.io/{version['name']}"
            Draft202012Validator(strict(version["schema"]["openAPIV3Schema"])).validate(item)
        else:
            kinds.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=yaml.safe_dump(item))


def whole(part: dict[str, Any]) -> dict[str, Any]:
    """A manifest, or one that a part is a part of."""
    first = next(iter(part))
    if first not in WITHIN:
        return part
    made: dict[str, Any] = yaml.safe_load(WITHIN[first])
    made["spec"] |= part["spec"] if first == "spec" else part
    return made
