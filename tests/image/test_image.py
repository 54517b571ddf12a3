"""The image runs Homing as anybody, on read-only files, without a shell, and says what it is made of."""

from __future__ import annotations

import json
import re
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homing import __version__
from tests.image.builder import CANARY, ROOT, Image, build, obstacle
from tests.image.container import Container, once, podman
from tests.waiting import until

PYTHON = "/opt/homing/bin/python"
ARCHITECTURES = ("x86_64", "aarch64")
ZONE = """\
$TTL 60
@ SOA ns1 admin 1 3600 900 86400 60
@ NS ns1
ns1 A 192.0.2.53
www A 192.0.2.1
"""


@pytest.fixture(scope="session")
def image() -> Image:
    """The image of the sources as they are."""
    hindrance = obstacle()
    if hindrance:
        pytest.skip(hindrance)
    return build()


@pytest.fixture
def zone(tmp_path: Path) -> tuple[str, ...]:
    """Flags that give a container a zone file to read."""
    file = tmp_path / "example.org.zone"
    file.write_text(ZONE)
    tmp_path.chmod(0o755)
    return (f"--volume={file}:/zones/example.org.zone:ro",)


def dig(container: Container, *words: str) -> str:
    """A real dig's short answer."""
    return container.inside("dig", "@127.0.0.1", "+short", "+tries=1", "+time=2", *words).strip()


