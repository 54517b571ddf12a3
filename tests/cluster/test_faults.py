"""The relay and the proxy break the way to the API server as a test tells them."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.fixtures import Cluster
from tests.cluster.programs import program
from tests.cluster.proxy import Proxy
from tests.cluster.relay import Relay
from tests.waiting import until

pytestmark = pytest.mark.cluster

Watching = Callable[[], str]
"""What a watch has told so far."""


@contextmanager
def watch(cluster: Cluster, server: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """kubectl that watches the ConfigMaps of the namespace; it ends when its connection does."""
    kubeconfig = cluster.kubeconfig(server=server)
    command = [program("kubectl"), f"--kubeconfig={kubeconfig}", "get", "configmaps", "--watch", "-o", "yaml"]
    with (
        log.open("wb") as output,
        subprocess.Popen([*command, f"--cache-dir={log.parent}"], stdout=output, stderr=output) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(params=["relay", "proxy"])
def between(request: pytest.FixtureRequest) -> Relay | Proxy:
    """Each of the two that can stand before the API server."""
    made: Relay | Proxy = request.getfixturevalue(request.param)
    return made


def test_a_watch_is_cut(cluster: Cluster, between: Relay | Proxy, tmp_path: Path) -> None:
    """A watch runs through both, event by event, and ends when its connection is cut."""
    log = tmp_path / "watch"
    with watch(cluster, between.server, log) as watching:
        cluster.kubectl("create", "configmap", "first")
        until(lambda: "name: first" in log.read_text(), what="the first event")
        cluster.kubectl("create", "configmap", "second")
        until(lambda: "name: second" in log.read_text(), what="the second event, which no list can tell")
        between.cut()
        watching.wait(10)
    cluster.kubectl("--server", between.server, "get", "configmap", "first")


def test_a_relay_that_refuses(cluster: Cluster, relay: Relay) -> None:
    """Nobody gets through a relay that refuses, and everybody again once it is healed."""
    relay.refuse()
    with pytest.raises(AssertionError, match="refused"):
        cluster.kubectl("--server", relay.server, "get", "configmaps")
    relay.heal()
    cluster.kubectl("--server", relay.server, "get", "configmaps")


def test_a_black_hole_tells_nobody(cluster: Cluster, relay: Relay, tmp_path: Path) -> None:
    """Through a black hole no event comes and the watch does not end; once healed, the event comes late."""
    log = tmp_path / "watch"
    with watch(cluster, relay.server, log) as watching:
        cluster.kubectl("create", "configmap", "before")
        until(lambda: "name: before" in log.read_text(), what="the first event")
        relay.black_hole()
        cluster.kubectl("create", "configmap", "after")
        with pytest.raises(TimeoutError):
            ssl.get_server_certificate(("127.0.0.1", relay.port), timeout=0.5)
        assert watching.poll() is None
        assert "name: after" not in log.read_text()
        relay.heal()
        until(lambda: "name: after" in log.read_text(), what="the late event")


def test_connections_are_cut_again_and_again(cluster: Cluster, relay: Relay, tmp_path: Path) -> None:
    """A watch lives no longer than the relay lets it, and so does the next."""
    relay.cut_every(1.0)
    for number in range(2):
        with watch(cluster, relay.server, tmp_path / f"watch-{number}") as watching:
            watching.wait(10)
    assert relay.accepted >= 2


def test_a_delay_holds_data(cluster: Cluster, relay: Relay) -> None:
    """An answer through a delay of 0.2 s each way takes longer than that."""
    relay.delay(0.2)
    start = time.monotonic()
    cluster.kubectl("--server", relay.server, "get", "--raw=/version")
    assert time.monotonic() - start > 0.4


def test_chosen_requests_are_refused(cluster: Cluster, proxy: Proxy) -> None:
    """The first two writes of a ConfigMap meet a conflict, reads do not, and the third write passes."""
    fault = proxy.answer(409, "POST|PUT|PATCH", "/configmaps", times=2)
    for _ in range(2):
        with pytest.raises(AssertionError, match="a test answers 409"):
            cluster.kubectl("--server", proxy.server, "create", "configmap", "one")
        cluster.kubectl("--server", proxy.server, "get", "configmaps")
    cluster.kubectl("--server", proxy.server, "create", "configmap", "one")
    assert fault.hits == 2
    assert [method for method, path in proxy.seen if "/configmaps" in path].count("POST") == 3


def test_an_answer_is_lost(cluster: Cluster, proxy: Proxy) -> None:
    """A write whose answer is hidden was carried out."""
    proxy.answer(500, "POST", "/configmaps", times=1, after=True)
    with pytest.raises(AssertionError, match="a test answers 500"):
        cluster.kubectl("--server", proxy.server, "create", "configmap", "one")
    assert "one" in cluster.kubectl("get", "configmaps", "-o", "name")


def test_a_request_hangs_until_it_is_cut(cluster: Cluster, proxy: Proxy, tmp_path: Path) -> None:
    """A request that hangs gets no answer; once it is cut, the next one does."""
    fault = proxy.hang("GET", "/configmaps")
    log = tmp_path / "watch"
    with watch(cluster, proxy.server, log):
        until(lambda: fault.hits, what="the request")
        assert not log.read_text()
        proxy.heal()
        proxy.cut()
        until(log.read_text, what="the answer to the request that kubectl repeats")


def test_a_watch_hears_that_its_version_is_too_old(cluster: Cluster, proxy: Proxy, tmp_path: Path) -> None:
    """The error comes as an event within a watch that began well, as the API server gives it."""
    proxy.answer(410, "GET", "[?&]watch=", in_watch=True)
    log = tmp_path / "watch"
    with watch(cluster, proxy.server, log) as watching:
        watching.wait(10)
    assert "a test answers 410" in log.read_text()
