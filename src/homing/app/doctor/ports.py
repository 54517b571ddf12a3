"""Whether the configured addresses can be listened on, and who has them when not."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from homing.app.doctor.case import Case
from homing.app.doctor.finding import Finding, Level
from homing.app.listening import EVERYWHERE, machine_hosts
from homing.app.places import dns_addresses, parse_listen
from homing.errors import ConfigError, ObservationError

PORTS = "ports"

UDP, TCP = "UDP", "TCP"

MAX_LINES = 200_000
"""Lines of a table of sockets that are read."""

_KINDS = {UDP: socket.SOCK_DGRAM, TCP: socket.SOCK_STREAM}
_LISTENING = "0A"

_FREE_53 = {
    "systemd-resolve": "take its stub listener away: write DNSStubListener=no into /etc/systemd/resolved.conf, then "
    "sudo systemctl restart systemd-resolved; or listen on this machine's own address instead of 127.0.0.53",
    "dnsmasq": "have it listen elsewhere: port=0 or bind-interfaces and listen-address= in /etc/dnsmasq.conf (those of "
    "libvirt and NetworkManager listen on their own bridge: give Homing single addresses)",
}
_MAY_NOT = (
    "allow it: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or sudo setcap "
    "cap_net_bind_service=+ep on the Python that runs Homing, or a port above 1023 and a redirect in the firewall"
)


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that has a socket: its id and the name of its program; both unknown (0, "") for another user's."""

    pid: int = 0
    name: str = ""
    parent: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where something of Homing listens: ``DNS`` or ``page``, UDP or TCP, host and port."""

    service: str
    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.service} on {host}:{self.port}/{self.transport}"


async def ports(case: Case) -> Sequence[Finding]:
    """Bind each address for a moment."""
    try:
        places = tuple(configured(case))
    except (ConfigError, ObservationError):
        return []  # told by the configuration's check
    return await asyncio.to_thread(_look, places, case.disk.daemon)


def configured(case: Case) -> Iterator[Place]:
    """All that a daemon with these settings would listen on. Raises ConfigError and ObservationError."""
    for host, port in dns_addresses(case.loaded):
        for each in sorted(machine_hosts()) if host == EVERYWHERE else (host,):
            yield Place("DNS", UDP, each, port)
            yield Place("DNS", TCP, each, port)
    web = case.loaded.settings.web
    for text in (*web.listen, *web.legacy_listen):
        host, port = parse_listen(text, f"{case.loaded.origin}: web.listen", 8053)
        yield Place("page", TCP, host or "0.0.0.0", port)


def _look(places: Sequence[Place], daemon: int | None) -> list[Finding]:
    found: list[Finding] = []
    free: list[Place] = []
    own: list[Place] = []
    for place in places:
        number = attempt(place)
        owners = owners_of(place) if number == errno.EADDRINUSE else []
        finding = judge(place, number, owners, daemon)
        if finding is not None:
            found.append(finding)
        else:
            (own if number else free).append(place)
    found = _once(found)
    if own:
        text = f"Homing itself (process {daemon}) listens on {_listed(own)}"
        found.append(Finding(PORTS, Level.OK, text))
    if free:
        found.append(Finding(PORTS, Level.OK, f"free: {_listed(free)}"))
    return found


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """One line for an address that can be had neither by UDP nor by TCP, for the same reason."""
    seen: dict[str, list[Finding]] = {}
    for item in findings:
        seen.setdefault(item.text.replace(f"/{UDP}:", ":").replace(f"/{TCP}:", ":"), []).append(item)
    return [replace(same[0], text=text) if len(same) > 1 else same[0] for text, same in seen.items()]


def _listed(places: Sequence[Place]) -> str:
    told = list(dict.fromkeys(str(place).replace("/UDP", "").replace("/TCP", "") for place in places))
    return ", ".join(told[:4]) + (f" and {len(told) - 4} more" if len(told) > 4 else "")


def judge(place: Place, number: int, owners: Sequence[Owner], daemon: int | None) -> Finding | None:
    """What the error ``number`` of an attempt to listen means; None for none, and where our own daemon listens."""
    if not number:
        return None
    if number in (errno.EACCES, errno.EPERM):
        return Finding(PORTS, Level.ERROR, f"{place}: this user may not listen there", _MAY_NOT)
    if number == errno.EADDRNOTAVAIL:
        text = f"{place}: this machine does not have that address"
        return Finding(PORTS, Level.ERROR, text, 'choose an address that it has: ip address; or listen on all: [":53"]')
    if number != errno.EADDRINUSE:
        return Finding(PORTS, Level.ERROR, f"{place}: {os.strerror(number)}", "choose another address")
    if daemon is not None and any(daemon in (owner.pid, owner.parent) for owner in owners):
        return None
    known = next((owner for owner in owners if owner.pid), None)
    if known is None:
        port = f"'sport = :{place.port}'"
        if daemon is not None:
            text = (
                f"{place}: taken by a process that cannot be seen from here, perhaps by this state's Homing ({daemon})"
            )
            return Finding(PORTS, Level.NOTE, text, f"sudo ss -lntup {port}")
        return Finding(
            PORTS, Level.ERROR, f"{place}: taken by another user's process", f"see whose: sudo ss -lntup {port}"
        )
    text = f"{place}: taken by {known.name} (process {known.pid})"
    remedy = f"stop that program, or choose another port; it is process {known.pid}: ps -fp {known.pid}"
    if place.port == 53:
        remedy = next((told for name, told in _FREE_53.items() if known.name.startswith(name)), remedy)
    return Finding(PORTS, Level.ERROR, text, remedy)


def attempt(place: Place) -> int:
    """Listen there for a moment: 0, or the system's error number."""
    if not place.port:
        return 0
    host, _, scope = place.host.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, _KINDS[place.transport]) as sock:
            if place.transport == TCP:  # connections that have just ended are in nobody's way
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, place.port, 0, socket.if_nametoindex(scope) if scope else 0))
            else:
                sock.bind((host, place.port))
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


def owners_of(place: Place, proc: Path = Path("/proc")) -> list[Owner]:
    """Who listens on that port, as far as this user may see; one unknown Owner for sockets of others."""
    inodes: set[str] = set()
    for name in (place.transport.lower(), f"{place.transport.lower()}6"):
        with contextlib.suppress(OSError), (proc / "net" / name).open(encoding="ascii", errors="replace") as lines:
            inodes.update(listening_inodes(lines, place.port, place.transport))
    owners = list(dict.fromkeys(_holders(inodes, proc)))
    return owners or ([Owner()] if inodes else [])


def listening_inodes(lines: Iterable[str], port: int, transport: str) -> Iterator[str]:
    """The inodes of sockets that listen on a port, from a table such as ``/proc/net/udp`` (proc(5))."""
    for number, line in enumerate(lines):
        words = line.split()
        if number > MAX_LINES:
            return
        if number == 0 or len(words) < 10:
            continue
        local, state, inode = words[1], words[3], words[9]
        listens = state == _LISTENING or transport == UDP
        if listens and local.rpartition(":")[2].upper() == f"{port:04X}":
            yield inode


def _holders(inodes: set[str], proc: Path) -> Iterator[Owner]:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.iterdir() if wanted else ():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for entry in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(entry.readlink()) in wanted:
                        yield _owner(folder)
                        break


def _owner(folder: Path) -> Owner:
    name, parent = "", 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        name = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
        # pid (name) state parent ...; the name may hold anything
        parent = int((folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
    return Owner(int(folder.name), name, parent)
