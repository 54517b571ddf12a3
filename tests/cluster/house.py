"""The house of ``make cluster``: what Homing asks and where it publishes, on loopback, the operator and the DNS server.

Composition only. Accounts, keys, the zone and Knot's port are those that the examples name, so that they can be
applied as they are.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import dns.exception
import dns.message
import dns.query
import yaml

from homing.standins.listen import has_ipv6_loopback
from tests.cluster.control_plane import ControlPlane
from tests.cluster.process import Process
from tests.cluster.programs import ProgramsMissing
from tests.lab.namespaces import search_path
from tests.lab.peers import DnsServer, Tsig, knot_files
from tests.ports import free_ports
from tests.waiting import until

WAN = ("203.0.113.10", "2001:db8::10")
"""IPv4 and IPv6, documentation addresses."""

NETWORKS = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
"""Networks that nobody has (RFC 5737, RFC 3849): the house takes them for the internet's."""

CONTROL = "control.sock"
"""The socket in the folder by which the stand-ins are told what to do."""

START_LIMIT = 20.0
"""Seconds each part may take until it answers."""

STRATO_COOLDOWN = 2
"""Seconds between two requests for a host at the stand-in; at Strato itself it is a minute."""


@dataclass
class Accounts:
    """What the examples need: hosts and passwords at Strato, domains and a token at Gandi, a primary with its key."""

    strato: dict[str, str] = field(default_factory=dict)
    gandi_domains: list[str] = field(default_factory=list)
    gandi_token: str = ""
    knot: DnsServer | None = None

    @classmethod
    def of(cls, examples: Path, folder: Path) -> Self:
        """Those of the manifests in a folder; files of keys go to the other folder."""
        objects = [item for path in sorted(examples.glob("*.yaml")) for item in yaml.safe_load_all(path.read_text())]
        secrets = {item["metadata"]["name"]: item["stringData"] for item in objects if item["kind"] == "Secret"}
        made = cls()
        for item in objects:
            spec: dict[str, Any] = item.get("spec", {})
            if item["apiVersion"].startswith("dyndns.contrib.strato.com/"):
                made.strato[spec["fqdn"]] = secrets[spec["password"]["name"]]["password"]
            elif item["kind"] == "Provider" and "gandi" in spec:
                made.gandi_domains += spec["allowedDomains"]
                made.gandi_token = secrets[spec["secretRef"]["name"]]["api-key"]
            elif item["kind"] == "Provider" and "rfc2136" in spec:
                update = spec["rfc2136"]
                secret = secrets[spec["secretRef"]["name"]]["key"]
                base64.b64decode(secret, validate=True)
                key = Tsig(update["tsigKeyName"], update["tsigAlgorithm"], secret, folder / "tsig.key")
                address, _, port = update["server"].rpartition(":")
                made.knot = DnsServer("knot", address, "", spec["allowedDomains"][0], key, int(port))
        return made

    def as_json(self) -> dict[str, Any]:
        """As the stand-ins read them."""
        return {
            "strato_hosts": {host: host for host in self.strato},
            "strato_passwords": self.strato,
            "gandi_domains": self.gandi_domains,
            "gandi_token": self.gandi_token,
        }


