"""ESDDNS's users keep their ConfigMap and their Secret as they are (SPEC B6, B8, B12, B17)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from homing.app.cluster.esddns import read_config_map
from homing.errors import ConfigError
from homing.standins.internet import StandInInternet
from tests.app.running import HOME, MOVED
from tests.operator.esddns import KEY, accept_stand_ins, give
from tests.operator.running import DOMAINS, PROVIDERS, SITES, TOKEN, Kube, Process, operator
from tests.waiting import until

CONFIG_MAPS = "v1/configmaps"


def taking_over(kube: Kube, world: StandInInternet, folder: Path) -> Process:
    """An operator that finds the stand-in where Gandi is."""
    return operator(kube, folder, world, "--gandi-server", f"{world.gandi_url}/v5/livedns")


def configure(kube: Kube, **data: str) -> None:
    """Change keys of the ConfigMap; ``_`` stands for ``-``."""
    kube.patch(CONFIG_MAPS, "esddns-config", {"data": {key.replace("_", "-"): value for key, value in data.items()}})


def holds(world: StandInInternet, name: str, value: str) -> None:
    """Wait until Gandi has this address for a name of example.org."""
    until(lambda: world.gandi.values("example.org", name, "A") == (value,), 15, f"{name} at {value}")


def told(kube: Kube, reason: str) -> None:
    """Wait for an event of the ConfigMap."""
    until(lambda: reason in {each for _, each in kube.events("esddns-config")}, 10, f"event {reason}")


@pytest.mark.cluster
def test_what_users_have_leads_to_their_record(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """The record is at Gandi, the address in ConfigMap esddns-wan-ip, and kubectl shows Provider, Domain and Site."""
    give(kube, world)
    with taking_over(kube, world, tmp_path):
        accept_stand_ins(kube)
        holds(world, "home", str(HOME))
        kube.wait_for(DOMAINS, "esddns")
        kube.wait_for(PROVIDERS, "esddns")
        copied = until(lambda: (kube.get(CONFIG_MAPS, "esddns-wan-ip") or {}).get("data"), 30, "the ConfigMap")
        assert copied is not None
        assert copied.keys() == {"current_ip", "detected_at", "timestamp"}
        assert copied["current_ip"] == str(HOME)
        assert all(datetime.fromisoformat(copied[key]).tzinfo is None for key in ("detected_at", "timestamp"))
        domain, site = kube.get(DOMAINS, "esddns"), kube.get(SITES, "default")
        assert domain is not None
        assert site is not None
        assert (domain["spec"]["ttlSeconds"], domain["spec"]["intervalSeconds"]) == (300, 120)
        assert (site["spec"]["detect"]["methods"], site["spec"]["detect"]["intervalSeconds"]) == (["HTTP"], 120)
        world.move(MOVED)
        kube.patch(SITES, "default", {"spec": {"detect": {"timeoutSeconds": 3}}})  # a round now, not in 120 s
        holds(world, "home", str(MOVED))
        until(
            lambda: (kube.get(CONFIG_MAPS, "esddns-wan-ip") or {})["data"]["current_ip"] == str(MOVED), 10, "the copy"
        )


@pytest.mark.cluster
def test_changes_count_without_a_restart(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """Another record name, key or token and a wrong value are noticed at once; the Site of a user stays theirs.

    With the ConfigMap go Provider and Domain; the record stays.
    """
    kube.site(world)
    give(kube, world)
    with taking_over(kube, world, tmp_path):
        holds(world, "home", str(HOME))
        configure(kube, record_name="nas", record_ttl="900")
        holds(world, "nas", str(HOME))
        assert world.gandi.records["example.org", "nas", "A"].ttl == 900
        configure(kube, record_ttl="soon")
        told(kube, "InvalidConfig")
        configure(kube, record_ttl="600", target_domain="not a domain")
        until(lambda: kube.events("esddns-config").count(("Warning", "InvalidConfig")) == 3, 30, "the API's refusal")
        world.gandi.key = "rotated"
        configure(kube, target_domain="example.org", record_name="@")
        kube.wait_for(DOMAINS, "esddns", status="False")
        kube.secret("esddns-gandi-credentials", **{"api-key": "rotated"})
        holds(world, "@", str(HOME))
        kube.secret("esddns-gandi-credentials", **{"api-key": TOKEN})
        configure(kube, authentication="Bearer", record_name="token")
        holds(world, "token", str(HOME))
        assert (kube.get(SITES, "default") or {})["spec"]["detect"]["methods"] == ["STUN"]
        kube.delete(CONFIG_MAPS, "esddns-config")
        # The garbage collector looks for new kinds every 30 s.
        until(lambda: not (kube.get(DOMAINS, "esddns") or kube.get(PROVIDERS, "esddns")), 60, "both to be collected")
        assert world.gandi.values("example.org", "token", "A") == (str(HOME),)


@pytest.mark.cluster
def test_what_a_user_wrote_is_not_overwritten(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """A Provider esddns of somebody else stays as it is, and the ConfigMap's events say so."""
    spec = {"gandi": {"authentication": "Bearer"}, "secretRef": {"name": "esddns-gandi-credentials"}}
    kube.put(PROVIDERS, "Provider", "esddns", spec=spec)
    kube.site(world)
    give(kube, world)
    world.gandi.token = KEY
    with taking_over(kube, world, tmp_path):
        told(kube, "Conflict")
        holds(world, "home", str(HOME))
        assert (kube.get(PROVIDERS, "esddns") or {})["spec"]["gandi"]["authentication"] == "Bearer"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "target-domain"),
        ({"target-domain": "example.org", "record-ttl": "-1"}, "record-ttl"),
        ({"target-domain": "example.org", "authentication": "Basic"}, "Bearer"),
        ({"target-domain": "example.org", "dns.ini": "nothing"}, "INI"),
        ({"target-domain": "example.org", "dns.ini": '[WANIPState]\nip_check_services = {"svc": ["x"]}'}, "URL"),
        ({"target-domain": "example.org", "dns.ini": "[ESDDNS]\ndaemon_thread_interval = often"}, "whole number"),
    ],
)
def test_what_cannot_be_right_is_told(data: dict[str, str], problem: str) -> None:
    """The error names what is wrong."""
    with pytest.raises(ConfigError, match=problem):
        read_config_map(data)


def test_what_is_left_out_has_its_usual_value() -> None:
    """The apex, 300 s, Gandi's own URL, and a Site that detects as any other."""
    found = read_config_map({"target-domain": "Example.org.", "record-name": "@", "record-ttl": "60"})
    assert (found.fqdn, found.domain, found.ttl, found.interval) == ("example.org", "example.org", 300, 300)
    assert (found.server, dict(found.detect)) == ("", {"intervalSeconds": 300})
