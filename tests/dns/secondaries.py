"""Knot, NSD and BIND on loopback as secondaries of the server, with one TSIG key; they can be stopped and started."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import pytest

KEY_NAME = "transfer-key"
SECRET = "c2VjcmV0IG9mIHRoZSB0ZXN0cyB3aXRoIDMyIGJ5dGVzISE="
ALGORITHM = "hmac-sha256"
ZONE = "example.net"


class SecondaryServer:
    """One secondary program, its directory and its log."""

    def __init__(self, program: str, directory: Path, primary: tuple[str, int], port: int) -> None:
        self.port = port
        self.log = directory / "log"
        self._directory = directory
        self._command = _COMMANDS[program](directory, primary, port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it keeps what it stored before."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output, cwd=self._directory)

    def stop(self) -> None:
        """End it by its own process id, and wait until it has stored everything."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    async def serial(self) -> int | None:
        """The serial it serves; None while it serves none."""
        try:
            answer = await dns.asyncquery.udp(
                dns.message.make_query(ZONE, "SOA"), "127.0.0.1", port=self.port, timeout=0.5
            )
        except (OSError, dns.exception.DNSException):
            return None
        if answer.rcode() != dns.rcode.NOERROR or not answer.answer:
            return None
        return int(answer.answer[0][0].serial)

    async def addresses(self, fqdn: str) -> frozenset[str]:
        """The A records it serves."""
        answer = await dns.asyncquery.udp(dns.message.make_query(fqdn, "A"), "127.0.0.1", port=self.port, timeout=2)
        return frozenset(record.to_text() for rrset in answer.answer for record in rrset)

    async def reaches(self, serial: int, seconds: float = 20.0) -> None:
        """Wait until it serves a serial."""
        found: int | None = None
        try:
            async with asyncio.timeout(seconds):
                while found != serial:
                    if self._process is not None and self._process.poll() is not None:
                        raise TimeoutError
                    await asyncio.sleep(0.02)
                    found = await self.serial()
        except TimeoutError:
            pytest.fail(f"serves {found}, not {serial}:\n{self.log.read_text(errors='replace')[-3000:]}")


def _knot(directory: Path, primary: tuple[str, int], port: int) -> list[str]:
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
    any: info
database:
    storage: "{directory}/db"
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 16M
    catalog-db-max-size: 16M
key:
  - id: {KEY_NAME}
    algorithm: {ALGORITHM}
    secret: {SECRET}
remote:
  - id: primary
    address: {primary[0]}@{primary[1]}
    key: {KEY_NAME}
acl:
  - id: notify
    key: {KEY_NAME}
    action: notify
zone:
  - domain: {ZONE}
    storage: "{directory}"
    file: zone
    master: primary
    acl: notify
    retry-min-interval: 1
    refresh-min-interval: 2
"""
    )
    return [_program("knotd", "knot"), "-c", str(directory / "knot.conf")]


def _nsd(directory: Path, primary: tuple[str, int], port: int) -> list[str]:
    (directory / "nsd.conf").write_text(
        f"""
server:
    ip-address: 127.0.0.1@{port}
    username: ""
    chroot: ""
    database: "{directory}/nsd.db"
    zonesdir: "{directory}"
    pidfile: "{directory}/nsd.pid"
    zonelistfile: "{directory}/zone.list"
    xfrdfile: "{directory}/xfrd.state"
    xfrdir: "{directory}"
    server-count: 1
    verbosity: 2
    xfrd-reload-timeout: 0
remote-control:
    control-enable: no
key:
    name: "{KEY_NAME}"
    algorithm: {ALGORITHM}
    secret: "{SECRET}"
zone:
    name: "{ZONE}"
    zonefile: "{directory}/zone"
    request-xfr: {primary[0]}@{primary[1]} {KEY_NAME}
    allow-notify: 127.0.0.1 {KEY_NAME}
    min-retry-time: 1
    max-retry-time: 2
    min-refresh-time: 1
"""
    )
    return [_program("nsd", "nsd"), "-d", "-c", str(directory / "nsd.conf")]


def _bind(directory: Path, primary: tuple[str, int], port: int) -> list[str]:
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
    serial-query-rate 1000;
    min-retry-time 1;
    max-retry-time 2;
}};
controls {{ }};
key {KEY_NAME} {{ algorithm {ALGORITHM}; secret "{SECRET}"; }};
zone "{ZONE}" {{
    type secondary;
    file "{directory}/zone";
    primaries port {primary[1]} {{ {primary[0]} key {KEY_NAME}; }};
    allow-notify {{ key {KEY_NAME}; }};
}};
"""
    )
    return [_program("named", "bind9"), "-g", "-n", "1", "-c", str(directory / "named.conf")]


_COMMANDS = {"knot": _knot, "nsd": _nsd, "bind": _bind}


def _program(name: str, package: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        pytest.skip(f"needs {name}: apt install {package}")
    return path
