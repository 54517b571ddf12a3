"""The operator's page: what its leader knows of Domains, Sites and Zones, and the way there."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from homing.app.cluster.page import _name
from homing.model.address import Family, parse_address
from homing.model.name import parse_name
from homing.operator.entry import Entry, Which
from homing.operator.runtime import Term
from homing.sources import View, WanSource
from homing.standins.internet import StandInInternet
from tests.app.running import HOME, MOVED
from tests.operator.running import DOMAINS, Kube, Process, operator
from tests.waiting import until

SLICES = "discovery.k8s.io/v1/endpointslices"
SERVICE = Path(__file__).parents[2] / "deploy" / "page" / "service.yaml"


def page(process: Process, path: str) -> Any:
    """What the page's address answers: JSON decoded, else the text."""
    found = until(lambda: re.search(r" page +listen=\S*?:(\d+)", process.text), 30, "the page")
    assert found is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=5) as answer:
        body = answer.read().decode()
    return json.loads(body) if answer.headers["Content-Type"].startswith("application/json") else body


def names(process: Process) -> dict[str, Any]:
    """The names that the API tells."""
    return {one["fqdn"]: one for one in page(process, "/api/v1/names")["names"]}


def told(process: Process) -> set[str]:
    """The addresses that the history tells."""
    return {line["after"] for line in page(process, "/api/v1/history?type=address")["lines"]}


@pytest.mark.cluster
def test_the_leader_shows_domains_sites_and_the_way_things_went(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """What is published, why something is not, the Site's address and its history, as page and as API."""
    kube.site(world)
    kube.gandi(world)
    kube.domain("www", "www.example.org", {"wan": {}})
    kube.domain("lost", "lost.example.org", {"wan": {}}, provider="none")
    kube.domain("off", "off.example.org", {"wan": {}}, enabled=False)
    with operator(kube, tmp_path, world, "--web", "127.0.0.1:0", "--identity", "first") as process:
        kube.wait_for(DOMAINS, "www")
        kube.wait_for(DOMAINS, "lost", status="False", reason="ProviderNotFound")
        found = names(process)
        www, lost = found["www.example.org"], found["lost.example.org"]
        assert (www["state"], www["published"], www["wanted"]) == ("in-sync", [str(HOME)], [str(HOME)])
        assert (www["owner"], www["observed_at"] > 0) == (f"Domain {kube.namespace}/www", True)
        assert lost["state"] in ("pending", "failed")
        assert "none" in lost["detail"]
        assert found["off.example.org"]["state"] == "disabled"
        (site,) = page(process, "/api/v1/addresses")["sites"]
        assert (site["name"], site["by"], site["addresses"][0]["address"]) == ("default", "operator", str(HOME))
        assert page(process, "/raw")["wan_ip_state"] == {"usable": True, "IP": str(HOME)}
        assert page(process, "/api/v1/names")["leader"] == "first"
        world.move(MOVED)
        until(lambda: names(process)["www.example.org"]["published"] == [str(MOVED)], 20, "it follows")
        until(lambda: str(MOVED) in told(process), 10, "the history")
        text = page(process, "/")
        for word in ("1 of 2 names is not right", "lost.example.org", "first", str(MOVED), "Sites", "timeline-told"):
            assert word in text, word


@pytest.mark.cluster
def test_a_replica_that_waits_tells_who_leads_and_the_next_leader_takes_the_way(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """Service homing-page leads to the leader's address alone, and after a change of leader to the next one's."""
    service = yaml.safe_load(SERVICE.read_text().replace("namespace: homing", f"namespace: {kube.namespace}"))
    kube.cluster.plane.apply(yaml.safe_dump(service))

    def way() -> list[str]:
        found = kube.get(SLICES, "homing-page") or {}
        return [address for one in found.get("endpoints", []) for address in one["addresses"]]

    flags = ("--web", "0.0.0.0:0", "--identity")
    with operator(kube, tmp_path / "1", world, *flags, "first", POD_IP="192.0.2.1") as first:
        until(lambda: way() == ["192.0.2.1"], 20, "the way to the first")
        with operator(kube, tmp_path / "2", world, *flags, "second", POD_IP="192.0.2.2") as second:
            until(lambda: page(second, "/api/v1/names")["leader"] == "first", 15, "who leads")
            assert "the leader, first, tells more" in page(second, "/")
            assert way() == ["192.0.2.1"]
            first.stop()
            until(lambda: way() == ["192.0.2.2"], 20, "the way to the second")
    found = kube.get(SLICES, "homing-page")
    assert found is not None
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    assert found["ports"][0]["name"] == service["spec"]["ports"][0]["name"]


def test_a_name_is_not_called_right_while_its_site_has_another_address() -> None:
    """From the moment the Site tells it, however long the provider takes."""
    wan = {Family.V4: parse_address(str(HOME))}
    report = SimpleNamespace(
        addresses=(HOME,),
        ttl=300,
        last_sync=1.0,
        next_at=2.0,
        ready=True,
        ok=True,
        locked=False,
        conflict=False,
        message="",
    )
    entry = SimpleNamespace(
        name=parse_name("www.example.org"), provider=SimpleNamespace(key="web/gandi"), site="default", mode="Dynamic",
        source=WanSource(frozenset((Family.V4,))), enabled=True, ttl=300, known=None,
    )  # fmt: skip
    term = SimpleNamespace(
        domains=SimpleNamespace(reports={"www": report}, reconciler=lambda _: None),
        world=SimpleNamespace(view=lambda _: View(wan=wan)),
    )

    def shown() -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        found = _name(cast("Term", term), cast("Which", "www"), cast("Entry", entry))
        return found.state, found.published, found.wanted

    assert shown() == ("in-sync", (str(HOME),), (str(HOME),))
    wan[Family.V4] = parse_address(str(MOVED))
    assert shown() == ("pending", (str(HOME),), (str(MOVED),))
    report.addresses = (MOVED,)
    assert shown() == ("in-sync", (str(MOVED),), (str(MOVED),))
