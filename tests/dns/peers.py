"""Knot, NSD and BIND serving master files on loopback, and one way to ask any of them."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dns.flags
import dns.message
import pytest

from tests.ports import free_port

SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
START_LIMIT = 30.0
"""Seconds that a server has until it serves every zone."""

Files = Mapping[str, Path]
"""Master files by origin, in presentation form without the final dot."""


class Peer:
    """A server on loopback, asked over one UDP socket."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, query: bytes, *, limit: float = 5.0) -> bytes | None:
        """The response to a query; asked again each second, None when there is none within ``limit`` seconds."""
        end = time.monotonic() + limit
        while (left := end - time.monotonic()) > 0:
            try:
                self._socket.send(query)
                again = min(left, 1.0)
                while select.select([self._socket], [], [], again)[0]:
                    response = self._socket.recv(65535)
                    if response[:2] == query[:2]:
                        return response
            except ConnectionError:  # not listening yet
                time.sleep(0.05)
        return None


@contextmanager
def peers(folder: Path, files: Files, *, cookies: str | None = None) -> Iterator[list[Peer]]:
    """Knot, NSD and BIND, each serving all the files. Skips the test where one is not installed.

    ``cookies`` is the secret that all make their cookies by, in hexadecimal digits.
    """
    with ExitStack() as stack:
        found: list[Peer] = []
        for name, start in (("knotd", _knot), ("nsd", _nsd), ("named", _bind)):
            program = shutil.which(name, path=SYSTEM_PATH)
            if program is None:
                pytest.skip(f"{name} is not installed")
            home = folder / name
            home.mkdir()
            port = free_port()
            log = stack.enter_context((home / "log").open("wb"))
            process = subprocess.Popen([program, *start(home, port, files, cookies)], stdout=log, stderr=log, cwd=home)
            stack.callback(end, process)
            peer = Peer(name, port)
            stack.callback(peer.close)
            found.append(peer)
        for peer in found:
            _await(peer, files, folder / peer.name / "log")
        yield found


def _knot(home: Path, port: int, files: Files, cookies: str | None) -> list[str]:
    zones = "".join(f'  - domain: "{origin}."\n    file: "{path}"\n' for origin, path in files.items())
    module = "" if cookies is None else f"mod-cookies:\n  - id: shared\n    secret: 0x{cookies}\n"
    used = "" if cookies is None else "    global-module: mod-cookies/shared\n"
    (home / "knot.conf").write_text(
        f'server:\n  listen: 127.0.0.1@{port}\n  rundir: "{home}"\n  udp-workers: 1\n  tcp-workers: 1\n'
        f'  background-workers: 1\nlog:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: "{home}"\n'
        f'{module}template:\n  - id: default\n    storage: "{home}"\n    zonefile-sync: -1\n    journal-content: none\n'
        f"{used}zone:\n{zones}"
    )
    return ["-c", str(home / "knot.conf"), "-s", str(home / "knot.sock")]


def _nsd(home: Path, port: int, files: Files, cookies: str | None) -> list[str]:
    zones = "".join(f'zone:\n  name: "{origin}"\n  zonefile: "{path}"\n' for origin, path in files.items())
    if cookies is not None:
        (home / "cookies").write_text(f"{cookies}\n")
    (home / "nsd.conf").write_text(
        f'server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: ""\n  zonesdir: "{home}"\n'
        f'  database: ""\n  pidfile: "{home}/pid"\n  xfrdfile: "{home}/xfrd"\n  zonelistfile: "{home}/zones"\n'
        f'  xfrdir: "{home}"\n  cookie-secret-file: "{home}/cookies"\n  rrl-ratelimit: 0\n  verbosity: 1\n'
        f"  answer-cookie: {'no' if cookies is None else 'yes'}\n"
        f"remote-control:\n  control-enable: no\n{zones}"
    )
    return ["-d", "-c", str(home / "nsd.conf")]


def _bind(home: Path, port: int, files: Files, cookies: str | None) -> list[str]:
    zones = "".join(f'zone "{origin}" {{ type primary; file "{path}"; }};\n' for origin, path in files.items())
    shared = "" if cookies is None else f'  cookie-algorithm siphash24; cookie-secret "{cookies}";'
    (home / "named.conf").write_text(
        f'options {{ directory "{home}"; pid-file "{home}/pid"; session-keyfile "{home}/session.key";\n'
        f"  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; notify no;\n"
        "  dnssec-validation no; check-integrity no; check-names primary ignore; check-mx ignore; check-wildcard no;\n"
        "  check-sibling no; empty-zones-enable no; minimal-responses yes;\n"
        "  zero-no-soa-ttl no;\n"
        f"{shared} }};\n"
        f"controls {{ }};\n{zones}"
    )
    return ["-g", "-n", "1", "-c", str(home / "named.conf")]


def _await(peer: Peer, files: Files, log: Path) -> None:
    end = time.monotonic() + START_LIMIT
    for origin in files:
        query = dns.message.make_query(origin, "SOA", flags=0).to_wire()
        while True:
            response = peer.ask(query, limit=1.0)
            if response is not None and dns.message.from_wire(response).flags & dns.flags.AA:
                break
            assert time.monotonic() < end, f"{peer.name} does not serve {origin}: {log.read_text()[-2000:]}"
            time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a server to end, and make it after 10 s."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
