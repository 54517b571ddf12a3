"""A host of the lab: one process that holds a network, a mount and a UTS namespace, and whatever runs inside.

The holder waits for the end of its standard input, so it dies with the test run however that ends; daemons get a parent
death signal. Nothing is left in /run/netns, for nothing is ever put there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

NEEDED = ("unshare", "nsenter", "setpriv", "ip", "nft", "turnserver", "knotd", "named", "dig", "nsupdate")
"""Programs the lab runs; ``tests/install-peers`` installs them."""

COMMAND_TIMEOUT = 30.0
"""Seconds a command of ``Host.run`` may take."""

_PROBE = """
ip link add name lab0 type veth peer name lab1
ip addr add fe80::1/64 dev lab0 nodad
nft 'table ip lab { chain post { type nat hook postrouting priority srcnat; masquerade; }; }'
mount -t tmpfs none /tmp
"""

_HOLD = """
hostname $0
ip link set lo up
for set in all default; do echo 0 >/proc/sys/net/ipv6/conf/$set/accept_dad; done
echo held
exec cat
"""
"""Duplicate address detection is off, so that an address can be used as soon as it is there."""


def search_path() -> str:
    """PATH with the folders of system programs, which a user's may lack."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))


def obstacle() -> str:
    """Why there can be no lab here; empty when there can."""
    missing = [program for program in NEEDED if shutil.which(program, path=search_path()) is None]
    if missing:
        return f"the lab needs {', '.join(missing)}: run tests/install-peers"
    flags = "-nmu" if os.geteuid() == 0 else "-Urnmu"
    probe = subprocess.run(
        ["unshare", flags, "sh", "-e", "-c", _PROBE],
        env={**os.environ, "PATH": search_path()},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if probe.returncode == 0 else f"network namespaces are forbidden here: {probe.stderr.strip()[:200]}"


class Host:
    """A named host. Without root, all hosts share the user namespace of the first one, ``within``."""

    def __init__(self, name: str, within: Host | None = None) -> None:
        self.name = name
        self._own_user = os.geteuid() != 0
        command = ["unshare", "-nmu"]
        if self._own_user and within is None:
            command = ["unshare", "-Urnmu"]
        elif self._own_user and within is not None:
            command = ["nsenter", "-t", str(within.pid), "-U", "--preserve-credentials", *command]
        self._holder = subprocess.Popen(
            [*command, "sh", "-e", "-c", _HOLD, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment({}),
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"held\n":
            self.close()
            raise RuntimeError(f"the namespaces of host {name} could not be made")

    @property
    def pid(self) -> int:
        """The process whose namespaces these are."""
        return self._holder.pid

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that runs ``argv`` inside; its pid is that of ``argv`` itself, so signals reach it."""
        user = ["-U", "--preserve-credentials"] if self._own_user else []
        return ["nsenter", "-t", str(self.pid), *user, "-n", "-m", "-u", "--", *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = COMMAND_TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for it. Raises RuntimeError with its output when it fails and ``check``."""
        done = subprocess.run(
            self.command(argv),
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=self._environment(env or {}),
        )
        if check and done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(argv)[:300]}: {(done.stderr or done.stdout)[-2000:]}")
        return done

    def shell(self, script: str) -> str:
        """Run lines of shell inside, stopping at the first that fails; what they print."""
        return self.run(["sh", "-e", "-c", script]).stdout

    def popen(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a process inside that dies with the test run; the caller ends it. Options are Popen's."""
        options.setdefault("stdin", subprocess.DEVNULL)
        command = self.command(["setpriv", "--pdeathsig", "KILL", "--", *argv])
        return subprocess.Popen(command, env=self._environment(env or {}), **options)

    def close(self) -> None:
        """Let the namespaces go."""
        for pipe in (self._holder.stdin, self._holder.stdout):
            if pipe is not None:
                pipe.close()
        self._holder.kill()
        self._holder.wait()

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        return {**inherited, "PATH": search_path(), **more}
