"""Domains of the Strato DynDNS controller, as its users wrote them (SPEC A1-A9)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from homing.standins.internet import StandInInternet
from tests.app.running import HOME, MOVED
from tests.operator.running import STRATO_DOMAINS, Kube, operator
from tests.waiting import until

pytestmark = pytest.mark.cluster

WWW, SECRET = "www.example.de", "strato-dyndns-password"


def requests(world: StandInInternet, host: str = WWW) -> int:
    """Requests for a host so far."""
    return sum(host in str(item.as_json()) for item in world.strato.log)


def test_dynamic_follows_and_tells_as_the_controller_did(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """Status, columns and events are the seed's; a new address is published though no interval has passed."""
    kube.site(world)
    kube.strato_domain("www-example-de", WWW)
    with operator(kube, tmp_path, world):
        until(lambda: kube.status(STRATO_DOMAINS, "www-example-de").get("lastResult"), 30, "the first success")
        status = kube.status(STRATO_DOMAINS, "www-example-de")
        assert (status["enabled"], status["ipAddress"], status["mode"]) == (True, str(HOME), "Dynamic")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", status["lastLoop"])
        lines = kube.cluster.kubectl("get", "domains.dyndns.contrib.strato.com").splitlines()
        assert lines[0].split() == ["NAME", "FQDN", "IP", "ADDRESS", "MODE", "SUCCESSFUL", "LAST", "RUN", "ENABLED"]
        assert str(HOME) in lines[1]
        assert world.strato.published[WWW] == (HOME,)
        until(lambda: ("Normal", "DynDnsUpdateCompleted") in kube.events("www-example-de"), 15, "the event")
        asked = requests(world)
        kube.patch(STRATO_DOMAINS, "www-example-de", {"metadata": {"annotations": {"homing.dev/reconcile": "1"}}})
        until(lambda: ("Normal", "DynDnsUpdateSkipped") in kube.events("www-example-de"), 15, "the event")
        assert requests(world) == asked, "an unchanged address was sent again"


def test_manual_publishes_the_address_of_the_spec(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """With spec.ipAddress the mode is Manual; a changed spec is published, after the pause that services ask for."""
    kube.strato_domain("www", WWW, ipAddress="8.8.4.4")
    with operator(kube, tmp_path, world):
        until(lambda: kube.status(STRATO_DOMAINS, "www").get("lastResult"), 30, "the first success")
        assert kube.status(STRATO_DOMAINS, "www")["mode"] == "Manual"
        assert [str(item) for item in world.strato.published[WWW]] == ["8.8.4.4"]
        asked = requests(world)
        kube.patch(STRATO_DOMAINS, "www", {"spec": {"ipAddress": "8.8.8.8"}})
        held = kube.wait_for(STRATO_DOMAINS, "www", status="False", reason="Held")
        assert "at most every 60 s" in held["message"]
        assert requests(world) == asked, "asked twice within 60 s"
        assert kube.status(STRATO_DOMAINS, "www")["ipAddress"] == "8.8.4.4", "the address of a success"


def test_a_missing_secret_is_told_and_its_coming_is_noticed(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """The controller ended its loop for good there (A11); Homing says so and goes on."""
    kube.strato_domain("www", WWW, ipAddress="8.8.4.4")
    kube.delete("v1/secrets", SECRET)
    with operator(kube, tmp_path, world):
        kube.wait_for(STRATO_DOMAINS, "www", status="False", reason="SecretNotFound")
        assert kube.status(STRATO_DOMAINS, "www")["lastResult"] is False
        until(lambda: ("Warning", "SecretNotFound") in kube.events("www"), 15, "the event")
        kube.secret(SECRET, password="open-sesame-4711")
        kube.wait_for(STRATO_DOMAINS, "www")


def test_badauth_locks_the_account_until_the_secret_changes(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """One request with a wrong password, none after it by this leader or the next; a new password is used at once."""
    kube.strato_domain("www", WWW, ipAddress="8.8.4.4")
    kube.secret(SECRET, password="a wrong one")
    with operator(kube, tmp_path, world) as first:
        kube.wait_for(STRATO_DOMAINS, "www", kind="Locked")
        until(lambda: ("Warning", "DynDnsUpdateFailed") in kube.events("www"), 15, "the event")
        first.kill()
    assert requests(world) == 1
    with operator(kube, tmp_path, world) as second:
        until(lambda: "leading" in second.text, 30, "the next leader")
        kube.patch(STRATO_DOMAINS, "www", {"metadata": {"annotations": {"homing.dev/reconcile": "1"}}})
        until(lambda: second.metric('homing_operator_turns_total{kind="StratoDomain",outcome="Locked"}'), 15, "a turn")
        assert requests(world) == 1
        kube.secret(SECRET, password="open-sesame-4711")
        kube.wait_for(STRATO_DOMAINS, "www")
        assert "a wrong one" not in str(kube.get(STRATO_DOMAINS, "www")) + second.text


def test_disabled_is_told_and_ends_the_turns(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """status.enabled becomes false and nothing is asked."""
    kube.strato_domain("www", WWW, ipAddress="8.8.4.4", enabled=False)
    with operator(kube, tmp_path, world):
        until(lambda: kube.status(STRATO_DOMAINS, "www").get("enabled") is False, 30, "the status")
        assert requests(world) == 0


def test_both_families_go_in_one_request(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """IPv6 comes along when the Site has it and the spec leaves the address open."""
    kube.put(
        "homing.dev/v1alpha1/sites",
        "Site",
        "default",
        spec={"detect": {"methods": ["Interface"], "acceptNetworks": ["203.0.113.0/24", "2001:db8::/32"]}},
    )
    status = {
        "addresses": [
            {"family": "IPv4", "address": str(MOVED)},
            {"family": "IPv6", "address": "2001:db8::1"},
        ]
    }
    kube.patch("homing.dev/v1alpha1/sites", "default", {"status": status}, "status")
    kube.strato_domain("www", WWW)
    with operator(kube, tmp_path, world):
        until(lambda: kube.status(STRATO_DOMAINS, "www").get("lastResult"), 30, "the first success")
        assert [str(item) for item in world.strato.published[WWW]] == [str(MOVED), "2001:db8::1"]
        assert requests(world) == 1
        assert kube.status(STRATO_DOMAINS, "www")["ipv6Address"] == "2001:db8::1"
