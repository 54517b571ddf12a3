"""The operator and its agents as real processes against the real API server, the stand-in internet around them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from homing.standins.internet import StandInInternet
from tests.cluster.api import ApiRefused
from tests.cluster.fixtures import Cluster
from tests.waiting import patience, until

PASSWORD, TOKEN = "open-sesame-4711", "token-of-the-house-0815"

LEASE = 3.0
"""Seconds of the operators' Lease in tests."""

DOMAINS, STRATO_DOMAINS = "homing.dev/v1alpha1/domains", "dyndns.contrib.strato.com/v1alpha1/domains"
PROVIDERS, CLUSTER_PROVIDERS = "homing.dev/v1alpha1/providers", "homing.dev/v1alpha1/clusterproviders"
SITES = "homing.dev/v1alpha1/sites"

Object = dict[str, Any]


class Kube:
    """What a test says to the API server, and reads there."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.namespace = cluster.namespace

    def path(self, resource: str, name: str = "", sub: str = "") -> str:
        """The path of an object in the namespace, or of the whole cluster for Sites and ClusterProviders."""
        group, _, plural = resource.rpartition("/")
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        where = "" if plural in ("sites", "clusterproviders", "zones") else f"/namespaces/{self.namespace}"
        return "/".join(part for part in (f"{root}{where}/{plural}", name, sub) if part)

    def get(self, resource: str, name: str) -> Object | None:
        """An object, or None."""
        try:
            return self.cluster.plane.admin.request("GET", self.path(resource, name))
        except ApiRefused as refused:
            if refused.status == 404:
                return None
            raise

    def put(self, resource: str, kind: str, name: str, **fields: Any) -> Object:
        """Create an object, or change it."""
        group = resource.rpartition("/")[0]
        body = {"apiVersion": group, "kind": kind, "metadata": {"name": name}, **fields}
        try:
            return self.cluster.plane.admin.request("POST", self.path(resource), body)
        except ApiRefused as refused:
            if refused.status != 409:
                raise
        return self.patch(resource, name, fields)

    def patch(self, resource: str, name: str, body: Object, sub: str = "") -> Object:
        """Merge into an object."""
        return self.cluster.plane.admin.request(
            "PATCH", self.path(resource, name, sub), body, "application/merge-patch+json"
        )

    def delete(self, resource: str, name: str) -> None:
        """Delete an object; one that is not there is fine."""
        with contextlib.suppress(ApiRefused):
            self.cluster.plane.admin.request("DELETE", self.path(resource, name))

    def secret(self, name: str, **data: str) -> None:
        """Create or change a Secret."""
        self.put("v1/secrets", "Secret", name, stringData=data)

    def gandi(self, world: StandInInternet, name: str = "gandi", **more: Any) -> None:
        """A Provider at the stand-in Gandi, with its Secret."""
        self.secret("gandi", **{"api-key": TOKEN})
        spec = {"gandi": {"server": f"{world.gandi_url}/v5/livedns"}, "secretRef": {"name": "gandi"}, **more}
        self.put(PROVIDERS, "Provider", name, spec=spec)

    def domain(self, name: str, fqdn: str, addresses: Object, provider: str = "gandi", **more: Any) -> Object:
        """A Domain of homing.dev that may publish the addresses of tests."""
        spec = {
            "fqdn": fqdn,
            "addresses": addresses,
            "providerRef": {"name": provider},
            "allowPrivate": True,
            **more,
        }
        return self.put(DOMAINS, "Domain", name, spec=spec)

    def strato_domain(self, name: str, fqdn: str, **more: Any) -> Object:
        """A Domain as the users of the Strato controller wrote it."""
        self.secret("strato-dyndns-password", password=PASSWORD)
        spec = {"fqdn": fqdn, "enabled": True, "interval": 5, "password": {"name": "strato-dyndns-password"}, **more}
        return self.put(STRATO_DOMAINS, "Domain", name, spec=spec)

    def site(self, world: StandInInternet, name: str = "default", **more: Any) -> None:
        """A Site that asks the stand-in internet."""
        detect = {
            "families": ["IPv4"],
            "methods": ["STUN"],
            "stunServers": [str(one.endpoint) for one in world.stun_observers],
            "acceptNetworks": ["203.0.113.0/24"],
            "quorum": 1,
            "probeIntervalSeconds": 1,
            "timeoutSeconds": 2,
        }
        self.put(SITES, "Site", name, spec={"detect": detect, **more})

    def status(self, resource: str, name: str) -> Object:
        """The status of an object; empty where there is none."""
        found = self.get(resource, name)
        return dict(found.get("status") or {}) if found is not None else {}

    def condition(self, resource: str, name: str, kind: str = "Ready") -> Object:
        """A condition; empty where there is none."""
        conditions = self.status(resource, name).get("conditions", [])
        return next((dict(item) for item in conditions if item["type"] == kind), {})

    def wait_for(
        self,
        resource: str,
        name: str,
        kind: str = "Ready",
        status: str = "True",
        reason: str = "",
        seconds: float = 30.0,
    ) -> Object:
        """Wait for a condition."""

        def met() -> Object | None:
            found = self.condition(resource, name, kind)
            return found if found.get("status") == status and reason in ("", found.get("reason")) else None

        told: Callable[[], str] = lambda: f"{name} {kind}={status} {reason}: {self.status(resource, name)}"  # noqa: E731
        try:
            return until(met, seconds) or {}
        except AssertionError:
            raise AssertionError(told()) from None

    def lease(self) -> tuple[str, float]:
        """Who holds the operators' Lease, and since when (Unix seconds)."""
        found = self.get("coordination.k8s.io/v1/leases", "homing-operator") or {}
        spec = found.get("spec", {})
        since = spec.get("acquireTime")
        return spec.get("holderIdentity") or "", datetime.fromisoformat(since).timestamp() if since else 0.0

    def events(self, name: str) -> list[tuple[str, str]]:
        """Type and reason of the events of an object of the namespace, oldest first."""
        found = self.cluster.plane.admin.request("GET", f"/api/v1/namespaces/{self.namespace}/events")["items"]
        mine = [item for item in found if item["involvedObject"]["name"] == name]
        return [(item["type"], item["reason"]) for item in sorted(mine, key=lambda item: item["firstTimestamp"] or "")]


