"""Replicas of ``homing dns`` on a real API server: one leads, the others follow it, and each answers all the time."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import dns.tsigkeyring
import dns.xfr
import pytest

import dns.zone
from homing.model.zone import serial_gt
from tests.app.running import get
from tests.app.test_dns_cluster import LEASE, WWW, ZONES, House, holds, view
from tests.app.test_dns_command import Server
from tests.cluster.fixtures import Cluster
from tests.cluster.relay import Relay
from tests.dns_servers import KEY, KEY_NAME, ZONE, _knot
from tests.dns_servers import Server as Peer
from tests.operator.rights import asked, granted, place, remove
from tests.operator.running import DOMAINS
from tests.operator.test_rbac import unneeded
from tests.ports import free_port
from tests.waiting import patience, until

pytestmark = pytest.mark.cluster

LEASES, SECRETS = "coordination.k8s.io/v1/leases", "v1/secrets"
NAME = f"www.{ZONE}"

AGE = f'homing_zone_view_age_seconds{{zone="{ZONE}"}}'
"""The metric of the zone that the tests serve."""


@pytest.fixture
def house(cluster: Cluster, tmp_path: Path) -> Iterator[House]:
    made = House(cluster, tmp_path)
    try:
        yield made
    finally:
        made.end()


def replica(house: House, name: str, *words: str, port: int = 0, server: str = "", account: str = "") -> Server:
    """A replica that is called so in the Lease."""
    return house.serving("--identity", name, *words, state=name, port=port, server=server, account=account)


def leader(house: House) -> str:
    """Who holds the Lease."""
    return str((house.get(LEASES, "homing-dns") or {}).get("spec", {}).get("holderIdentity") or "")


def metric(server: Server, name: str) -> float:
    """The value of a metric, named with its labels; 0 where nothing was counted."""
    lines = get(f"{server.web}/metrics")[1].splitlines()
    return float(next((line for line in lines if line.startswith(f"{name} ")), f"{name} 0").split()[1])


def is_live(server: Server) -> None:
    """Wait until what a replica serves is what the cluster says."""
    until(lambda: view(server) == "live", LEASE + 5, "a live view")


def www(number: int) -> dict[str, Any]:
    """The record that tests change."""
    return {**WWW, "values": [f"192.0.2.{number}"]}


class Asking:
    """Asks servers for a name and its serial all the time, by UDP; keeps what was wrong."""

    def __init__(self, *ports: int) -> None:
        self.wrong: list[str] = []
        self.asked = 0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port,)) for port in ports]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, port: int) -> None:
        last: int | None = None
        while not self._ended.wait(0.01):
            query = dns.message.make_query(NAME, "A")
            soa = dns.message.make_query(ZONE, "SOA")
            try:
                values = dns.query.udp(query, "127.0.0.1", timeout=2, port=port).answer
                (told,) = dns.query.udp(soa, "127.0.0.1", timeout=2, port=port).answer
            except (OSError, ValueError, dns.exception.DNSException) as error:
                self.wrong.append(f"{port}: {error!r}")
                continue
            self.asked += 1
            serial = int(told[0].serial)
            if not values:
                self.wrong.append(f"{port}: no address")
            if last is not None and serial != last and not serial_gt(serial, last):
                self.wrong.append(f"{port}: serial {last} -> {serial}")
            last = serial


def test_a_change_reaches_all(house: House) -> None:
    """Within milliseconds, under the serial that the leader gave; new Zones too, and deleted ones are gone."""
    house.zone(ZONE, WWW)
    with replica(house, "one") as one:
        is_live(one)
        with replica(house, "two") as two, replica(house, "three") as three:
            everyone = (one, two, three)
            for server in everyone:
                holds(server, NAME, "192.0.2.1")
                is_live(server)
            took: list[float] = []
            for number in range(2, 22):
                house.records(ZONE, www(number))
                holds(one, NAME, f"192.0.2.{number}")
                began = time.monotonic()
                holds(two, NAME, f"192.0.2.{number}")
                took.append(time.monotonic() - began)
                holds(three, NAME, f"192.0.2.{number}")
            assert statistics.median(took) < 0.1 * patience()
            assert max(took) < patience()
            assert {server.serial(ZONE) for server in everyone} == {one.serial(ZONE)}
            house.zone("b.test", WWW)
            for server in everyone:
                holds(server, "www.b.test", "192.0.2.1", seconds=2.0)
            house.delete(ZONES, "b.test")
            for server in everyone:
                holds(server, "www.b.test", "REFUSED", seconds=2.0)
            assert [metric(server, "homing_dns_leader") for server in everyone] == [1, 0, 0]
            assert max(metric(server, AGE) for server in everyone) < 3
            secret = house.get(SECRETS, "homing-dns-transfer")
            assert secret is not None
            key = base64.b64decode(secret["data"]["key"]).decode()
            assert len(base64.b64decode(key)) == 32
            assert not any(key in server.log for server in everyone)


@pytest.mark.parametrize("fault", ["killed", "frozen", "cut off"])
def test_the_next_leader_goes_on(fault: str, house: House, relay: Relay) -> None:
    """Every replica answers all the time, also one that is frozen or cut off; the serial is far above, so that nothing
    is taken for what only the last leader served."""
    house.zone(ZONE, WWW)
    house.name(f"home.{ZONE}", {"static": ["203.0.113.77"]}, name="home")
    ports = free_port(), free_port()
    with replica(house, "one", port=ports[0], server=relay.server) as one:
        is_live(one)
        house.wait_for(DOMAINS, "home")
        with replica(house, "two", port=ports[1]) as two:
            holds(two, f"home.{ZONE}", "203.0.113.77")
            is_live(two)
            with Asking(*(ports if fault != "killed" else ports[1:])) as asking:
                serial = one.serial(ZONE)
                if fault == "killed":
                    one.kill()
                elif fault == "frozen":
                    one.send(signal.SIGSTOP)
                else:
                    relay.black_hole()
                until(lambda: metric(two, "homing_dns_leader") == 1, LEASE + 4, "the next leader")
                holds(two, f"home.{ZONE}", "203.0.113.77")
                assert serial + 65_536 <= two.serial(ZONE) < serial + 65_546
                house.records(ZONE, www(2))
                holds(two, NAME, "192.0.2.2")
                if fault == "cut off":
                    until(lambda: view(one) == "last-good", 5, "the last good view")
                    assert one.values(NAME) == {"192.0.2.1"}
                    until(lambda: metric(one, AGE) > 2, 5, "the age")
                    relay.heal()
                elif fault == "frozen":
                    one.send(signal.SIGCONT)
                if fault != "killed":
                    holds(one, NAME, "192.0.2.2")
                    is_live(one)
                    assert one.serial(ZONE) == two.serial(ZONE)
            assert asking.wrong == []
            assert asking.asked > 50


def test_without_the_api_server_all_answer_and_start(house: House) -> None:
    """Their view is the last good one, and its age grows; a replica started meanwhile answers within a second."""
    house.zone(ZONE, WWW)
    plane = house.cluster.plane
    port = free_port()
    with replica(house, "one") as one:
        is_live(one)
        with replica(house, "two", port=port) as two:
            holds(two, NAME, "192.0.2.1")
            is_live(two)
            plane.kill_apiserver()
            try:
                for server in (one, two):
                    until(lambda server=server: view(server) == "last-good", 15, "the last good view")  # type: ignore[misc]
                    until(lambda server=server: metric(server, AGE) > 3, 9, "age")  # type: ignore[misc]
                    assert server.values(NAME) == {"192.0.2.1"}
                took: list[float] = []
                for _ in range(4):
                    two.kill()
                    took.append(first_answer(two, port) / slowness())
                assert min(took) < 1.0, took
                two.wait_until_up()
                assert view(two) == "last-good"
                plane.start_apiserver()
                until(lambda: {view(one), view(two)} == {"live"}, 15, "live views")
                house.records(ZONE, www(2))
                holds(one, NAME, "192.0.2.2")
                holds(two, NAME, "192.0.2.2")
            finally:
                with contextlib.suppress(AssertionError):
                    plane.start_apiserver()


def first_answer(server: Server, port: int) -> float:
    """Start a server; the seconds from its start to the first right answer."""
    query = dns.message.make_query(NAME, "A")
    began = time.monotonic()
    server._at_once = True
    server.__enter__()
    while time.monotonic() - began < 20:
        with contextlib.suppress(OSError, dns.exception.DNSException):
            found = dns.query.udp(query, "127.0.0.1", timeout=0.02, port=port).answer
            if found and found[0][0].to_text() == "192.0.2.1":
                break
    return time.monotonic() - began


def slowness() -> float:
    """How often slower than alone a process runs now that does nothing but compute: others may be at work, too."""
    began, before = time.monotonic(), os.times()
    subprocess.run([sys.executable, "-c", "import aiohttp, lightkube.config.kubeconfig"], check=True)
    now = os.times()
    busy = now.children_user + now.children_system - before.children_user - before.children_system
    return max(1.0, (time.monotonic() - began) / busy)


WRONG = re.compile(
    r"malformed|inconsisten|changeset|semantic|XFR, incoming.*(failed|error)(?!.*(refused|reset|timeout))"
)
"""What Knot tells of a transfer that cannot be, other than that a server is away."""

CHANGES = 20
"""Leaders that are made to give up."""


def knot(house: House, folder: Path, ports: list[int]) -> Peer:
    """Knot as a secondary of every replica."""
    remotes = "".join(f"  - id: r{port}\n    address: 127.0.0.1@{port}\n    key: {KEY_NAME}\n" for port in ports)
    masters = ", ".join(f"r{port}" for port in ports)
    folder.mkdir()
    return _knot(
        folder,
        f"""
