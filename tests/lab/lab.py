"""The home in a box: a home, its router, a wire with a delay, and an internet with real and stand-in servers.

    home 192.168.77.2 ── router ── wire (delay) ── internet: coturn, check services, whoami, Strato, Gandi, Knot, BIND
    prefix::10           masquerade                every server at its own, really global, address

Everything lies in network namespaces; nothing of it can be reached from outside or reach out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from homing.standins.tls import Authority
from tests.lab import control
from tests.lab.layout import (
    BIND_ZONE,
    CHECK_SERVICES,
    GANDI,
    GANDI_DOMAIN,
    GANDI_KEY,
    GANDI_TOKEN,
    KNOT_ZONE,
    STRATO,
    STRATO_ACCOUNT,
    STRATO_HOST,
    STRATO_OTHER_HOST,
    STRATO_PASSWORD,
    STUN,
    WHOAMI,
)
from tests.lab.network import Network
from tests.lab.peers import Daemon, DnsServer, Pair, Tsig, start_bind, start_coturn, start_knot


class Lab(Network):
    """A home in a box while entered; every method is quick and blocks.

    ``delay`` is seconds one way between router and internet; ``accounts`` take the place of those of the layout.
    Addresses, names, keys and files are attributes; what the stand-ins saw is in ``strato()`` and ``gandi()``. Raises
    RuntimeError when a part does not start.
    """

    def __init__(
        self,
        *,
        delay: float = 0.010,
        stun: Sequence[str] = STUN,
        check_services: Sequence[str] = CHECK_SERVICES,
        whoami: Mapping[str, Pair] | None = None,
        patience: bool = True,
        accounts: Mapping[str, Any] | None = None,
    ) -> None:
        self._patience = patience
        self._accounts = accounts or {}
        self._stack = ExitStack()
        self._stun = tuple((name, int(port)) for name, _, port in (text.rpartition(":") for text in stun))
        self._check_services = tuple(check_services)
        self._whoami = dict(WHOAMI if whoami is None else whoami)
        served = [name for name, _ in self._stun]
        served += [*self._check_services, STRATO, GANDI, "ns.knot-lab.example", "ns.bind-lab.example"]
        fresh = [name for name in dict.fromkeys(served) if name not in self._whoami]
        pairs = {name: Pair(f"45.83.220.{i}", f"2a0e:dc0:6:9::{i:x}") for i, name in enumerate(fresh, start=10)}
        super().__init__({**pairs, **self._whoami}, delay)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="homing-lab-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.build(stack)
            self._make_files()
            self._start_servers(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_files(self) -> None:
        names = [f"{address} {name}" for name, pair in self.names.items() for address in (pair.ipv4, pair.ipv6)]
        hosts = self.folder / "hosts"
        hosts.write_text("\n".join(["127.0.0.1 localhost home", "::1 localhost", *names, ""]))
        resolver = self.names["ns.bind-lab.example"]
        conf = self.folder / "resolv.conf"
        conf.write_text(f"nameserver {resolver.ipv4}\noptions timeout:1 attempts:2\n")
        switch = self.folder / "nsswitch.conf"
        switch.write_text("passwd: files\ngroup: files\nhosts: files dns\n")
        for host in (self.home, self.internet):
            for file in (hosts, conf, switch):
                target = Path("/etc", file.name)
                if target.exists():
                    host.shell(f"mount --bind {file} {target}")

    def _start_servers(self, stack: ExitStack) -> None:
        knot, bind = self.names["ns.knot-lab.example"], self.names["ns.bind-lab.example"]
        self.tsig = Tsig.make(self.folder)
        self.knot = DnsServer("ns.knot-lab.example", knot.ipv4, knot.ipv6, KNOT_ZONE, self.tsig)
        self.bind = DnsServer("ns.bind-lab.example", bind.ipv4, bind.ipv6, BIND_ZONE, self.tsig)
        coturns: list[tuple[Daemon, int]] = []
        for port in sorted({port for _, port in self._stun}):
            pairs = [self.names[name] for name, other in self._stun if other == port]
            addresses = [address for pair in pairs for address in (pair.ipv4, pair.ipv6)]
            coturns.append((start_coturn(self.internet, self.folder, addresses, port), port))
            stack.callback(coturns[-1][0].close)
        dns = [start_knot(self.internet, self.folder, self.knot)]
        stack.callback(dns[-1].close)
        dns.append(start_bind(self.internet, self.folder, self.bind, self.names))
        stack.callback(dns[-1].close)
        self._start_standins(stack)
        for daemon, port in coturns:
            daemon.wait_listening({port}, {port})
        for server in (self.knot, self.bind):
            self._wait_zone(server)

    def _start_standins(self, stack: ExitStack) -> None:
        authority = Authority(self.folder)
        self.ca_file = authority.ca_file
        self.authority = authority
        pairs = [self.names[name] for name in self._check_services]
        addresses = [address for pair in pairs for address in (pair.ipv4, pair.ipv6)]
        certificate = authority.issue([STRATO, GANDI, *self._check_services, *addresses])
        accounts = self.folder / "accounts.json"
        accounts.write_text(
            json.dumps(
                {
                    "strato_hosts": {STRATO_HOST: STRATO_ACCOUNT, STRATO_OTHER_HOST: STRATO_ACCOUNT},
                    "strato_passwords": {STRATO_ACCOUNT: STRATO_PASSWORD},
                    "gandi_domains": [GANDI_DOMAIN],
                    "gandi_token": GANDI_TOKEN,
                    "gandi_key": GANDI_KEY,
                }
                | dict(self._accounts)
            )
        )
        self._control = self.folder / "control.sock"
        argv = [sys.executable, "-m", "homing.standins", "--control", str(self._control), "--accounts", str(accounts)]
        argv += ["--tls-cert", str(certificate.cert_file), "--tls-key", str(certificate.key_file)]
        argv += [] if self._patience else ["--endless-patience"]
        for option, port, names in (
            ("--checkip", 80, self._check_services),
            ("--checkip-tls", 443, self._check_services),
            ("--whoami", 53, tuple(self._whoami)),
            ("--strato-tls", 443, (STRATO,)),
            ("--gandi-tls", 443, (GANDI,)),
        ):
            for pair in (self.names[name] for name in names):
                argv += [option, f"{pair.ipv4}:{port}", option, f"[{pair.ipv6}]:{port}"]
        log = self.folder / "standins.log"
        with log.open("wb") as errors:
            process = self.internet.popen(argv, stdout=subprocess.PIPE, stderr=errors)
        stack.callback(_end, process)
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the stand-ins did not start: {log.read_text()[-2000:]}")

    def _wait_zone(self, server: DnsServer) -> None:
        argv = ["dig", "+short", "+time=1", "+tries=1", f"@{server.ipv4}", server.zone, "SOA"]
        deadline = time.monotonic() + 15
        while "hostmaster" not in self.internet.run(argv, check=False).stdout:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{server.host} does not serve {server.zone}; see its log in {self.folder}")
            time.sleep(0.02)

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that make a program in the lab (curl too) trust the stand-ins' certificates."""
        return {"SSL_CERT_FILE": str(self.ca_file), "CURL_CA_BUNDLE": str(self.ca_file)}

    def strato(self) -> dict[str, Any]:
        """What Strato's stand-in holds: ``published`` (host to addresses), ``blocked`` hosts, ``log`` of requests."""
        return dict(control.state(self._control)["strato"])

    def gandi(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """What Gandi's stand-in publishes: values by name below the domain and type, as in ``("www", "A")``."""
        records = control.state(self._control)["gandi"]["records"]
        return {(record["name"], record["type"]): tuple(record["values"]) for record in records}

    def gandi_log(self) -> list[dict[str, Any]]:
        """The requests that Gandi's stand-in got: ``at``, ``method``, ``path``, ``status``."""
        return list(control.state(self._control)["gandi"]["log"])

    def script(self, service: str, kind: str, *, key: str | None = None, times: int | None = 1, **fields: Any) -> None:
        """Have ``strato``, ``gandi`` or ``checkip`` go wrong: the kinds and fields of homing.standins.faults.Fault."""
        control.script(self._control, {"service": service, "kind": kind, "key": key, "times": times, **fields})

    def behave(self, service: str) -> None:
        """Have a service go right again."""
        control.script(self._control, {"service": service, "clear": True})

    def dig(self, server: DnsServer, name: str, rtype: str) -> tuple[str, ...]:
        """What a DNS server of the lab answers, sorted; asked from the internet's side."""
        argv = ["dig", "+short", "+time=2", "+tries=1", f"@{server.ipv4}", name, rtype]
        return tuple(sorted(self.internet.run(argv).stdout.split()))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
