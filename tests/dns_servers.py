"""Knot, NSD and BIND on loopback: as primaries that take updates, as secondaries of a zone or of a catalog."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import dns.asyncquery
import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.ports import free_port as free_port  # noqa: PLC0414 -- tests.docs takes it from here
from tests.waiting import patience

ZONE = "example.net"
KEY_NAME = "homing"
KEY = "c2VjcmV0IG9mIHRoZSB0ZXN0cyB3aXRoIDMyIGJ5dGVzISE="
OTHER_KEY = "YW5vdGhlciBzZWNyZXQgd2hpY2ggaXMgbm90IHRoZSByaWdodCE="
ALGORITHM = "hmac-sha256"
START_LIMIT = 20.0
"""Seconds a server may take until it answers."""

ZONE_FILE = f"""$ORIGIN {ZONE}.
$TTL 300
@ SOA ns1 hostmaster 1 3600 900 86400 30
@ NS ns1
ns1 A 192.0.2.53
alias CNAME ns1
"""

_PACKAGES = {"knotd": "knot", "nsd": "nsd", "named": "bind9"}


class Server:
    """One program with its directory, port and log. It can be stopped and started, and keeps what it stored."""

    def __init__(self, directory: Path, port: int, *command: str) -> None:
        self.port = port
        self.program = command[0]
        self.log = directory / "log"
        self._directory = directory
        self._command = [_program(command[0]), *command[1:]]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def server(self) -> str:
        """Address and port, as the settings take them."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it."""
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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def fail(self, problem: str) -> None:
        """Fail the test with the end of the log."""
        pytest.fail(f"{self.program} {problem}:\n{self.log.read_text(errors='replace')[-3000:]}")

    def wait_until_answering(self) -> None:
        """Wait until it serves the zone."""
        limit = time.monotonic() + START_LIMIT
        query = dns.message.make_query(ZONE, "SOA")
        while time.monotonic() < limit and self._is_running:
            try:
                answer = dns.query.tcp(query, "127.0.0.1", port=self.port, timeout=1)
            except (OSError, EOFError, dns.exception.DNSException):
                time.sleep(0.05)
                continue
            if answer.rcode() == dns.rcode.NOERROR and answer.answer:
                return
            time.sleep(0.05)
        self.fail("does not answer")

    async def answers(self) -> None:
        """Wait until it answers at all, whatever it says."""
        query = dns.message.make_query(ZONE, "SOA")
        async with asyncio.timeout(START_LIMIT * patience()):
            while True:
                try:
                    await dns.asyncquery.udp(query, "127.0.0.1", port=self.port, timeout=0.5)
                except (OSError, dns.exception.DNSException):
                    await asyncio.sleep(0.02)
                else:
                    return

    async def serial(self, zone: str = ZONE) -> int | None:
        """The serial it serves; None while it serves none."""
        query = dns.message.make_query(zone, "SOA")
        try:
            answer = await dns.asyncquery.udp(query, "127.0.0.1", port=self.port, timeout=0.5)
        except (OSError, dns.exception.DNSException):
            return None
        if answer.rcode() != dns.rcode.NOERROR or not answer.answer:
            return None
        return int(answer.answer[0][0].serial)

    async def addresses(self, fqdn: str) -> frozenset[str]:
        """The addresses it answers, asked without any key."""
        found: set[str] = set()
        for rdtype in ("A", "AAAA"):
            query = dns.message.make_query(fqdn, rdtype)
            answer = await dns.asyncquery.tcp(query, "127.0.0.1", port=self.port, timeout=5)
            found.update(record.to_text() for rrset in answer.answer for record in rrset)
        return frozenset(found)

    async def reaches(self, serial: int | None, zone: str = ZONE, seconds: float = 20.0) -> None:
        """Wait until it serves a serial, or the zone no longer."""
        found: int | None = -1
        try:
            async with asyncio.timeout(seconds * patience()):
                while found != serial:
                    if not self._is_running:
                        raise TimeoutError
                    await asyncio.sleep(0.02)
                    found = await self.serial(zone)
        except TimeoutError:
            self.fail(f"serves {zone} {found}, not {serial}")

    @property
    def _is_running(self) -> bool:
        return self._process is None or self._process.poll() is None


