"""Two operators: the leader is killed, frozen or cut off, and never do two write."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from homing.standins.faults import Fault, Kind
from homing.standins.internet import StandInInternet
from tests.cluster.proxy import Proxy
from tests.cluster.relay import Relay
from tests.operator.names import holds, slowly, static, writes
from tests.operator.running import DOMAINS, LEASE, STRATO_DOMAINS, Kube, Process, operator
from tests.waiting import until

pytestmark = pytest.mark.cluster

FEW = range(1, 4)
"""Numbers of Domains."""


def stand_by(process: Process) -> None:
    """Wait until an operator knows that another one leads."""
    until(lambda: "leader seen" in process.text, 15, "the other operator")


def published(kube: Kube, world: StandInInternet, plus: int) -> bool:
    """Whether each of the few Domains holds its number plus this one, at Gandi and in its status."""
    return all(
        holds(world, f"d{number}", number + plus)
        and kube.status(DOMAINS, f"d{number}").get("addresses") == [f"203.0.113.{number + plus}"]
        for number in FEW
    )


def test_a_leader_killed_during_its_calls_is_followed(kube: Kube, world: StandInInternet, tmp_path: Path) -> None:
    """The next finishes within the lease and 5 s, and repeats nothing but the calls that were under way."""
    kube.gandi(world)
    for number in FEW:
        kube.domain(f"d{number}", f"d{number}.example.org", static(number))
    kube.strato_domain("mail", "mail.example.de", ipAddress="8.8.8.8")
    with (
        operator(kube, tmp_path, world, "--identity", "first") as first,
        operator(kube, tmp_path, world, "--identity", "second") as second,
    ):
        for number in FEW:
            kube.wait_for(DOMAINS, f"d{number}")
        kube.wait_for(STRATO_DOMAINS, "mail")
        leader, other = (first, second) if kube.lease()[0] == "first" else (second, first)
        stand_by(other)
        world.gandi.faults.add(Fault(Kind.HANG), key="PUT")
        world.strato.faults.add(Fault(Kind.HANG), key="www.example.de")
        kube.patch(DOMAINS, "d1", {"spec": {"addresses": static(50)}})
        kube.strato_domain("www", "www.example.de", ipAddress="8.8.4.4")
        until(lambda: writes(world, "d1/")[-1].status == 0 and len(world.strato.log) == 2, 30, "the calls")
        leader.kill()
        until(lambda: holds(world, "d1", 50) and len(world.strato.log) == 3, LEASE + 5, "the next leader's writes")
        until(lambda: kube.status(DOMAINS, "d1")["addresses"] == ["203.0.113.50"], 15, "the status")
        kube.wait_for(STRATO_DOMAINS, "www")
        assert [item.status for item in writes(world, "d1/")] == [201, 0, 201]
        assert [item.status for item in writes(world)] == [201] * 3 + [0, 201]
        assert [item.code for item in world.strato.log] == ["good 8.8.8.8", "fault:hang", "good 8.8.4.4"]
        assert other.metric("homing_operator_leader") == 1


def test_a_frozen_leader_that_wakes_writes_nothing_until_it_leads_anew(
    kube: Kube, world: StandInInternet, proxy: Proxy, tmp_path: Path
) -> None:
    """Stopped amid its turns for longer than its lease, with news waiting: no provider and no object hears of it."""
    with slowly(kube, world) as way:
        for number in FEW:
            kube.domain(f"d{number}", f"d{number}.example.org", static(number))
        kubeconfig = kube.cluster.kubeconfig(server=proxy.server)
        with operator(kube, tmp_path, None, "--identity", "frozen", kubeconfig=kubeconfig) as frozen:
            until(lambda: published(kube, world, 0), 15, "the names")
            with operator(kube, tmp_path, None, "--identity", "second") as second:
                stand_by(second)
                asked = len(world.gandi.log)
                way.delay(0.5)
                for number in FEW:
                    kube.patch(DOMAINS, f"d{number}", {"spec": {"addresses": static(number + 10)}})
                until(lambda: len(world.gandi.log) > asked, 30, "its reading, whose answer is under way")
                frozen.send(signal.SIGSTOP)
                way.delay(0.0)
                until(lambda: published(kube, world, 10), LEASE + 10, "the second leader's writes")
                assert kube.lease()[0] == "second"
                second.kill()
            for number in FEW:
                kube.patch(DOMAINS, f"d{number}", {"spec": {"addresses": static(number + 20)}})
            woken = time.time()
            frozen.send(signal.SIGCONT)
            until(lambda: published(kube, world, 20), LEASE + 10, "its writes once it leads anew")
            holder, since = kube.lease()
            assert holder == "frozen"
            assert since > woken + LEASE / 2
            assert not [item for item in writes(world) if woken <= item.at < since]
            said = [
                (method, path)
                for (method, path), at in zip(proxy.seen, proxy.seen_at, strict=True)
                if woken <= at < since and method != "GET" and "/leases" not in path
            ]
            assert not said
            assert len(writes(world)) == 9


def test_a_leader_cut_off_from_the_api_server_stops_before_another_starts(
    kube: Kube, world: StandInInternet, relay: Relay, tmp_path: Path
) -> None:
    """It reaches the provider and has much to write, yet asks for nothing from the end of its right to write on."""
    names = range(1, 25)
    port = world.gandi.endpoints[0].port
    server = {"server": f"http://127.0.0.1:{port}/v5/livedns", "domain": "example.org"}
    kube.gandi(world, gandi=server, rateLimit={"requestsPerMinute": 600})
    with Relay(port) as own:
        env = {"http_proxy": f"http://127.0.0.1:{own.port}"}
        kubeconfig = kube.cluster.kubeconfig(server=relay.server)
        with operator(kube, tmp_path, None, "--identity", "first", kubeconfig=kubeconfig, **env) as first:
            until(lambda: kube.lease()[0] == "first", 15, "the first leader")
            with operator(kube, tmp_path, None, "--identity", "second") as second:
                stand_by(second)
                for number in names[:3]:
                    kube.domain(f"d{number}", f"d{number}.example.org", static(number))
                until(lambda: len(writes(world)) >= 3, 30, "the first writes")
                for number in names[3:]:
                    kube.domain(f"d{number}", f"d{number}.example.org", static(number))
                relay.black_hole()
                cut = time.time()
                until(lambda: kube.lease()[0] == "second", LEASE + 5, "the second leader")
                used = own.accepted
                until(lambda: all(holds(world, f"d{number}", number) for number in names), 25, "the other names")
                right, since = cut + LEASE * 2 / 3, kube.lease()[1]
                assert [item for item in world.gandi.log if cut < item.at < right], "the provider was not reached"
                assert not [item for item in world.gandi.log if right < item.at < since]
                assert own.accepted == used
                assert first.metric("homing_operator_leader") == 0
                for number in names:
                    kube.wait_for(DOMAINS, f"d{number}")
                assert len({item.path for item in writes(world)}) == len(names)
            relay.heal()