remote:
{remotes}
acl:
  - id: peers
    key: {KEY_NAME}
    action: [notify, transfer]
zone:
  - domain: {ZONE}
    file: zone
    storage: "{folder}"
    master: [{masters}]
    acl: peers
    retry-min-interval: 1
    refresh-min-interval: 2
""",
    )


def content(port: int) -> set[str]:
    """A zone as it is transferred."""
    query = dns.message.make_query(ZONE, "AXFR")
    query.use_tsig(dns.tsigkeyring.from_text({KEY_NAME: KEY}))
    found = dns.zone.Zone(ZONE)
    dns.query.inbound_xfr("127.0.0.1", found, query, port=port, timeout=5)
    return {f"{name} {ttl} {rdata}" for name, ttl, rdata in found.iterate_rdatas()}


def soa(port: int) -> int:
    """The serial that a server tells."""
    (found,) = dns.query.udp(dns.message.make_query(ZONE, "SOA"), "127.0.0.1", timeout=2, port=port).answer
    return int(found[0].serial)


def follows(server: Server) -> bool:
    """Whether a replica, which may be just starting, serves what the cluster says."""
    return "\n  state " in server.told and view(server) == "live"


def unseat(server: Server, how: str) -> None:
    """Have it lead no longer."""
    if how == "stop":
        server.stop(limit=30)
    elif how == "kill":
        server.kill()
    else:
        server.send(signal.SIGSTOP)


class Changing:
    """Changes the zone's records all the time."""

    def __init__(self, house: House) -> None:
        self.made = 0
        self._house = house
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._change)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _change(self) -> None:
        while not self._ended.wait(0.05):
            self.made += 1
            low, high = self.made % 250, self.made // 250
            others = [
                {"name": f"n{at}", "type": "A", "values": [f"198.51.{high}.{low}"]} for at in range(self.made % 7)
            ]
            self._house.records(ZONE, {**WWW, "values": [f"192.0.{high}.{low}"]}, *others)


