"""The namespaces that the node lives in: processes, mounts, network. All in them ends with the test run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.cluster.process import Process
from tests.lab.namespaces import search_path
from tests.waiting import until

ADDRESS = "10.77.0.1"
"""The node's."""

PODS = "10.78.0.0/24"
"""The network of pods."""

CGROUP = "homing-node"
"""The control group that all pods are in."""

_CGROUPS = Path("/sys/fs/cgroup")

_SYSCTLS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1}
"""What a kubelet sets for the whole machine, unless it finds it set."""

_HOLD = f"""
mount --make-rshared /
for folder in /run /var/log/containers /var/lib/cni /var/lib/kubelet; do
  mkdir -p $folder
  mount -t tmpfs none $folder
done
while read -r name value; do
  echo $value >$0/sysctl-$(basename $name)
  mount --bind $0/sysctl-$(basename $name) /proc/sys/$name
done <$0/sysctls
: >$0/resolv.conf
mount --bind $0/resolv.conf /etc/resolv.conf
ip link set lo up
ip link add node0 type veth peer name node1
ip link set node1 up
ip link set node0 up
ip addr add {ADDRESS}/24 dev node0
ip route add default dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
echo held
trap '' CHLD
exec cat
"""
"""Of the first process: fixed paths of containerd, CNI and kubelet are not those of the machine, no name is looked up,
a veth carries the node's address (not every kernel has dummy devices) and leads nowhere. The dead are the kernel's."""


_PROBE = """
mkdir $0/lower $0/upper $0/work $0/root
mount -t overlay none -o lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work $0/root
: >$0/file
mount --bind $0/file /proc/sys/vm/panic_on_oom
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link add node0 type veth peer name node1
ip link add cni0 type bridge
"""
"""What the kernel must allow; ``$0`` is an empty folder."""


class Cell:
    """While entered, the namespaces are there. They end when this process does, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "sysctls").write_text("".join(f"{name} {value}\n" for name, value in _SYSCTLS.items()))

    def __enter__(self) -> Self:
        for group in _groups():
            group.mkdir(exist_ok=True)
        self._holder = subprocess.Popen(
            ["unshare", "-nmp", "--fork", "--kill-child", "--mount-proc", "sh", "-e", "-c", _HOLD, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PATH": search_path()},
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"held\n":
            self.__exit__()
            raise RuntimeError("the namespaces of the node could not be made")
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()
        self._first = int(children[0])
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()  # its child goes with it, and with that all in the namespaces
        self._holder.wait()
        for stream in (self._holder.stdin, self._holder.stdout):
            if stream is not None:
                stream.close()
        until(_without_groups, 20.0, "the end of all pods")

    def command(self, *words: str) -> list[str]:
        """The command that runs another inside."""
        return ["nsenter", "-t", str(self._first), "-n", "-m", "-p", "--", *words]

    def process(self, name: str, *words: str) -> Process:
        """A program inside, with its log in the folder; it ends with the namespaces at the latest."""
        environment = ["env", f"PATH={search_path()}", f"--chdir={self.folder}"]
        return Process(self.folder / f"{name}.log", [*self.command(*environment, *words)])

    def popen(self, *words: str) -> subprocess.Popen[str]:
        """A command inside that runs on; its input and output are pipes."""
        environment = {**os.environ, "PATH": search_path()}
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*words), stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)

    def run(
        self, *words: str, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for its end. Raises AssertionError with what it said."""
        done = subprocess.run(
            self.command(*words),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "PATH": search_path()},
        )
        assert not check or done.returncode == 0, f"{' '.join(words)[:300]}: {(done.stderr or done.stdout)[-2000:]}"
        return done

    def pods(self, uid: str = "") -> Iterator[dict[str, str]]:
        """What the kernel says of each process in a pod: its status file, and as ``root`` the flags of its root.

        Without ``uid`` of all pods.
        """
        for folder in _processes(f"{CGROUP}/.*{uid}"):
            with suppress(OSError):
                lines = (folder / "status").read_text().splitlines()
                status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
                mounts = [line.split() for line in (folder / "mounts").read_text().splitlines()]
                yield {**status, "root": next(flags for _, place, _, flags, *_ in mounts if place == "/")}

    def kill_pod(self, uid: str) -> None:
        """End all processes of a pod at once, as a machine that fails does."""
        for folder in _processes(f"{CGROUP}/.*{uid}"):
            os.kill(int(folder.name), signal.SIGKILL)


def _processes(group: str) -> Iterator[Path]:
    """Where the kernel tells of the processes in a control group."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if re.search(f"/{group}", (folder / "cgroup").read_text()):
                yield folder


def hindrance() -> str:
    """Why this machine cannot hold a node, whatever is installed; empty when it can."""
    if os.geteuid() != 0:
        return "a node needs root"
    groups = _groups() if _CGROUPS.is_dir() else []
    if not groups or not all(os.access(group.parent, os.W_OK) for group in groups):
        return f"a node needs control groups, and {_CGROUPS} cannot be written"
    with tempfile.TemporaryDirectory() as folder:
        command = ["unshare", "-nmp", "--fork", "--kill-child", "--mount-proc", "sh", "-e", "-c", _PROBE, folder]
        try:
            done = subprocess.run(
                command, env={**os.environ, "PATH": search_path()}, capture_output=True, text=True, check=False
            )
        except OSError as error:
            return f"a node needs unshare: {error.strerror}"
    return f"a node needs namespaces with overlays and bridges: {done.stderr.strip()[:200]}" if done.returncode else ""


def obstacle(needed: Sequence[str]) -> str:
    """Why there can be no node here; empty when there can."""
    path = os.pathsep.join((search_path(), "/usr/lib/cni"))
    missing = [program for program in needed if shutil.which(program, path=path) is None]
    return hindrance() or (f"a node needs {', '.join(missing)}: run tests/install-peers node" if missing else "")


def _groups() -> list[Path]:
    """The control group in each hierarchy there is."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS / CGROUP]
    return [place / CGROUP for place in _CGROUPS.iterdir() if place.is_dir() and not place.is_symlink()]


def _without_groups() -> bool:
    for group in _groups():
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
    return not any(group.exists() for group in _groups())
