"""What ``homing migrate`` prints is applied as it stands, takes over when its steps are gone, and no record blinks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from homing.standins.internet import StandInInternet
from tests.app.running import HOME, HOMING
from tests.operator.esddns import accept_stand_ins, give
from tests.operator.running import DOMAINS, PROVIDERS, STRATO_DOMAINS, Kube, operator
from tests.waiting import until

pytestmark = pytest.mark.cluster


def migrated(kube: Kube, system: str) -> str:
    """What the command prints of the cluster."""
    words = ["--kubeconfig", str(kube.cluster.kubeconfig()), "--namespace", kube.namespace]
    return subprocess.run(
        [*HOMING, "migrate", system, *words], capture_output=True, check=True, timeout=60, text=True
    ).stdout


def test_the_domain_of_esddns_is_taken_over(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """Conflict while the ConfigMap is there; Ready once it is deleted; Gandi has the record all the time."""
    give(kube, world)
    with operator(kube, tmp_path, world, "--gandi-server", f"{world.gandi_url}/v5/livedns"):
        accept_stand_ins(kube)
        kube.wait_for(DOMAINS, "esddns")
        kube.cluster.apply(migrated(kube, "esddns"))
        kube.wait_for(DOMAINS, "home-example-org", kind="Conflict")
        kube.delete("v1/configmaps", "esddns-config")
        kube.delete(DOMAINS, "esddns")  # as the garbage collector does
        kube.delete(PROVIDERS, "esddns")
        kube.wait_for(DOMAINS, "home-example-org")
        assert world.gandi.values("example.org", "home", "A") == (str(HOME),)


def test_the_domain_of_strato_is_taken_over(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """The new Domain waits for the old one; when that is deleted, Strato's record is its own."""
    kube.site(world)
    kube.strato_domain("www-example-de", "www.example.de")
    with operator(kube, tmp_path, world):
        until(lambda: kube.status(STRATO_DOMAINS, "www-example-de").get("lastResult"), 30, "the first success")
        manifests = list(yaml.safe_load_all(migrated(kube, "strato")))
        manifests[0]["spec"]["strato"] = {"server": world.strato_url}
        kube.cluster.apply(yaml.safe_dump_all(manifests))
        kube.wait_for(DOMAINS, "www-example-de", kind="Conflict")
        kube.delete(STRATO_DOMAINS, "www-example-de")
        kube.wait_for(DOMAINS, "www-example-de", seconds=90)
        assert world.strato.published["www.example.de"] == (HOME,)
