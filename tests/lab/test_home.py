"""A change of the router's address travels to every provider, the own zone, the history and the metrics."""

from __future__ import annotations

import json
import signal
import sys

import pytest

from tests.lab import layout
from tests.lab.household import Homing
from tests.lab.lab import Lab
from tests.waiting import until

pytestmark = pytest.mark.lab

PATIENCE = False
"""Strato takes more requests than the real one would."""


def test_a_change_of_the_router_reaches_everything(lab: Lab, homing: Homing) -> None:
    """The router's new address is at Knot, BIND, Strato, Gandi and in the own zone; history and metrics tell it."""
    before, after = lab.wan_ipv4, layout.OTHER_WAN_IPV4
    lab.change_wan(ipv4=after)
    until(lambda: homing.all_hold(after, lab.home_ipv6), 20, "all names follow")
    changes = homing.history()
    assert any(row["kind"] == "address" and f"{before} -> {after}" in row["detail"] for row in changes)
    for fqdn in homing.names.values():
        assert any(
            row["kind"] == "update" and row["subject"].startswith(fqdn) and after in row["detail"] for row in changes
        )
    assert homing.metric(f'homing_wan_address_info{{address="{after}",family="IPv4"}}') == 1
    assert homing.metric(f'homing_wan_address_info{{address="{before}",family="IPv4"}}') == 0
    assert homing.metric(f'esddns_current_wan_ip_info{{ip="{after}"}}') == 1
    until(lambda: homing.metric("esddns_state_in_sync") == 1, 5, "esddns_state_in_sync")
    assert after in homing.get("/")
    assert json.loads(homing.get("/raw"))["wan_ip_state"] == {"usable": True, "IP": after}


def test_both_families_go_to_strato_in_one_request(lab: Lab, homing: Homing) -> None:
    """Each request that Strato got carries both families (U6), and no password in its address."""
    assert homing.published("strato") == {lab.wan_ipv4, lab.home_ipv6}
    assert all(len(row["addresses"]) == 2 for row in lab.strato()["log"])


def test_a_new_prefix_is_seen_by_netlink_and_published(lab: Lab, homing: Homing) -> None:
    """IPv6: the home's stable address in the new prefix takes the place of the deprecated one, within 2 s or so."""
    lab.change_wan(ipv6_prefix=layout.OTHER_PREFIX)
    until(lambda: homing.all_hold(lab.wan_ipv4, lab.home_ipv6), 10, "all names follow the prefix")


def test_drift_at_gandi_and_knot_is_repaired(lab: Lab, homing: Homing) -> None:
    """What somebody else changed is put right within the interval, and told in the history."""
    update = f"server {lab.knot.ipv4}\nzone {lab.knot.zone}\nupdate delete {homing.names['knot']} A\n"
    update += f"update add {homing.names['knot']} 60 A 9.9.9.9\nsend\n"
    lab.run("internet", ["nsupdate", "-k", str(lab.tsig.file)], stdin=update)
    assert "9.9.9.9" in homing.published("knot")
    until(lambda: homing.published("knot") == {lab.wan_ipv4, lab.home_ipv6}, 40, "Knot repaired")
    assert any(row["kind"] == "drift" and "9.9.9.9" in row["detail"] for row in homing.history())


def test_an_internet_that_is_gone_changes_no_name(lab: Lab, homing: Homing) -> None:
    """Law 1: with everything lost, names keep what they hold; when it is back, all is well without a restart."""
    lab.set_loss(100)
    try:
        until(lambda: homing.metric('homing_wan_verdict{family="IPv4",outcome="unknown"}') or _force(homing), 30)
        assert homing.published("zone") == {lab.wan_ipv4, lab.home_ipv6}
    finally:
        lab.set_loss(0)
    until(lambda: homing.metric('homing_wan_verdict{family="IPv4",outcome="agreed"}') == 1, 40, "agreed again")
    assert homing.all_hold(lab.wan_ipv4, lab.home_ipv6)


def _force(homing: Homing) -> bool:
    """A reload makes a round start at once."""
    if "configuration taken over" not in homing.log:
        assert homing._process is not None
        homing._process.send_signal(signal.SIGHUP)
    return False


def test_a_lockout_is_shown_survives_kill_9_and_ends_with_the_password(lab: Lab, homing: Homing) -> None:
    """U7: `abuse` pauses Strato alone; kill -9 forgets neither it nor the addresses; a new password lifts it."""
    lab.script("strato", "answer", times=1, body="abuse")
    lab.change_wan(ipv4=layout.WAN_IPV4)
    until(lambda: "abuse" in homing.get("/"), 20, "the lockout on the page")
    until(lambda: homing.published("knot") == {lab.wan_ipv4, lab.home_ipv6}, 20, "the others go on")
    requests = len(lab.strato()["log"])
    homing.stop(signal.SIGKILL)
    homing.start()
    until(lambda: "abuse" in homing.get("/"), 10, "the lockout after the restart")
    until(lambda: homing.metric('homing_wan_verdict{family="IPv4",outcome="agreed"}') == 1, 15, "a round")
    assert len(lab.strato()["log"]) == requests
    assert homing.published("zone") == {lab.wan_ipv4, lab.home_ipv6}
    (homing.folder / "strato.password").write_text("a wrong one")
    until(lambda: "badauth" in homing.get("/"), 10, "the wrong password is told")
    (homing.folder / "strato.password").write_text(layout.STRATO_PASSWORD)
    until(lambda: homing.all_hold(lab.wan_ipv4, lab.home_ipv6), 15, "Strato follows again")


def test_a_person_ends_a_pause_by_hand(lab: Lab, homing: Homing) -> None:
    """After `nohost` was mended at Strato, `homing unlock` has the running daemon try again at once."""
    lab.script("strato", "answer", times=1, body="nohost")
    lab.change_wan(ipv4="84.17.55.5")
    until(lambda: "nohost" in homing.get("/"), 20, "the pause")
    state = ["--state", str(homing.state)]
    argv = [sys.executable, "-m", "homing", "unlock", "strato"]
    assert lab.run("home", [*argv, "mail.example.org", *state], check=False).returncode == 1
    assert lab.run("home", [*argv, layout.STRATO_HOST, *state]).returncode == 0
    until(lambda: homing.published("strato") == {lab.wan_ipv4, lab.home_ipv6}, 15, "Strato follows again")
    until(lambda: homing.all_hold(lab.wan_ipv4, lab.home_ipv6), 15, "so do the others")


def test_no_secret_is_told_anywhere(lab: Lab, homing: Homing) -> None:
    """Law 3: neither log nor page, metrics, history nor database holds a secret."""
    told = homing.log + homing.get("/") + homing.get("/metrics") + json.dumps(homing.history())
    for file in homing.state.glob("homing.db*"):
        told += file.read_bytes().decode("latin-1")
    for secret in (layout.STRATO_PASSWORD, layout.GANDI_TOKEN, lab.tsig.secret):
        assert secret not in told


def test_sigterm_stops_within_two_seconds(homing: Homing) -> None:
    """A clean end, with exit status 0 and without a traceback in all that was said."""
    assert homing.stop(signal.SIGTERM) == 0
    assert "Traceback" not in homing.log
    homing.start()