@contextmanager
def updatable(program: str, directory: Path) -> Iterator[Server]:
    """Knot or BIND with a zone that its key may update; it also knows ``readonly``, a key that may not."""
    (directory / "zone").write_text(ZONE_FILE)
    if program == "knot":
        server = _knot(
            directory,
            f"""
key:
  - id: readonly
    algorithm: {ALGORITHM}
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
""",
        )
    else:
        server = _named(
            directory,
            "",
            f"""
key readonly {{ algorithm {ALGORITHM}; secret "{KEY}"; }};
zone "{ZONE}" {{ type primary; file "{directory}/zone"; allow-update {{ key {KEY_NAME}; }}; }};
""",
        )
    with server:
        server.wait_until_answering()
        yield server


def secondary(program: str, directory: Path, primary: int, *, catalog: str = "") -> Server:
    """Knot, NSD or BIND as a secondary of the zone or, with a catalog's name, of all the zones listed there.

    ``primary`` is the port of the other server; all is signed with the key.
    """
    return {"knot": _knot_secondary, "nsd": _nsd_secondary, "bind": _named_secondary}[program](
        directory, primary, catalog
    )


def _knot_secondary(directory: Path, primary: int, catalog: str) -> Server:
    common = f"""
    storage: "{directory}"
    master: primary
    acl: notify
    retry-min-interval: 1
    refresh-min-interval: 2
"""
    zones = f"zone:\n  - domain: {ZONE}\n    file: zone\n{common}"
    if catalog:
        zones = f"""template:
  - id: member
{common}
zone:
  - domain: {catalog}
    catalog-role: interpret
    catalog-template: member
{common}"""
    return _knot(
        directory,
        f"""
remote:
  - id: primary
    address: 127.0.0.1@{primary}
    key: {KEY_NAME}
acl:
  - id: notify
    key: {KEY_NAME}
    action: notify
{zones}
""",
    )


def _knot(directory: Path, more: str) -> Server:
    port = free_port()
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
    secret: {KEY}
{more}"""
    )
    return Server(directory, port, "knotd", "-c", str(directory / "knot.conf"))


def _nsd_secondary(directory: Path, primary: int, catalog: str) -> Server:
    if catalog:
        raise ValueError("NSD follows catalogs from version 4.9 on")
    port = free_port()
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
    secret: "{KEY}"
zone:
    name: "{ZONE}"
    zonefile: "{directory}/zone"
    request-xfr: 127.0.0.1@{primary} {KEY_NAME}
    allow-notify: 127.0.0.1 {KEY_NAME}
    min-retry-time: 1
    max-retry-time: 2
    min-refresh-time: 1
"""
    )
    return Server(directory, port, "nsd", "-d", "-c", str(directory / "nsd.conf"))


def _named_secondary(directory: Path, primary: int, catalog: str) -> Server:
    from_there = f"primaries port {primary} {{ 127.0.0.1 key {KEY_NAME}; }}"
    options = "serial-query-rate 1000; min-retry-time 1; max-retry-time 2;"
    if catalog:
        options += f"""
    allow-notify {{ key {KEY_NAME}; }};
    catalog-zones {{
        zone "{catalog}" default-{from_there} zone-directory "{directory}" min-update-interval 1;
    }};"""
    return _named(
        directory,
        options,
        f"""
zone "{catalog or ZONE}" {{
    type secondary;
    file "{directory}/zone";
    {from_there};
    allow-notify {{ key {KEY_NAME}; }};
}};
""",
    )


def _named(directory: Path, options: str, more: str) -> Server:
    port = free_port()
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
    {options}
}};
controls {{ }};
key {KEY_NAME} {{ algorithm {ALGORITHM}; secret "{KEY}"; }};
{more}"""
    )
    return Server(directory, port, "named", "-g", "-n", "1", "-c", str(directory / "named.conf"))


def _program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        pytest.skip(f"needs {name}: apt install {_PACKAGES[name]}")
    return path