class House:
    """While entered, everything beside the control plane. Starts empty each time, as its stand-ins forget."""

    def __init__(self, plane: ControlPlane, kubeconfig: Path, examples: Path) -> None:
        self.folder = plane.folder
        self.accounts = Accounts.of(examples, self.folder)
        self._plane = plane
        self._hosts = ["127.0.0.1", "[::1]"] if has_ipv6_loopback() else ["127.0.0.1"]
        self.wan = WAN[: len(self._hosts)]
        """The first WAN addresses, of the families that loopback has here."""
        self._stun, self._check, self._strato, self._gandi, self.operator_port, self.dns_port = free_ports(6)
        self.parts = {
            "stand-ins": self._standins(),
            "operator": self._operator(kubeconfig),
            "dns": self._dns(kubeconfig),
        }
        """Its processes by their names."""
        if self.accounts.knot is not None:
            self.parts["knot"] = self._knot(self.accounts.knot)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for part in self.parts.values():
                stack.callback(part.stop)
            self.parts["stand-ins"].start()
            if self.accounts.knot is not None:
                self.parts["knot"].start()
                self._until("knot", self._knot_answers)
            self._until("stand-ins", lambda: "ready" in self.parts["stand-ins"].tail())
            self._plane.apply(yaml.safe_dump(self._site()))
            self.parts["operator"].start()
            self.parts["dns"].start()
            self._until("operator", self._operator_is_ready)
            self._until("dns", lambda: "(UDP and TCP)" in self.parts["dns"].tail())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def check(self) -> None:
        """Raises AssertionError with the end of the log when a part has ended."""
        for name, part in self.parts.items():
            assert part.is_running, f"{name} ended:\n{part.tail()}"

    def _until(self, name: str, answers: Any) -> None:
        part = self.parts[name]
        until(lambda: not part.is_running or answers(), START_LIMIT, f"{name}, see {self.folder / name}.log:")
        assert part.is_running, f"{name} ended:\n{part.tail()}"

    def _process(self, name: str, *command: str) -> Process:
        log = self.folder / f"{name}.log"
        log.unlink(missing_ok=True)
        return Process(log, ["env", "no_proxy=127.0.0.1", *command])

    def _standins(self) -> Process:
        (self.folder / "accounts.json").write_text(json.dumps(self.accounts.as_json()))
        flags = ["--accounts=accounts.json", f"--control={CONTROL}", "--endless-patience"]
        flags += [f"--wan={address}" for address in self.wan]
        for host in self._hosts:
            flags += [f"--stun={host}:{self._stun}", f"--checkip={host}:{self._check}"]
        flags += [f"--strato=127.0.0.1:{self._strato}", f"--gandi=127.0.0.1:{self._gandi}"]
        return self._process("stand-ins", sys.executable, "-m", "homing.standins", *flags)

    def _operator(self, kubeconfig: Path) -> Process:
        flags = [f"--kubeconfig={kubeconfig}", f"--listen=127.0.0.1:{self.operator_port}", "--log-format=text"]
        flags += [f"--strato-server=http://127.0.0.1:{self._strato}/nic/update", f"--strato-cooldown={STRATO_COOLDOWN}"]
        flags += [f"--gandi-server=http://127.0.0.1:{self._gandi}/v5/livedns"]
        return self._process("operator", sys.executable, "-m", "homing", "operator", *flags)

    def _dns(self, kubeconfig: Path) -> Process:
        flags = [f"--kubeconfig={kubeconfig}", "--bind=127.0.0.1", f"--port={self.dns_port}", "--workers=1"]
        shutil.rmtree(self.folder / "zones", ignore_errors=True)
        return self._process("dns", sys.executable, "-m", "homing", "dns", *flags, f"--state={self.folder / 'zones'}")

    def _knot(self, server: DnsServer) -> Process:
        program = shutil.which("knotd", path=search_path())
        if program is None:
            raise ProgramsMissing("there is no knotd: install the Debian package knot, or do without: ARGS=--bare")
        shutil.rmtree(self.folder / "knot", ignore_errors=True)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tcp.bind((server.ipv4, server.port))
                udp.bind((server.ipv4, server.port))
            except OSError as error:
                told = f"{server.ipv4}:{server.port}, where the examples have Knot: {error.strerror}"
                raise AssertionError(told) from None
        return self._process("knot", program, "-c", str(knot_files(self.folder, server)))

    def _site(self) -> dict[str, Any]:
        detect = {
            "families": ["IPv4", "IPv6"][: len(self._hosts)],
            "methods": ["STUN", "HTTP"],
            "stunServers": [f"{host}:{self._stun}" for host in self._hosts],
            "httpServices": [f"http://{host}:{self._check}/" for host in self._hosts],
            "acceptNetworks": list(NETWORKS),
            "quorum": 1,  # one address, so one operator
            "probeIntervalSeconds": 2,
            "intervalSeconds": 30,
        }
        return {
            "apiVersion": "homing.dev/v1alpha1",
            "kind": "Site",
            "metadata": {"name": "default"},
            "spec": {"detect": detect},
        }

    def _knot_answers(self) -> bool:
        server = self.accounts.knot
        assert server is not None
        try:
            query = dns.message.make_query(server.zone, "SOA")
            return bool(dns.query.udp(query, server.ipv4, port=server.port, timeout=0.5).answer)
        except (OSError, dns.exception.DNSException):
            return False

    def _operator_is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.operator_port}/readyz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False