class Process:
    """A ``homing`` process with a log; ended, whatever happens, when the test ends."""

    def __init__(self, folder: Path, kubeconfig: Path, *words: str, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{words[0]}-{len(list(folder.glob('*.log')))}.log"
        env = {key: value for key, value in os.environ.items() if not key.startswith(("HOMING_", "KUBE"))}
        flags = ["--kubeconfig", str(kubeconfig), "--listen", "127.0.0.1:0", "--log-format", "text"]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "homing", *words, *flags],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**env, "HOME": str(folder), **environment},
                cwd=folder,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            sys.stdout.write(f"--- {self.log.name}\n{self.text[-6000:]}")
            self.kill()
        elif self.process.poll() is None:
            self.stop()

    @property
    def text(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """End it as Kubernetes does; it ends in time, with status 0 and without a traceback."""
        self.send(signal.SIGTERM)
        try:
            assert self.process.wait(10 * patience()) == 0, self.text[-3000:]
        finally:
            self.kill()
        assert "Traceback" not in self.text
        assert "internal fault" not in self.text

    @property
    def port(self) -> int:
        """Where its probes and metrics are."""
        found = until(lambda: re.search(r"probes and metrics.*?:(\d+)", self.text), 15, "the probes")
        assert found is not None
        return int(found[1])

    def ask(self, path: str) -> tuple[int, str]:
        """A probe's status and text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, sample: str) -> float:
        """The value of a metric by name and labels as they are shown."""
        found = re.search(rf"^{re.escape(sample)} (\S+)$", self.ask("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0


def operator(
    kube: Kube,
    folder: Path,
    world: StandInInternet | None = None,
    *flags: str,
    kubeconfig: Path | None = None,
    **env: str,
) -> Process:
    """An operator for the test's namespace; it may lead within a second."""
    words = ["operator", "--namespace", kube.namespace, "--watch-namespace", kube.namespace]
    words += ["--lease-duration", str(LEASE)]
    if world is not None:
        words += ["--strato-server", world.strato_url]
    return Process(folder, kubeconfig or kube.cluster.kubeconfig(), *words, *flags, **env)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Asserts that what is done inside takes no longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took <= seconds * patience(), f"took {took:.1f} s"


def dumped(thing: object) -> str:
    """For messages of failed tests."""
    return json.dumps(thing, indent=1, default=str)
