"""Builds the image without a registry: its base by mmdebstrap, the rest by Buildah from the Dockerfile of the project.

What is built lies in the user's cache, under a key made of all that went in.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from homing import __version__
from tests.cluster.programs import clock, locked

ROOT = Path(__file__).parents[2]

INPUTS = (".dockerignore", "deploy/docker", "pyproject.toml", "uv.lock", "README.md", "LICENSE", "src")
"""What the image is made of."""

NEEDED = ("mmdebstrap", "buildah", "podman", "runc", "unshare")
"""Programs; ``tests/install-peers`` installs them."""

CANARY = "HOMING_CANARY=of-the-registry-secret"
"""A line of each build's secret, by which a test finds what should not be in the image."""

_LEAN = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
_CERTIFICATES = "--customize-hook=cat $1/usr/share/ca-certificates/mozilla/*.crt >$1/etc/ssl/certs/ca-certificates.crt"
_STATUS = (  # where scanners look for what an image without dpkg holds, and sbom.py does
    "--extract-hook=mkdir -p $1/var/lib/dpkg/status.d; for deb in $1/var/cache/apt/archives/*.deb; do"
    " dpkg-deb -f $deb >$1/var/lib/dpkg/status.d/$(dpkg-deb -f $deb Package); done"
)
_SHELL = "--customize-hook=ln -sf dash $1/bin/sh"
_UNPACKED = ["--variant=extract", *_LEAN, _CERTIFICATES, _STATUS]
_BASES = {
    # Packages are unpacked, their scripts not run: nothing in the base needs a shell, and there is none.
    "run": [*_UNPACKED, "--include=python3,ca-certificates"],
    "build": [*_UNPACKED, "--include=python3-venv,ca-certificates,dash,coreutils", _SHELL],
}
_SUITE = "bookworm"

_PAUSE = """["/usr/bin/python3", "-IS", "-c", "import signal as s; s.pthread_sigmask(s.SIG_BLOCK, [2, 15]); \
s.sigwait([2, 15])"]"""
"""The entry point of the image for pods' namespaces. Signals are blocked, since a PID 1 ignores them otherwise."""

_KEEP = 4
"""Images that the cache keeps, the newest; older ones go when another is built."""

_BUILD_LIMIT = 900.0
"""Seconds that one step of a build may take: packages come from a network."""


class CannotBuild(Exception):  # noqa: N818 -- says what happened
    """The image could not be built; the text says what to do."""


@dataclass(frozen=True)
class Image:
    """An image that is there: in the storage of the cache, and as an archive for any container engine."""

    name: str
    archive: Path


def obstacle() -> str:
    """Why no image can be built here; empty when one can."""
    missing = [program for program in NEEDED if shutil.which(program, path=_path()) is None]
    if missing:
        return f"an image needs {', '.join(missing)}: run tests/install-peers"
    if os.geteuid() != 0:
        return "building an image without a registry needs root"
    return _namespaces()


@cache
def _namespaces() -> str:
    probe = subprocess.run(
        ["unshare", "-nmpf", "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, text=True, check=False
    )
    return f"namespaces are forbidden here: {probe.stderr.strip()[:200]}" if probe.returncode else ""


def storage() -> list[str]:
    """The flags by which Buildah and Podman find the images of the cache, and no others."""
    return [f"--root={folder() / 'storage'}", f"--runroot={_run_folder()}"]


def folder() -> Path:
    """Where images and bases are kept."""
    given = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) / "homing" / "image"


def build(*, fresh: bool = False) -> Image:
    """The image of the sources as they are; nothing to do when it is there. ``fresh`` makes the base anew.

    Raises:
        CannotBuild: a step failed; with what it said.
    """
    folder().mkdir(parents=True, exist_ok=True)
    with locked(folder() / ".lock"):
        image = _image()
        if fresh:
            for base in _BASES:
                _forget(_base_name(base))
            image.archive.unlink(missing_ok=True)
        if not (image.archive.exists() and _exists(image.name)):
            for base in _BASES:
                if not _exists(_base_name(base)):
                    with clock(f"  a base of Debian's packages, to {base}"):
                        _make_base(base)
            with clock(f"  {image.name}"):
                _build(image)
            _prune()
        return image


def build_pause() -> Image:
    """An image whose container waits for its end: what holds the namespaces of a pod. Raises like ``build``."""
    build()
    base = _base_name("run")
    key = hashlib.sha256(f"{base} {_PAUSE}".encode()).hexdigest()[:12]
    image = Image(f"localhost/pause:{key}", folder() / f"pause-{key}.tar")
    with locked(folder() / ".lock"), TemporaryDirectory(dir=folder()) as made:
        if not image.archive.exists():
            Path(made, "Dockerfile").write_text(f"FROM {base}\nUSER 65532\nENTRYPOINT {_PAUSE}\n")
            _buildah("bud", "--isolation=chroot", "--quiet", "--pull-never", f"--tag={image.name}", made)
            _archive(image, made)
    return image