def test_the_daemon_answers_without_any_right(image: Image) -> None:
    """``homing up`` on read-only files and with no capability serves DNS and the page, keeps its state, and stops when
    it is told to."""
    with Container(image, "up") as container:
        container.until_says("(UDP and TCP)")
        name = f"{container.inspect()['Config']['Hostname']}.home.arpa"
        assert "status: NOERROR" in container.inside("dig", "@127.0.0.1", "-p5300", "home.arpa", "SOA")
        assert f"{name}." in container.log() or name in container.log()
        assert "<title>" in until(lambda: container.inside("curl", "-s", "http://127.0.0.1:8053/"))
        status = container.status()
        assert (status["Uid"].split()[0], status["Gid"].split()[0]) == ("65532", "65532")
        assert {int(status[each], 16) for each in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert list(Path(f"/proc/{container.pid}/root/var/lib/homing").glob("*.db*")), "it keeps its state"
        assert container.stop() == 0


def test_a_low_port_takes_one_capability(image: Image, zone: tuple[str, ...]) -> None:
    """``homing dns`` on port 53 needs CAP_NET_BIND_SERVICE and nothing else; it answers over UDP and TCP."""
    with Container(image, "dns", "--zone-dir", "/zones", flags=("--cap-add=NET_BIND_SERVICE", *zone)) as container:
        container.until_says("(UDP and TCP)")
        assert dig(container, "www.example.org") == "192.0.2.1"
        assert dig(container, "+tcp", "www.example.org") == "192.0.2.1"
        assert int(container.status()["CapEff"], 16) == 1 << 10  # CAP_NET_BIND_SERVICE
        assert container.stop() == 0


def test_a_low_port_without_it_is_refused_with_the_way_out(image: Image, zone: tuple[str, ...]) -> None:
    """Without the capability port 53 is an error that says what to do; a port above 1023 needs none."""
    done = once(image, "dns", "--zone-dir", "/zones", flags=zone)
    assert done.returncode == 1
    assert "choose a port above 1023, or give Homing CAP_NET_BIND_SERVICE" in done.stderr
    with Container(image, "dns", "--zone-dir", "/zones", "--port", "5353", flags=zone) as container:
        container.until_says("(UDP and TCP)")
        assert dig(container, "-p5353", "www.example.org") == "192.0.2.1"


def test_a_sysctl_of_the_pod_opens_low_ports_without_any_capability(image: Image, zone: tuple[str, ...]) -> None:
    """Where ``net.ipv4.ip_unprivileged_port_start`` is 0, port 53 takes no capability."""
    flags = ("--sysctl=net.ipv4.ip_unprivileged_port_start=0", *zone)
    with Container(image, "dns", "--zone-dir", "/zones", flags=flags) as container:
        container.until_says("(UDP and TCP)")
        assert dig(container, "www.example.org") == "192.0.2.1"
        assert int(container.status()["CapEff"], 16) == 0


def test_there_is_no_shell(image: Image) -> None:
    """The image has none, and needs none to start."""
    with tarfile.open(image.archive) as archive:
        programs = {Path(name).name for name in _files(archive) if Path(name).parent.name in {"bin", "sbin"}}
    assert {"homing", "python3"} <= programs
    assert not programs & {"sh", "dash", "bash", "busybox"}
    config = json.loads(podman("inspect", image.name).stdout)[0]["Config"]
    assert config["Entrypoint"] == ["homing"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"]), "a number, so that runAsNonRoot can be judged"


def test_a_start_compiles_nothing(image: Image) -> None:
    """Each module that an operator loads was compiled when the image was built: where nothing may be written, every
    start would do it again."""
    code = (
        "import sys, os, homing.app.cli, homing.app.cluster.process; "
        "print(sorted(n for n, m in sys.modules.items() "
        "if (c := getattr(getattr(m, '__spec__', None), 'cached', None)) and not os.path.exists(c)))"
    )
    done = once(image, "-I", "-c", code, flags=(f"--entrypoint={PYTHON}",))
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_both_stages_are_built_as_root() -> None:
    """A base may have any user of its own: what is installed needs root, and what runs has a number."""
    text = (ROOT / "deploy/docker/Dockerfile").read_text()
    assert re.findall(r"^FROM .*\n(.*)$", text, re.MULTILINE) == ["USER 0:0", "USER 0:0"]


def test_labels_say_what_it_is(image: Image) -> None:
    """The labels that registries and scanners read carry the title, the licence and the version."""
    labels = json.loads(podman("inspect", image.name).stdout)[0]["Labels"]
    start = "org.opencontainers.image."
    assert labels[f"{start}title"] == "Homing"
    assert labels[f"{start}licenses"] == "MIT"
    assert labels[f"{start}version"] == __version__
    assert labels[f"{start}revision"]


def test_the_bill_of_materials_is_complete(image: Image) -> None:
    """The SBOM lists each distribution in the image, in the version that is locked, and the packages of the base."""
    code = "import importlib.metadata as m; [print(d.metadata['Name'], d.version) for d in m.distributions()]"
    told = once(image, "-I", "-c", code, flags=(f"--entrypoint={PYTHON}",)).stdout
    installed = {_key(name): version for name, version in (line.split() for line in told.splitlines())}
    shown = "print(open('/usr/share/doc/homing/sbom.json').read())"
    sbom = json.loads(once(image, "-I", "-c", shown, flags=(f"--entrypoint={PYTHON}",)).stdout)
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    components = [sbom["metadata"]["component"], *sbom["components"]]
    listed = {each["name"]: each["version"] for each in components if each["purl"].startswith("pkg:pypi/")}
    assert listed == installed
    wanted = _locked_versions()
    assert {name: version for name, version in installed.items() if name != "homing"} == {
        name: wanted[name] for name in installed if name != "homing"
    }
    assert not {"pytest", "ruff", "mypy", "pip", "uv", "hatchling"} & set(installed)
    debian = [each["name"] for each in components if each["purl"].startswith("pkg:deb/debian/")]
    assert {"libc6", "python3.11-minimal", "libssl3"} <= set(debian)
    references = [each["bom-ref"] for each in components]
    assert len(references) == len(set(references))
    assert {ref for each in sbom["dependencies"] for ref in [each["ref"], *each["dependsOn"]]} <= set(references)


def test_what_the_registry_asked_for_stays_out(image: Image) -> None:
    """Settings for package registries reach the build and no file, layer or history of the image."""
    with tarfile.open(image.archive) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                assert CANARY.encode() not in file.read(), member.name


def test_all_that_is_locked_is_there_for_both_architectures() -> None:
    """Each locked package that the image needs has wheels for amd64 and arm64, on all Pythons that a base may have."""
    packages = {package["name"]: package for package in _lock()["package"]}
    needed, ahead = set[str](), ["homing"]
    while ahead:
        name = ahead.pop()
        if name not in needed:
            needed.add(name)
            ahead += [each["name"] for each in packages[name].get("dependencies", ()) if _is_for_linux(each)]
    assert len(needed) > len(_project()["dependencies"])
    for name in needed - {"homing"}:
        wheels = [wheel["url"].rpartition("/")[2] for wheel in packages[name].get("wheels", ())]
        for machine in ARCHITECTURES:
            for python in ("cp311", "cp313"):
                fits = re.compile(rf"-(py3|py2\.py3)-none-any|-({python}|cp3\d+-abi3|py3-none)-.*manylinux.*{machine}")
                assert any(fits.search(wheel) for wheel in wheels), f"{name} for {python} on {machine}"


def test_one_version_of_uv_is_named() -> None:
    """The image is built by the uv of the Makefile."""
    (there,) = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (here,) = re.findall(r"^ARG UV_VERSION=(\S+)$", (ROOT / "deploy/docker/Dockerfile").read_text(), re.MULTILINE)
    assert here == there


def _files(archive: tarfile.TarFile) -> Iterator[str]:
    """The names of all files in all layers."""
    for member in archive:
        if member.name.endswith(".tar") and member.isfile():
            layer = archive.extractfile(member)
            with tarfile.open(fileobj=layer) as inside:
                yield from inside.getnames()


def _is_for_linux(dependency: dict[str, Any]) -> bool:
    marker = dependency.get("marker", "")
    return "win32" not in marker and "emscripten" not in marker


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _lock() -> dict[str, Any]:
    return tomllib.loads((ROOT / "uv.lock").read_text())


def _project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


def _locked_versions() -> dict[str, str]:
    return {package["name"]: package["version"] for package in _lock()["package"] if "version" in package}
