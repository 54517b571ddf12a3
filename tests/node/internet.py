"""What Homing asks and where it publishes, at the node's address: stand-ins of Strato, Gandi, STUN, and a real Knot."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import yaml

from homing.standins.tls import Authority
from tests.cluster.house import NETWORKS, Accounts
from tests.cluster.process import Process
from tests.image.builder import ROOT
from tests.lab import control
from tests.lab.namespaces import search_path
from tests.lab.peers import DnsServer, knot_files
from tests.node.cell import ADDRESS, Cell
from tests.waiting import until

WAN = "203.0.113.10"
"""The first WAN address."""

_STUN, _CHECK, _STRATO, _GANDI = 3478, 8081, 8443, 8444


class Internet:
    """While entered, they answer. The accounts, keys and zones are those that the examples name."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._folder = cell.folder / "internet"
        self._folder.mkdir()
        self._examples = self._folder / "examples"
        self._examples.mkdir()
        for path in (ROOT / "examples").glob("*.yaml"):
            # The Knot of `make cluster` is on loopback, where no pod gets.
            (self._examples / path.name).write_text(path.read_text().replace("127.0.0.1:", f"{ADDRESS}:"))
        self._accounts = Accounts.of(self._examples, self._folder)
        assert self._accounts.knot is not None
        self.knot: DnsServer = replace(self._accounts.knot, ipv4=ADDRESS)
        self._stack = ExitStack()
        self._authority = Authority(self._folder)
        self._certificate = self._authority.issue([ADDRESS])
        self.operator_flags = [
            f"--strato-server=https://{ADDRESS}:{_STRATO}/nic/update",
            "--strato-cooldown=2",
            f"--gandi-server=https://{ADDRESS}:{_GANDI}/v5/livedns",
        ]

    def __enter__(self) -> Self:
        (self._folder / "accounts.json").write_text(json.dumps(self._accounts.as_json()))
        flags = [f"--accounts={self._folder / 'accounts.json'}", f"--control={self._control}", "--endless-patience"]
        flags += [f"--tls-cert={self._certificate.cert_file}", f"--tls-key={self._certificate.key_file}"]
        for name, port in (("stun", _STUN), ("checkip", _CHECK), ("strato-tls", _STRATO), ("gandi-tls", _GANDI)):
            flags.append(f"--{name}={ADDRESS}:{port}")
        knotd = shutil.which("knotd", path=search_path())
        assert knotd is not None
        self._start("stand-ins", sys.executable, "-m", "homing.standins", f"--wan={WAN}", *flags)
        self._start("knot", knotd, "-c", str(knot_files(self._folder, self.knot)))
        until(self._control.exists, 20.0, "the stand-ins")
        until(lambda: self.dig(ADDRESS, self.knot.zone, "SOA", port=self.knot.port), 20.0, "Knot")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, name: str, *command: str) -> None:
        process: Process = self._cell.process(name, "env", f"PYTHONPATH={ROOT}", *command)
        self._stack.callback(process.kill)
        process.start()

    @property
    def _control(self) -> Path:
        return self._folder / "control"

    def move(self, address: str) -> None:
        """Another WAN address."""
        control.ask(self._control, "POST", "/control/wan", [address])

    def published(self) -> dict[str, list[str]]:
        """Who has which addresses: by name, at Strato, at Gandi and in Knot."""
        state = control.state(self._control)
        found = {host: list(addresses) for host, addresses in state["strato"]["published"].items()}
        for record in state["gandi"]["records"]:
            found[f"{record['name']}.{record['domain']}"] = record["values"]
        name = f"home.{self.knot.zone}"
        return {**found, name: self.dig(ADDRESS, name, port=self.knot.port)}

    def dig(self, server: str, *words: str, port: int = 53) -> list[str]:
        """The lines of a real dig's short answer; none when there is none."""
        done = self._cell.run(
            "dig", f"@{server}", f"-p{port}", "+short", "+tries=1", "+time=2", *words, check=False, timeout=20.0
        )
        return [] if done.returncode or ";;" in done.stdout else done.stdout.split()

    def site(self) -> dict[str, Any]:
        """The Site default, which asks here alone."""
        detect = {
            "families": ["IPv4"],
            "methods": ["STUN", "HTTP"],
            "stunServers": [f"{ADDRESS}:{_STUN}"],
            "httpServices": [f"http://{ADDRESS}:{_CHECK}/"],
            "acceptNetworks": list(NETWORKS),
            "quorum": 1,  # one address, so one operator
            "probeIntervalSeconds": 2,
            "intervalSeconds": 30,
        }
        metadata = {"name": "default"}
        return {"apiVersion": "homing.dev/v1alpha1", "kind": "Site", "metadata": metadata, "spec": {"detect": detect}}

    def authority_for(self, namespace: str) -> dict[str, Any]:
        """A ConfigMap with the certificate that its servers are trusted by: URLs are https, as passwords are sent."""
        metadata = {"name": "authority", "namespace": namespace}
        data = {"ca.pem": self._authority.ca_file.read_text()}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    def examples(self) -> Iterator[dict[str, Any]]:
        """The manifests of ``examples/``, in the namespace default."""
        for path in sorted(self._examples.glob("*.yaml")):
            yield from yaml.safe_load_all(path.read_text())
