"""The servers side by side: how each is configured for one worker, started on one core, awaited and ended."""

from __future__ import annotations

import os
import select
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.dns.programs import CannotMeasure, compiled, coredns, find
from bench.dns.zone import ORIGIN
from bench.rest import processes

START_LIMIT = 60.0
"""Seconds that a server has until it answers."""

LOOK = 0.01
"""Seconds between two questions until then."""

Command = Callable[[Path, int, Path], list[str]]
"""The command line for a directory of its own, a port and the master file; configuration is written on the way."""

Environment = dict[str, str]

_ROOT = Path(__file__).parents[2]
"""Where ``python -m bench...`` finds this package."""


@dataclass(frozen=True)
class Server:
    """A server that can be started."""

    name: str
    command: Command
    environment: Mapping[str, str] = field(default_factory=Environment)


@dataclass(frozen=True)
class Running:
    """A server that answers on a port."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def processes(self) -> list[int]:
        """Its processes now."""
        return processes(self.process.pid)


def homing(workers: int = 1) -> Server:
    """Homing with static zones, on all addresses of the machine, as it is by default."""

    def command(home: Path, port: int, zone: Path) -> list[str]:
        program = [str(Path(sys.executable).with_name("homing")), "dns", "--state", str(home / "state")]
        return [*program, "--zone-file", str(zone), "--port", str(port), "--workers", str(workers)]

    return Server("Homing", command)


def _knot(home: Path, port: int, zone: Path) -> list[str]:
    (home / "knot.conf").write_text(
        f'server:\n  listen: 127.0.0.1@{port}\n  rundir: "{home}"\n  udp-workers: 1\n  tcp-workers: 1\n'
        f'  background-workers: 1\nlog:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: "{home}"\n'
        f'template:\n  - id: default\n    storage: "{home}"\n    zonefile-sync: -1\n    journal-content: none\n'
        f'    global-module: mod-cookies\nzone:\n  - domain: "{ORIGIN}."\n    file: "{zone}"\n'
    )
    return [find("knotd", "knot"), "-c", str(home / "knot.conf"), "-s", str(home / "knot.sock")]


def _nsd(home: Path, port: int, zone: Path) -> list[str]:
    (home / "nsd.conf").write_text(
        f'server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: ""\n  zonesdir: "{home}"\n'
        f'  database: ""\n  pidfile: "{home}/pid"\n  xfrdfile: "{home}/xfrd"\n  zonelistfile: "{home}/zones"\n'
        f'  xfrdir: "{home}"\n  answer-cookie: yes\n  cookie-secret: "000102030405060708090a0b0c0d0e0f"\n'
        f"  rrl-ratelimit: 0\n  minimal-responses: yes\n  verbosity: 0\n"
        f'remote-control:\n  control-enable: no\nzone:\n  name: "{ORIGIN}"\n  zonefile: "{zone}"\n'
    )
    return [find("nsd", "nsd"), "-d", "-c", str(home / "nsd.conf")]


def _bind(home: Path, port: int, zone: Path) -> list[str]:
    (home / "named.conf").write_text(
        f'options {{ directory "{home}"; pid-file "{home}/pid"; session-keyfile "{home}/session.key";\n'
        f"  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; notify no;\n"
        f"  dnssec-validation no; empty-zones-enable no; minimal-responses yes; querylog no; }};\n"
        f'controls {{ }};\nzone "{ORIGIN}" {{ type primary; file "{zone}"; }};\n'
    )
    return [find("named", "bind9"), "-g", "-n", "1", "-c", str(home / "named.conf")]


def _coredns(home: Path, port: int, zone: Path) -> list[str]:
    corefile = home / "Corefile"
    corefile.write_text(f"{ORIGIN}:{port} {{\n  bind 127.0.0.1\n  file {zone} {{\n    reload 0\n  }}\n}}\n")
    return [coredns(), "-conf", str(corefile)]


def _echo(home: Path, port: int, zone: Path) -> list[str]:
    return [compiled("echo", home), str(port)]


ECHO = "C echo"

BUILT_IN: dict[str, Server] = {
    "homing": homing(),
    "knot": Server("Knot", _knot),
    "nsd": Server("NSD", _nsd),
    "bind": Server("BIND", _bind),
    "coredns": Server("CoreDNS", _coredns, {"GOMAXPROCS": "1"}),
    "echo": Server(ECHO, _echo),
}


def other(text: str) -> Server:
    """A server by ``NAME=COMMAND``, where ``{port}`` and ``{zone}`` stand for the port and the master file."""
    name, _, command = text.partition("=")
    return Server(name, lambda _, port, zone: shlex.split(command.format(port=port, zone=zone)))


@contextmanager
def running(
    server: Server, folder: Path, zone: Path, core: int | None, *, conversing: bool = False
) -> Iterator[Running]:
    """Start a server in a folder of its own, all its threads on one core (None: anywhere), and end it.

    One that is conversing has pipes for its standard input and output. Raises CannotMeasure.
    """
    home = folder / server.name.replace(" ", "-")
    home.mkdir()
    port = free_port()
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    command = [*pinned, *server.command(home, port, zone)]
    with ExitStack() as stack:
        log = stack.enter_context((home / "log").open("wb"))
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if conversing else subprocess.DEVNULL,
            stdout=subprocess.PIPE if conversing else log,
            stderr=log,
            cwd=home,
            env={**_environment(), **server.environment},
            start_new_session=True,
        )
        stack.callback(_end, process)
        found = Running(server.name, port, process)
        _await_answer(found, process, home / "log")
        for pid in found.processes if core is not None else ():
            for task in Path(f"/proc/{pid}/task").iterdir():  # a server may have chosen cores for its threads itself
                os.sched_setaffinity(int(task.name), {core or 0})
        yield found


def _environment() -> Environment:
    """That of this process, but for what would have coverage watch a server, which slows it down."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    return {**kept, "PYTHONPATH": str(_ROOT)}


def _await_answer(server: Running, process: subprocess.Popen[bytes], log: Path) -> None:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in ("a0", *ORIGIN.split(".")))
    query = b"\x12\x34\0\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
    end = time.monotonic() + START_LIMIT
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", server.port))
        while process.poll() is None and time.monotonic() < end:
            try:
                sock.send(query)
                if select.select([sock], [], [], 0.2)[0]:
                    response = sock.recv(4096)
                    if response[:2] == query[:2] and response[3] & 15 == 0:
                        return
            except ConnectionError:  # not listening yet
                pass
            time.sleep(LOOK)
    raise CannotMeasure(f"{server.name} does not answer: {log.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and what it started, each by its own process id."""
    family = processes(process.pid) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in family[1:]:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def free_port() -> int:
    """A port that is free for UDP and TCP on loopback now."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