def _image() -> Image:
    digest = hashlib.sha256(repr([_BASES, _SUITE]).encode())
    for path in _files():
        digest.update(f"{path.relative_to(ROOT)} {path.stat().st_mode & 0o111} ".encode())
        digest.update(path.read_bytes())
    key = digest.hexdigest()[:12]
    return Image(f"localhost/homing:{__version__}-{key}", folder() / f"homing-{key}.tar")


def _files() -> Iterator[Path]:
    for name in INPUTS:
        place = ROOT / name
        inside = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (path for path in inside if path.is_file() and "__pycache__" not in path.parts)


def _base_name(base: str) -> str:
    return f"localhost/homing-base:{base}-{hashlib.sha256(repr([_BASES[base], _SUITE]).encode()).hexdigest()[:12]}"


def _make_base(base: str) -> None:
    with TemporaryDirectory(dir=folder()) as made:
        _run("mmdebstrap", "--quiet", *_BASES[base], _SUITE, f"{made}/root.tar")
        Path(made, "Dockerfile").write_text("FROM scratch\nADD root.tar /\n")
        _buildah("bud", "--isolation=chroot", "--quiet", f"--tag={_base_name(base)}", made)


def _build(image: Image) -> None:
    with TemporaryDirectory(dir=folder()) as made:
        registry = Path(made, "registry")
        registry.touch(mode=0o600)
        registry.write_text("".join(f"{line}\n" for line in [CANARY, *_registry()]))
        secrets = [f"--secret=id=registry,src={registry}"]
        authorities = os.environ.get("SSL_CERT_FILE")
        if authorities:
            secrets.append(f"--secret=id=ca,src={authorities}")
        bases = [f"--build-arg=BASE={_base_name('run')}", f"--build-arg=BUILDER={_base_name('build')}"]
        about = [f"--build-arg=VERSION={__version__}", f"--build-arg=REVISION={_revision()}"]
        flags = ["--isolation=chroot", "--layers", "--pull-never", *secrets, *bases, *about]
        _buildah("bud", *flags, f"--tag={image.name}", f"--file={ROOT / 'deploy/docker/Dockerfile'}", str(ROOT))
        _archive(image, made)


def _archive(image: Image, made: str) -> None:
    archive = f"{made}/image.tar"
    _buildah("push", "--quiet", image.name, f"docker-archive:{archive}:{image.name}")
    Path(archive).replace(image.archive)


def _registry() -> Iterator[str]:
    """What pip and uv are told by the environment of the caller, as lines for a shell."""
    for name, value in sorted(os.environ.items()):
        if re.fullmatch(r"PIP_(EXTRA_)?INDEX_URL|UV_\w*INDEX\w*|UV_HTTP_TIMEOUT|(?i:https?|no)_proxy", name):
            quoted = value.replace("'", "'\\''")
            yield f"{name}='{quoted}'"


def _revision() -> str:
    told = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _prune() -> None:
    """Forget all images but the newest ones, and what was left of their making."""
    current = {_base_name(base) for base in _BASES}
    for name in _names("localhost/homing-base"):
        if name not in current:
            _forget(name)
    old = _names("localhost/homing")[_KEEP:]
    for name in old:
        _forget(name)
        with suppress(FileNotFoundError):
            (folder() / f"homing-{name.rpartition('-')[2]}.tar").unlink()
    if old:
        _command("buildah", *storage(), "rmi", "--prune")  # what another run still uses stays until the next time


def _names(repository: str) -> list[str]:
    """All images of a repository, the newest first."""
    return _buildah("images", "--format={{.Name}}:{{.Tag}}", f"--filter=reference={repository}").split()


def _exists(name: str) -> bool:
    return _command("buildah", *storage(), "inspect", "--type=image", name).returncode == 0


def _forget(name: str) -> None:
    _command("buildah", *storage(), "rmi", name)


def _buildah(*words: str) -> str:
    return _run("buildah", *storage(), *words)


def _run(*words: str) -> str:
    done = _command(*words)
    if done.returncode:
        raise CannotBuild(f"{' '.join(words)[:200]} failed:\n{(done.stderr or done.stdout).strip()[-3000:]}")
    return done.stdout


def _command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env={**os.environ, "PATH": _path()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_BUILD_LIMIT,
        check=False,
    )


@cache
def _run_folder() -> Path:
    """What Buildah and Podman know of this boot. It is short, as sockets are made in it."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/run") / "homing-image"


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
