"""Domains of homing.dev on the real API server: published, repaired, refused, removed, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from homing.standins.internet import StandInInternet
from tests.app.running import HOME, MOVED
from tests.operator.running import CLUSTER_PROVIDERS, DOMAINS, PROVIDERS, SITES, Kube, operator
from tests.waiting import until

pytestmark = pytest.mark.cluster

FIXED = {"static": ["203.0.113.77"]}


def test_a_name_follows_the_wan_address(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """A new WAN address is at the provider, in the status and among the events without anybody's doing."""
    kube.site(world)
    kube.gandi(world)
    kube.domain("www", "www.example.org", {"wan": {}})
    with operator(kube, tmp_path, world):
        kube.wait_for(DOMAINS, "www")
        assert world.gandi.values("example.org", "www", "A") == (str(HOME),)
        assert kube.status(DOMAINS, "www")["addresses"] == [str(HOME)]
        world.move(MOVED)
        until(lambda: world.gandi.values("example.org", "www", "A") == (str(MOVED),), 30, "the new address")
        until(lambda: kube.status(DOMAINS, "www")["addresses"] == [str(MOVED)], 15, "the status")
        until(lambda: ("Normal", "Updated") in kube.events("www"), 15, "the event")
        assert kube.status(SITES, "default")["ipv4"] == str(MOVED)


def test_drift_is_repaired(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """What somebody else wrote is found when asked for, told, and put right."""
    kube.gandi(world)
    kube.domain("www", "www.example.org", FIXED)
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "www")
        record = world.gandi.records["example.org", "www", "A"]
        world.gandi.records["example.org", "www", "A"] = type(record)(record.ttl, ("203.0.113.66",))
        kube.patch(DOMAINS, "www", {"metadata": {"annotations": {"homing.dev/reconcile": "now"}}})
        until(lambda: world.gandi.values("example.org", "www", "A") == ("203.0.113.77",), 15, "the repair")
        until(lambda: ("Warning", "DriftFound") in kube.events("www"), 15, "the event")


def test_a_missing_secret_provider_or_key_is_told_and_mended_by_its_coming(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """Each has a condition and an event of its own; what was missing counts as soon as it is there."""
    kube.domain("www", "www.example.org", FIXED)
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "www", status="False", reason="ProviderNotFound")
        spec = {"gandi": {"server": f"{world.gandi_url}/v5/livedns"}, "secretRef": {"name": "gandi", "key": "other"}}
        kube.put(PROVIDERS, "Provider", "gandi", spec=spec)
        kube.wait_for(DOMAINS, "www", status="False", reason="SecretNotFound")
        kube.secret("gandi", unused="x")
        told = kube.wait_for(DOMAINS, "www", status="False", reason="SecretKeyNotFound")
        assert "no key other (it has unused)" in told["message"]
        kube.wait_for(PROVIDERS, "gandi", status="False", reason="SecretKeyNotFound")
        kube.secret("gandi", other="token-of-the-house-0815")
        kube.wait_for(DOMAINS, "www")
        kube.wait_for(PROVIDERS, "gandi")
        reasons = {reason for kind, reason in kube.events("www") if kind == "Warning"}
        assert {"ProviderNotFound", "SecretNotFound", "SecretKeyNotFound"} <= reasons


def test_the_older_of_two_holds_the_name(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """The younger says Conflict and writes nothing; once the older is gone the name is its own."""
    kube.gandi(world)
    kube.domain("older", "www.example.org", FIXED)
    until(lambda: kube.get(DOMAINS, "older"), 2)
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "older")
        kube.domain("younger", "WWW.example.org", {"static": ["203.0.113.88"]})
        told = kube.wait_for(DOMAINS, "younger", kind="Conflict")
        assert "Domain" in told["message"]
        assert "older" in told["message"]
        assert world.gandi.values("example.org", "www", "A") == ("203.0.113.77",)
        kube.delete(DOMAINS, "older")
        kube.wait_for(DOMAINS, "younger")
        assert world.gandi.values("example.org", "www", "A") == ("203.0.113.88",)


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_deletion_goes_by_the_policy(kube: Kube, world: StandInInternet, tmp_path: Path, policy: str) -> None:
    """Only Delete sets a finalizer and removes the record; Retain leaves both alone."""
    kube.gandi(world)
    kube.domain("www", "www.example.org", FIXED, deletionPolicy=policy)
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "www")
        found = kube.get(DOMAINS, "www") or {}
        assert bool(found["metadata"].get("finalizers")) is (policy == "Delete")
        kube.delete(DOMAINS, "www")
        until(lambda: kube.get(DOMAINS, "www") is None, 15, "the end of the Domain")
        held = world.gandi.values("example.org", "www", "A")
        assert held == (() if policy == "Delete" else ("203.0.113.77",))