@pytest.mark.peers
@pytest.mark.usefixtures("untraced")
def test_knot_follows_through_twenty_leaders(house: House, tmp_path: Path) -> None:
    """They are stopped, killed and frozen while the zone changes. The serial of Knot never goes back, no difference is
    inconsistent to it, and it has what the leader has in the end; the replicas answer all the time."""
    names = ("one", "two", "three")
    ports = {name: free_port() for name in names}
    house.secret("tsig", key=KEY)
    peer = knot(house, tmp_path / "knot", list(ports.values()))
    house.zone(
        ZONE,
        WWW,
        tsigKeys=[{"name": KEY_NAME, "secretRef": {"namespace": house.namespace, "name": "tsig"}}],
        secondaries=[{"address": "127.0.0.1", "port": peer.port, "tsigKeyName": KEY_NAME}],
        transfers=[{"tsigKeyName": KEY_NAME}],
    )
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(replica(house, name, port=ports[name])) for name in names}
        for server in running.values():
            holds(server, NAME, "192.0.2.1")
        stack.enter_context(peer)
        peer.wait_until_answering()
        with Changing(house) as changing, Asking(peer.port) as asking:
            for number in range(CHANGES):
                known = changing.made
                until(lambda known=known: changing.made > known + 3, 30, "changes")  # type: ignore[misc]
                lead = until(lambda: leader(house), 30, "a leader")
                others = [server for name, server in running.items() if name != lead]
                until(lambda others=others: any(map(follows, others)), 60, "a replica that follows")  # type: ignore[misc]
                fault = "freeze" if number % 10 == 4 else "kill" if number % 10 == 9 else "stop"
                unseat(running[lead], fault)
                until(lambda lead=lead: leader(house) not in ("", lead), 60, "the next leader")  # type: ignore[misc]
                if fault == "freeze":
                    running[lead].send(signal.SIGCONT)
                else:
                    running[lead]._at_once = True
                    running[lead].__enter__()
        for server in running.values():
            until(lambda server=server: follows(server), 60, "live views")  # type: ignore[misc]
        serial = max(server.serial(ZONE) for server in running.values())
        until(lambda: {server.serial(ZONE) for server in running.values()} == {serial}, 30, "equal serials")
        until(lambda: soa(peer.port) == serial, 30, "Knot")
        assert asking.wrong == []
        assert len({frozenset(content(port)) for port in (peer.port, *ports.values())}) == 1
    told = peer.log.read_text()
    assert "IXFR, incoming" in told
    assert [line for line in told.splitlines() if WRONG.search(line)] == []


def test_the_rights_of_the_role_are_needed_and_enough(house: House) -> None:
    """Under the account of deploy/rbac/dns.yaml one leads and makes the key, another follows; no more is asked for."""
    placed = place(house, "dns.yaml")
    try:
        house.zone(ZONE, WWW)
        with replica(house, "one", account="homing-dns") as one:
            is_live(one)
            with replica(house, "two", account="homing-dns") as two:
                holds(two, NAME, "192.0.2.1")
                is_live(two)
        used, refused = asked(house, "homing-dns")
        assert refused == []
        own = [item for item in placed if item["kind"] in ("Role", "RoleBinding")]
        assert unneeded(granted(own), used) == set()
    finally:
        remove(house, placed)
