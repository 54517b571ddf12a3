"""What an operator tells of itself: liveness, readiness, and metrics that are true."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from homing.app.cluster.process import STALLED, stalled
from homing.effects.clock import ManualClock, settle
from homing.operator.queue import Turns
from homing.operator.runtime import Operator
from homing.standins.internet import StandInInternet
from tests.app.running import HOME, MOVED
from tests.cluster.proxy import Proxy
from tests.messages.receiver import receiving
from tests.monitoring.exposition import check_exposition
from tests.operator.names import static
from tests.operator.running import DOMAINS, Kube, operator
from tests.waiting import until


async def never(_: str) -> None:
    """A turn that asks for no other."""


async def test_a_queue_that_stands_still_ends_liveness() -> None:
    """While it is looked at nothing is wrong, for days; a minute without a look is."""
    clock = ManualClock()
    turns = Turns(never, clock=clock, chance=random.Random(1))
    operator = cast("Operator", SimpleNamespace(term=SimpleNamespace(turns=turns, synced=True)))
    running = asyncio.create_task(turns.run())
    await settle()
    for _ in range(20):
        await clock.advance(STALLED)
        assert stalled(operator, clock) is None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await clock.advance(STALLED + 1)
    assert "has not moved" in (stalled(operator, clock) or "")


def test_who_does_not_lead_is_alive() -> None:
    """A replica that waits has no queue that could stand still."""
    assert stalled(cast("Operator", SimpleNamespace(term=None)), ManualClock()) is None


@pytest.mark.cluster
def test_readiness_waits_for_a_leader_and_the_cluster(
    kube: Kube, world: StandInInternet, proxy: Proxy, tmp_path: Path
) -> None:
    """Not ready before a leader is known, nor before the Domains were read; alive all the time."""
    leases = proxy.answer(503, ".*", "/leases")
    lists = proxy.answer(503, "GET", "homing.dev/v1alpha1/.*domains")
    with operator(kube, tmp_path, world, kubeconfig=kube.cluster.kubeconfig(server=proxy.server)) as process:
        until(lambda: leases.hits, 30, "the first look at the Lease")
        status, text = process.ask("/readyz")
        assert status == 503
        assert "no leader is known" in text
        leases.times = 0
        until(lambda: lists.hits, 30, "the first look at the Domains")
        status, text = process.ask("/readyz")
        assert status == 503
        assert "reading the cluster" in text
        assert process.ask("/livez")[0] == 200
        proxy.heal()
        until(lambda: process.ask("/readyz")[0] == 200, 20, "readiness")
        assert process.ask("/livez")[0] == 200


@pytest.mark.cluster
def test_metrics_tell_the_truth(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """Who leads, which Domain is Ready, the WAN address, updates, the API's latency; ESDDNS's names among them.

    And the leader alone tells people.
    """
    began = time.time()
    kube.site(world)
    kube.gandi(world)
    kube.domain("www", "www.example.org", {"wan": {}})
    kube.domain("mail", "mail.example.org", static(1), provider="none")
    with receiving() as receiver, contextlib.ExitStack() as stack:
        (tmp_path / "urls").write_text(f"json://me:hush@127.0.0.1:{receiver.port}/good")
        (tmp_path / "ping").write_text(f"http://127.0.0.1:{receiver.port}/uuid")
        words = ("--messages-file", str(tmp_path / "urls"), "--ping-file", str(tmp_path / "ping"), "--identity")
        first, second = (
            stack.enter_context(operator(kube, tmp_path, None, *words, name)) for name in ("first", "second")
        )
        kube.wait_for(DOMAINS, "www")
        kube.wait_for(DOMAINS, "mail", status="False", reason="ProviderNotFound")
        leader, other = (first, second) if kube.lease()[0] == "first" else (second, first)

        def ready(name: str) -> float:
            labels = f'fqdn="{name}.example.org",kind="Domain",name="{name}",namespace="{kube.namespace}"'
            return leader.metric(f"homing_domain_ready{{{labels}}}")

        until(lambda: leader.metric("homing_operator_queue_depth") == 0, 15, "the end of the turns")
        assert (leader.metric("homing_operator_leader"), other.metric("homing_operator_leader")) == (1, 0)
        assert (ready("www"), ready("mail")) == (1, 0)
        assert leader.metric("esddns_state_in_sync") == 0
        assert leader.metric("esddns_service_health") == 1
        assert leader.metric("esddns_dns_updates_total") == 1
        assert leader.metric("esddns_dns_update_failures_total") == 0
        assert began - 1 <= leader.metric("esddns_last_dns_update_timestamp") <= time.time()
        assert leader.metric(f'esddns_current_wan_ip_info{{ip="{HOME}"}}') == 1
        assert leader.metric('homing_operator_turns_total{kind="Domain",outcome="ProviderNotFound"}') >= 1
        for verb, resource in (("list", "domains"), ("watch", "domains"), ("patch", "domains"), ("replace", "leases")):
            sample = (
                f'homing_kubernetes_request_duration_seconds_count{{code="200",resource="{resource}",verb="{verb}"}}'
            )
            assert leader.metric(sample) >= 1, sample
        check_exposition("operator", leader.ask("/metrics")[1])
        check_exposition("operator", other.ask("/metrics")[1])
        assert leader.metric('homing_site_disputed{site="default"}') == 0
        assert began - 1 <= leader.metric('homing_site_detected_timestamp_seconds{site="default"}') <= time.time()
        assert "esddns_current_wan_ip_info{" not in other.ask("/metrics")[1]
        kube.delete(DOMAINS, "mail")
        until(lambda: leader.metric("esddns_state_in_sync") == 1, 15, "all in sync")
        assert 'name="mail"' not in leader.ask("/metrics")[1]
        assert not re.search(r"^homing_domain_ready\{", other.ask("/metrics")[1], re.MULTILINE)
        until(lambda: receiver.gets, 15, "the first look of who tells")
        assert receiver.posts == []
        world.move(MOVED)
        until(lambda: receiver.texts("/good"), 60, "the message")
        assert f"Site default IPv4 is {MOVED} now; it was {HOME}" in receiver.texts("/good")[0]
        assert (len(receiver.posts), receiver.gets) == (1, ["/uuid"])
        assert "hush" not in first.text + second.text
