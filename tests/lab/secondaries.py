"""Real secondaries in the lab's internet, Knot and NSD: they follow a zone of the home, their hidden primary."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.namespaces import search_path
from tests.lab.peers import Daemon

KNOT, NSD = "2a0e:dc0:6:9::53", "2a0e:dc0:6:9::54"
"""Their addresses: over IPv6 they reach the home without a port being forwarded."""


@contextlib.contextmanager
def secondaries(lab: Lab, zone: str, port: int) -> Iterator[tuple[str, ...]]:
    """Their addresses, while they follow ``zone`` of the home's server at this port with the lab's key."""
    files = {"knotd": _knot, "nsd": _nsd}
    missing = [program for program in files if shutil.which(program, path=search_path()) is None]
    if missing:
        raise RuntimeError(f"{missing[0]} is not installed: run tests/install-peers")
    with contextlib.ExitStack() as stack:
        for (program, write), address in zip(files.items(), (KNOT, NSD), strict=True):
            home = lab.folder / f"secondary-{program}"
            home.mkdir()
            lab.internet.shell(f"ip addr add {address}/128 dev lo nodad")
            words = write(home, lab, address, zone, port)
            daemon = Daemon(lab.internet, [program, *words], lab.folder / f"secondary-{program}.log")
            stack.callback(daemon.close)
            daemon.wait_listening({53}, {53})
        yield (KNOT, NSD)


def _knot(home: Path, lab: Lab, address: str, zone: str, port: int) -> list[str]:
    (home / "knot.conf").write_text(
        f'server:\n  rundir: "{home}"\n  listen: {address}@53\n  udp-workers: 1\n  tcp-workers: 1\n'
        f'  background-workers: 1\nlog:\n- target: stdout\n  any: info\ndatabase:\n  storage: "{home}"\n'
        f"key:\n- id: {lab.tsig.name}\n  algorithm: {lab.tsig.algorithm}\n  secret: {lab.tsig.secret}\n"
        f"remote:\n- id: home\n  address: {lab.home_ipv6}@{port}\n  via: {address}\n  key: {lab.tsig.name}\n"
        f"acl:\n- id: notify\n  key: {lab.tsig.name}\n  action: notify\n"
        f'zone:\n- domain: {zone}\n  storage: "{home}"\n  master: home\n  acl: notify\n'
    )
    return ["-c", str(home / "knot.conf")]


def _nsd(home: Path, lab: Lab, address: str, zone: str, port: int) -> list[str]:
    (home / "nsd.conf").write_text(
        f'server:\n  ip-address: {address}\n  server-count: 1\n  username: ""\n  zonesdir: "{home}"\n  database: ""\n'
        f'  pidfile: "{home}/pid"\n  xfrdfile: "{home}/xfrd"\n  zonelistfile: "{home}/zones"\n  xfrdir: "{home}"\n'
        f"remote-control:\n  control-enable: no\n"
        f'key:\n  name: {lab.tsig.name}\n  algorithm: {lab.tsig.algorithm}\n  secret: "{lab.tsig.secret}"\n'
        f"zone:\n  name: {zone}\n  zonefile: zone\n  request-xfr: {lab.home_ipv6}@{port} {lab.tsig.name}\n"
        f"  outgoing-interface: {address}\n  allow-notify: {lab.home_ipv6} {lab.tsig.name}\n"
    )
    return ["-d", "-c", str(home / "nsd.conf")]
