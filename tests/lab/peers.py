"""The real servers of the lab's internet: coturn, Knot and BIND, with their configuration."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.namespaces import Host

START_TIMEOUT = 15.0
"""Seconds a server may take until it listens."""

STOP_TIMEOUT = 3.0
"""Seconds a server may take to end before it is killed."""


@dataclass(frozen=True)
class Pair:
    """The two addresses of a name in the lab's internet."""

    ipv4: str
    ipv6: str


class Daemon:
    """A server inside a host; its output goes to a file."""

    def __init__(self, host: Host, argv: Sequence[str], log: Path) -> None:
        self.name = Path(argv[0]).name
        self.log = log
        self._host = host
        with log.open("ab") as output:
            self._process = host.popen(argv, stdout=output, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        """Of the server itself."""
        return self._process.pid

    def wait_listening(self, udp: Collection[int] = (), tcp: Collection[int] = ()) -> None:
        """Wait until these ports are listened on in its host. Raises RuntimeError with its output when it ends."""
        deadline = time.monotonic() + START_TIMEOUT
        while not (self._ports("udp", "07") >= set(udp) and self._ports("tcp", "0A") >= set(tcp)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not listen: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)

    def _ports(self, protocol: str, state: str) -> set[int]:
        found: set[int] = set()
        for table in (protocol, f"{protocol}6"):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{self._host.pid}/net/{table}").read_text().splitlines()[1:]:
                    fields = line.split()
                    if fields[3] == state:
                        found.add(int(fields[1].rpartition(":")[2], 16))
        return found

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Tsig:
    """A TSIG key; ``file`` is for ``nsupdate -k`` and ``dig -k``."""

    name: str
    algorithm: str
    secret: str
    file: Path

    @classmethod
    def make(cls, folder: Path, name: str = "homing-lab") -> Tsig:
        """A fresh key with its file."""
        secret = base64.b64encode(os.urandom(32)).decode()
        file = folder / f"{name}.key"
        file.write_text(f'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n')
        return cls(name, "hmac-sha256", secret, file)


@dataclass(frozen=True)
class DnsServer:
    """A primary that takes signed updates of ``zone`` at its addresses; ``ipv6`` may be empty."""

    host: str
    ipv4: str
    ipv6: str
    zone: str
    key: Tsig
    port: int = 53


def start_coturn(host: Host, folder: Path, addresses: Sequence[str], port: int) -> Daemon:
    """A coturn that answers STUN at these addresses, UDP and TCP."""
    listen = [part for address in addresses for part in ("-L", address)]
    quiet = ["-n", "--stun-only", "--no-cli", "--no-tls", "--no-dtls", "--no-rfc5780", "--relay-threads", "1"]
    logs = ["--log-file", "stdout", "--simple-log", "--pidfile", str(folder / f"turnserver-{port}.pid")]
    argv = ["turnserver", *quiet, *logs, "-p", str(port), *listen]
    return Daemon(host, argv, folder / f"turnserver-{port}.log")


def start_knot(host: Host, folder: Path, server: DnsServer) -> Daemon:
    """A Knot that is primary of ``server.zone``."""
    return Daemon(host, ["knotd", "-c", str(knot_files(folder, server))], folder / "knot.log")


def knot_files(folder: Path, server: DnsServer) -> Path:
    """The files of a Knot that is primary of ``server.zone``, in a new folder ``knot``; gives its configuration."""
    home = folder / "knot"
    home.mkdir()
    listen = [f"{address}@{server.port}" for address in (server.ipv4, server.ipv6) if address]
    (home / "zone").write_text(_zone(server))
    (home / "knot.conf").write_text(
        f"""\
server:
  rundir: {home}
  listen: [{", ".join(listen)}]
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
- target: stdout
  any: info
database:
  storage: {home}
key:
- id: {server.key.name}
  algorithm: {server.key.algorithm}
  secret: {server.key.secret}
acl:
- id: signed
  key: {server.key.name}
  action: [update, transfer]
zone:
- domain: {server.zone}
  storage: {home}
  file: zone
  acl: signed
"""
    )
    return home / "knot.conf"


BIND_HOME = Path("/var/cache/bind")
"""Where BIND keeps its files as it sees them: some systems let it write nowhere else, hence a mount."""


def start_bind(host: Host, folder: Path, server: DnsServer, names: Mapping[str, Pair]) -> Daemon:
    """A BIND that is primary of ``server.zone`` and, as the lab's resolver, of the root with all the lab's names."""
    home = folder / "bind"
    home.mkdir()
    (home / "zone").write_text(_zone(server))
    root = [f"{name}. A {pair.ipv4}\n{name}. AAAA {pair.ipv6}\n" for name, pair in names.items()]
    (home / "root").write_text(
        "$TTL 30\n@ SOA ns.lab.example. root.lab.example. 1 3600 900 86400 5\n@ NS ns.lab.example.\n"
        f"ns.lab.example. A {server.ipv4}\n" + "".join(root)
    )
    (home / "named.conf").write_text(
        f"""\
options {{
  directory "{BIND_HOME}";
  pid-file "{BIND_HOME}/named.pid";
  session-keyfile "{BIND_HOME}/session.key";
  listen-on {{ {server.ipv4}; }};
  listen-on-v6 {{ {server.ipv6}; }};
  recursion no;
  dnssec-validation no;
  notify no;
}};
controls {{ }};
key "{server.key.name}" {{ algorithm {server.key.algorithm}; secret "{server.key.secret}"; }};
zone "." {{ type primary; file "root"; }};
zone "{server.zone}" {{ type primary; file "zone"; allow-update {{ key "{server.key.name}"; }};
  allow-transfer {{ key "{server.key.name}"; }}; }};
"""
    )
    host.shell(f"mount --bind {home} {BIND_HOME}")
    return Daemon(host, ["named", "-g", "-n", "1", "-c", str(BIND_HOME / "named.conf")], folder / "named.log")


def _zone(server: DnsServer) -> str:
    return f"$ORIGIN {server.zone}.\n$TTL 60\n@ SOA ns hostmaster 1 3600 900 86400 5\n@ NS ns\nns A {server.ipv4}\n" + (
        f"ns AAAA {server.ipv6}\n" if server.ipv6 else ""
    )
