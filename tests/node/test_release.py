"""The chart on the real node: what a release goes through while queries run."""

from __future__ import annotations

from tests.deploy.manifests import CHART
from tests.node.install import helm, renderer
from tests.node.world import AGENT, DNS, OPERATOR, World


def test_an_upgrade_and_a_way_back_lose_no_query(world: World) -> None:
    """While all pods are replaced by ``helm upgrade`` and again by ``helm rollback``, every query is answered."""
    before = {pod["metadata"]["name"] for part in ("dns", "operator") for pod in world.pods(part)}
    with world.queries("mail.example.com") as outcome:
        changes = ["--set=dns.logLevel=debug", "--set=operator.logLevel=debug"]
        helm(world.node, "upgrade", "homing", str(CHART), "--reuse-values", "--wait", *changes, *renderer())
        world.settled(OPERATOR, DNS, AGENT)
        upgraded = {pod["metadata"]["name"] for part in ("dns", "operator") for pod in world.pods(part)}
        helm(world.node, "rollback", "homing", "--wait")
        world.settled(OPERATOR, DNS, AGENT)
        world.gone(*before, *upgraded)
    assert not before & upgraded
    assert not outcome["lost"], outcome


def test_helm_test_resolves_a_name(world: World) -> None:
    """``helm test`` asks through the Service's name, over UDP and TCP."""
    assert "Succeeded" in helm(world.node, "test", "homing", "--timeout=90s")
