"""Many Domains at once: all are published, the provider's limit is kept, and a bad one blocks no other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from homing.standins.faults import Fault, Kind, answer
from homing.standins.gandi import GandiRequest
from homing.standins.internet import StandInInternet
from tests.operator.names import holds, static
from tests.operator.running import DOMAINS, Kube, operator
from tests.waiting import until

pytestmark = pytest.mark.cluster

CROWD = int(os.environ.get("HOMING_CROWD", "60"))
"""Domains that are made at once; 1000 take four minutes, which is what Gandi's limit asks for."""

PER_MINUTE, BURST = 900, 60
"""The requests to Gandi that are let pass: steadily, and at once. Together fewer than the 1000 of its limit."""


def at_once(requests: Iterable[GandiRequest], per_minute: float) -> float:
    """The most requests that came above a steady rate: with so many at once a minute has no more than the sum."""
    level, most, before = 0.0, 0.0, 0.0
    for item in requests:
        level = max(0.0, level - (item.at - before) * per_minute / 60.0) + 1.0
        most, before = max(most, level), item.at
    return most


def test_a_crowd_is_published_within_the_limit_and_a_bad_one_blocks_no_other(
    kube: Kube, world: StandInInternet, tmp_path: Path
) -> None:
    """All are Ready in the end, no request was too many; a name that hangs, is refused or leads nowhere says why."""
    records = "/v5/livedns/domains/example.org/records"
    world.gandi.faults.add(Fault(Kind.HANG), key=f"{records}/hangs/A", times=None)
    world.gandi.faults.add(answer("no", 400), key=f"{records}/refused/A", times=None)
    kube.gandi(world, gandi={"server": f"{world.gandi_url}/v5/livedns", "domain": "example.org"}, timeoutSeconds=5)
    with operator(kube, tmp_path) as process:
        for name in ("hangs", "refused"):
            kube.domain(name, f"{name}.example.org", static(9))
        kube.domain("nowhere", "nowhere.example.org", static(9), provider="none")
        kube.domain("foreign", "www.example.net", static(9))
        kube.domain("empty", "empty.example.org", {"service": {"name": "none"}})
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: kube.domain(f"d{n}", f"d{n}.example.org", static(n % 200 + 1)), range(CROWD)))
        shortest = (3 * CROWD - BURST) / PER_MINUTE * 60
        until(lambda: len(world.gandi.records) == CROWD, shortest + 20, "all names")
        assert all(holds(world, f"d{n}", n % 200 + 1) for n in range(CROWD))
        ready = {
            f'homing_domain_ready{{fqdn="d{n}.example.org",kind="Domain",name="d{n}",namespace="{kube.namespace}"}} 1.0'
            for n in range(CROWD)
        }
        until(lambda: ready <= set(process.ask("/metrics")[1].splitlines()), 20, "every one Ready")
        told = {
            "hangs": "UpdateFailed",
            "refused": "UpdateFailed",
            "nowhere": "ProviderNotFound",
            "foreign": "UpdateFailed",
            "empty": "AddressUnknown",
        }
        for name, reason in told.items():
            kube.wait_for(DOMAINS, name, status="False", reason=reason)
            kube.wait_for(DOMAINS, name, kind="Synced", status="False")
        for n in range(CROWD):
            kube.wait_for(DOMAINS, f"d{n}")
        assert 429 not in {item.status for item in world.gandi.log}
        assert at_once(world.gandi.log, PER_MINUTE) <= BURST + 10
        assert process.metric("esddns_state_in_sync") == 0
        assert (
            'homing_kubernetes_request_duration_seconds_count{code="200",resource="domains",verb="patch"}'
            in (process.ask("/metrics")[1])
        )


def test_a_rate_that_the_user_sets_counts_every_request(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """With 240 requests a minute no look-up, reading or writing goes beyond; what waits is no failure."""
    kube.gandi(world, rateLimit={"requestsPerMinute": 240})
    for number in range(1, 7):
        kube.domain(f"d{number}", f"d{number}.example.org", static(number))
    with operator(kube, tmp_path) as process:
        for number in range(1, 7):
            kube.wait_for(DOMAINS, f"d{number}", seconds=20)
        assert len(world.gandi.log) >= 6 * 3
        assert at_once(world.gandi.log, 240) <= 10
        assert process.metric("esddns_dns_update_failures_total") == 0
        assert process.metric("esddns_dns_updates_total") == 6