def test_a_domain_that_moves_to_an_own_zone_leaves_its_provider(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """Whoever published it removes it, since `homing dns` may not read the credentials."""
    kube.gandi(world)
    spec = {"zone": {}, "allowedDomains": ["example.org"], "allowedNamespaces": [kube.namespace]}
    kube.put(CLUSTER_PROVIDERS, "ClusterProvider", kube.namespace, spec=spec)
    kube.domain("www", "www.example.org", FIXED, deletionPolicy="Delete")
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "www")
        kube.patch(DOMAINS, "www", {"spec": {"providerRef": {"kind": "ClusterProvider", "name": kube.namespace}}})
        until(lambda: not world.gandi.values("example.org", "www", "A"), 10, "the end of the record")
        until(lambda: ("Normal", "RecordRemoved") in kube.events("www"), 15, "the event")
    kube.delete(CLUSTER_PROVIDERS, kube.namespace)


def test_a_record_that_somebody_changed_stays(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """Delete removes what Homing published and still holds, not what another wrote since."""
    kube.gandi(world)
    kube.domain("www", "www.example.org", FIXED, deletionPolicy="Delete")
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "www")
        record = world.gandi.records["example.org", "www", "A"]
        world.gandi.records["example.org", "www", "A"] = type(record)(record.ttl, ("203.0.113.66",))
        kube.delete(DOMAINS, "www")
        until(lambda: kube.get(DOMAINS, "www") is None, 15, "the end of the Domain")
        assert world.gandi.values("example.org", "www", "A") == ("203.0.113.66",)


def test_a_deletion_without_credentials_retains_the_record(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """The finalizer is lifted and RecordRetained says why."""
    kube.gandi(world)
    kube.domain("www", "www.example.org", FIXED, deletionPolicy="Delete")
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "www")
        kube.delete("v1/secrets", "gandi")
        kube.wait_for(DOMAINS, "www", status="False", reason="SecretNotFound")
        kube.delete(DOMAINS, "www")
        until(lambda: kube.get(DOMAINS, "www") is None, 15, "the end of the Domain")
        assert world.gandi.values("example.org", "www", "A") == ("203.0.113.77",)
        until(lambda: ("Warning", "RecordRetained") in kube.events("www"), 15, "the event")


def test_a_disabled_domain_keeps_what_it_holds(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """enabled: false pauses; true goes on."""
    kube.gandi(world)
    kube.domain("www", "www.example.org", FIXED)
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "www")
        kube.domain("www", "www.example.org", {"static": ["203.0.113.88"]}, enabled=False)
        kube.wait_for(DOMAINS, "www", status="False", reason="Disabled")
        assert world.gandi.values("example.org", "www", "A") == ("203.0.113.77",)
        kube.patch(DOMAINS, "www", {"spec": {"enabled": True}})
        kube.wait_for(DOMAINS, "www")
        assert world.gandi.values("example.org", "www", "A") == ("203.0.113.88",)


def test_allowed_domains_are_enforced(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """A name outside them is not published, and holds nobody else's name up."""
    kube.gandi(world, allowedDomains=["apps.example.org"])
    kube.domain("outside", "www.example.org", FIXED)
    kube.domain("inside", "a.apps.example.org", FIXED)
    with operator(kube, tmp_path):
        kube.wait_for(DOMAINS, "inside")
        told = kube.wait_for(DOMAINS, "outside", status="False", reason="NotAllowed")
        assert "allowedDomains" in told["message"]
        assert world.gandi.values("example.org", "www", "A") == ()


def test_a_lockout_shows_and_lifts_when_the_secret_changes(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """A wrong token pauses the account: told on Provider and Domain; a right one publishes at once."""
    kube.gandi(world)
    kube.secret("gandi", **{"api-key": "a wrong one"})
    kube.domain("www", "www.example.org", FIXED)
    with operator(kube, tmp_path) as first:
        kube.wait_for(DOMAINS, "www", kind="Locked")
        kube.wait_for(PROVIDERS, "gandi", kind="Locked")
        asked = len(world.gandi.log)
        first.kill()
    with operator(kube, tmp_path):  # the next leader knows of it and asks nobody
        until(lambda: "leading" in (tmp_path / "operator-1.log").read_text(), 30, "the next leader")
        kube.patch(DOMAINS, "www", {"metadata": {"annotations": {"homing.dev/reconcile": "now"}}})
        kube.wait_for(DOMAINS, "www", kind="Locked")
        assert len(world.gandi.log) == asked
        kube.secret("gandi", **{"api-key": "token-of-the-house-0815"})
        kube.wait_for(DOMAINS, "www")
        kube.wait_for(PROVIDERS, "gandi", kind="Locked", status="False")
        assert "a wrong one" not in str(kube.get(PROVIDERS, "gandi")) + str(kube.get(DOMAINS, "www"))
