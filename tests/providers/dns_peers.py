"""Real DNS servers on loopback as targets of RFC 2136 updates: Knot and BIND, each with one zone and one TSIG key."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

ZONE = "example.net"
KEY_NAME = "homing"
KEY = "c2VjcmV0IG9mIHRoZSB0ZXN0cyB3aXRoIDMyIGJ5dGVzISE="
OTHER_KEY = "YW5vdGhlciBzZWNyZXQgd2hpY2ggaXMgbm90IHRoZSByaWdodCE="
START_LIMIT = 20.0
"""Seconds a server may take until it answers."""

ZONE_FILE = f"""$ORIGIN {ZONE}.
$TTL 300
@ SOA ns1 hostmaster 1 3600 900 86400 30
@ NS ns1
ns1 A 192.0.2.53
alias CNAME ns1
"""


@dataclass(frozen=True)
class DnsPeer:
    """A running server. Its key may update ZONE; it also knows ``readonly``, a key that may not."""

    program: str
    port: int

    @property
    def server(self) -> str:
        """As the settings take it."""
        return f"127.0.0.1:{self.port}"


def knot(directory: Path) -> tuple[list[str], int]:
    """Knot's command line and port."""
    port = free_port()
    (directory / "zone").write_text(ZONE_FILE)
    (directory / "db").mkdir()
    (directory / "knot.conf").write_text(
        f"""
server:
    rundir: "{directory}"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: warning
database:
    storage: "{directory}/db"
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 16M
    catalog-db-max-size: 16M
key:
  - id: {KEY_NAME}
    algorithm: hmac-sha256
    secret: {KEY}
  - id: readonly
    algorithm: hmac-sha256
    secret: {KEY}
acl:
  - id: homing
    key: {KEY_NAME}
    action: [update, transfer]
zone:
  - domain: {ZONE}
    storage: "{directory}"
    file: zone
    zonefile-sync: -1
    journal-content: all
    acl: homing
"""
    )
    return [_program("knotd", "knot"), "-c", str(directory / "knot.conf")], port


def named(directory: Path) -> tuple[list[str], int]:
    """BIND's command line and port."""
    port = free_port()
    (directory / "zone").write_text(ZONE_FILE)
    (directory / "named.conf").write_text(
        f"""
options {{
    directory "{directory}";
    pid-file "{directory}/named.pid";
    session-keyfile "{directory}/session.key";
    lock-file none;
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    notify no;
    dnssec-validation no;
}};
controls {{ }};
key {KEY_NAME} {{ algorithm hmac-sha256; secret "{KEY}"; }};
key readonly {{ algorithm hmac-sha256; secret "{KEY}"; }};
zone "{ZONE}" {{ type primary; file "{directory}/zone"; allow-update {{ key {KEY_NAME}; }}; }};
"""
    )
    return [_program("named", "bind9"), "-g", "-n", "1", "-c", str(directory / "named.conf")], port


@contextmanager
def running(command: list[str], port: int, directory: Path) -> Iterator[DnsPeer]:
    """The server while entered; ended by its own process id."""
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory)
    try:
        _wait_until_answering(process, port, log)
        yield DnsPeer(Path(command[0]).name, port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that is free for TCP and UDP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _wait_until_answering(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    limit = time.monotonic() + START_LIMIT
    query = dns.message.make_query(ZONE, "SOA")
    while time.monotonic() < limit and process.poll() is None:
        try:
            answer = dns.query.tcp(query, "127.0.0.1", port=port, timeout=1)
        except (OSError, EOFError, dns.exception.DNSException):
            time.sleep(0.05)
            continue
        if answer.rcode() == dns.rcode.NOERROR and answer.answer:
            return
        time.sleep(0.05)
    pytest.fail(f"{process.args!r} does not answer:\n{log.read_text(errors='replace')[-2000:]}")


def _program(name: str, package: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        pytest.skip(f"needs {name}: apt install {package}")
    return path


async def ask(peer: DnsPeer, fqdn: str) -> frozenset[str]:
    """The addresses that the server answers, asked without any key."""
    found: set[str] = set()
    for rdtype in ("A", "AAAA"):
        query = dns.message.make_query(fqdn, rdtype)
        answer = await dns.asyncquery.tcp(query, "127.0.0.1", port=peer.port, timeout=5)
        found.update(record.to_text() for rrset in answer.answer for record in rrset)
    return frozenset(found)
