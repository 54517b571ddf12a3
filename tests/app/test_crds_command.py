"""homing crds, as its user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.app.running import run

CRDS = Path(__file__).parents[2] / "deploy" / "crds"


def names(text: str) -> list[str]:
    return [document["metadata"]["name"] for document in yaml.safe_load_all(text)]


def test_all_definitions_are_printed(tmp_path: Path) -> None:
    """As one stream for kubectl apply -f -, with nothing else in it."""
    done = run("crds", home=tmp_path)
    assert done.returncode == 0
    assert sorted(names(done.stdout)) == [
        "clusterproviders.homing.dev",
        "domains.dyndns.contrib.strato.com",
        "domains.homing.dev",
        "providers.homing.dev",
        "sites.homing.dev",
        "zones.homing.dev",
    ]


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        (["Site", "zones"], ["sites.homing.dev", "zones.homing.dev"]),
        (["hdom"], ["domains.homing.dev"]),
        (["domain"], ["domains.homing.dev", "domains.dyndns.contrib.strato.com"]),
        (["domains.homing.dev"], ["domains.homing.dev"]),
    ],
)
def test_some_definitions_are_printed(tmp_path: Path, kinds: list[str], found: list[str]) -> None:
    """By kind, plural, short name or the definition's own name."""
    done = run("crds", *(word for kind in kinds for word in ("--kind", kind)), home=tmp_path)
    assert (done.returncode, names(done.stdout)) == (0, found)


def test_an_unknown_kind_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    """On standard error, with the exit status for wrong usage."""
    done = run("crds", "--kind", "Record", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no kind 'Record'; one of: Domain, Provider, ClusterProvider, Site, Zone" in done.stderr


def test_files_are_written_into_a_directory(tmp_path: Path) -> None:
    """They are those under deploy/crds."""
    done = run("crds", "--output", str(tmp_path / "new" / "crds"), home=tmp_path)
    assert done.returncode == 0
    written = {path.name: path.read_text() for path in (tmp_path / "new" / "crds").iterdir()}
    assert written == {path.name: path.read_text() for path in CRDS.glob("*_*.yaml")}
