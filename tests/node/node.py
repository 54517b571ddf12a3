"""A Kubernetes of one real node: etcd, the API server, controllers, scheduler, kubelet, kube-proxy and containerd."""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import yaml
from bench.dns.programs import coredns

from homing.standins.tls import Authority
from tests.cluster.process import Process
from tests.cluster.programs import directory, program
from tests.image.builder import Image
from tests.node.cell import ADDRESS, CGROUP, PODS, Cell
from tests.waiting import until

NAME = "node1"
SERVICES = "10.96.0.0/16"
KUBERNETES = "10.96.0.1"
"""The Service of the API server: the first address."""
RESOLVER = "10.96.0.10"
"""The Service of CoreDNS, so that port 53 of the node is free."""

START_LIMIT = 60.0
"""Seconds each part may take until it is ready."""

NEEDED = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "bridge", "host-local", "portmap", "iptables")
"""Programs beside those that are built; ``tests/install-peers`` installs them."""

_ETCD, _API, _DNS = 2379, 6443, 1053

_USERS = {
    "admin": ("admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NAME}", "system:nodes"),
}
"""Who asks the API server, under which name and in which group."""


class Node:
    """While entered, pods run. One at a time on a machine; another waits.

    Args:
        folder: everything of it, on a disk that overlays can lie on.
        pause: the image that holds a pod's namespaces.
        images: those that it has beside it.
    """

    def __init__(self, folder: Path, pause: Image, *images: Image) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cell = Cell(self.folder)
        self._pause, self._images = pause, images
        self._tokens = {user: secrets.token_urlsafe(24) for user in _USERS}
        self._authority = Authority(self.folder)
        names = [ADDRESS, KUBERNETES, "127.0.0.1", "kubernetes.default.svc"]
        self._certificate = self._authority.issue(names)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            lock = stack.enter_context((directory() / ".node").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            for bulky in ("containerd", "etcd"):  # logs stay
                stack.callback(shutil.rmtree, self.folder / bulky, ignore_errors=True)
            stack.enter_context(self.cell)
            self._stack = stack
            with ThreadPoolExecutor() as loaders:
                self._start(loaders)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def tag(self, name: str, another: str) -> None:
        """Give an image of containerd another name."""
        self._ctr("tag", name, another)

    def _ctr(self, *words: str) -> None:
        self.cell.run("ctr", f"--address={self._containerd}", "-n=k8s.io", "images", *words)

    def kubectl(self, *words: str, stdin: str = "", timeout: float = 60.0) -> str:
        """What kubectl prints, as the administrator. Raises AssertionError with what it said."""
        flags = [f"--kubeconfig={self.kubeconfig('admin')}", f"--cache-dir={self.folder / 'kubectl'}"]
        return self.cell.run(program("kubectl"), *flags, *words, stdin=stdin, timeout=timeout).stdout

    def apply(self, *objects: Any) -> None:
        """``kubectl apply`` of manifests."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, *words: str) -> dict[str, Any]:
        """``kubectl get`` as JSON."""
        return dict(json.loads(self.kubectl("get", "-o=json", *words)))

    def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The pods with these labels that are not about to end."""
        found = self.get("pods", f"--namespace={namespace}", f"--selector={selector}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def story(self) -> str:
        """What there is to know of pods that are not as they should be."""
        said = [self.kubectl("get", "pods", "-A", "-o=wide"), self.kubectl("get", "events", "-A")[-3000:]]
        for pod in self.get("pods", "-A")["items"]:
            where = (f"--namespace={pod['metadata']['namespace']}", pod["metadata"]["name"])
            done = self.cell.run(
                program("kubectl"),
                f"--kubeconfig={self.kubeconfig('admin')}",
                "logs",
                "--tail=15",
                *where,
                check=False,
            )
            said.append(f"{where[1]}: {done.stdout[-1500:]}{done.stderr[-300:]}")
        return "\n".join(said)

    @property
    def _containerd(self) -> Path:
        return self.folder / "containerd.sock"

    def _start(self, loaders: Executor) -> None:
        etcd = f"http://127.0.0.1:{_ETCD}"
        containerd = self._run("containerd", f"--config={self._containerd_config()}")
        self._run(program("etcd"), f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={etcd}",
                  f"--advertise-client-urls={etcd}", "--unsafe-no-fsync")  # fmt: skip
        apiserver = self._run(program("kube-apiserver"), f"--etcd-servers={etcd}", *self._apiserver_flags())
        self._until("containerd", containerd, self._containerd.exists)
        images = (self._pause, *self._images)
        loaded = [loaders.submit(self._ctr, "import", str(image.archive)) for image in images]
        self._until("the API server", apiserver, self._is_ready)
        pki = f"--cert-dir={self.folder}"
        alone = "--leader-elect=false"
        for name, user, *flags in (
            ("kube-controller-manager", "controllers", alone, pki, "--use-service-account-credentials",
             f"--root-ca-file={self._authority.ca_file}"),
            ("kube-scheduler", "scheduler", alone, pki),
            ("kube-proxy", "proxy", f"--hostname-override={NAME}", "--proxy-mode=iptables", f"--cluster-cidr={PODS}",
             "--conntrack-max-per-core=0"),
        ):  # fmt: skip
            self._run(program(name), f"--kubeconfig={self.kubeconfig(user)}", *flags)
        kubelet = self._run(
            program("kubelet"), f"--config={self._kubelet_config()}", f"--kubeconfig={self.kubeconfig('kubelet')}",
            f"--hostname-override={NAME}", f"--node-ip={ADDRESS}", f"--root-dir={self.folder / 'kubelet'}",
            f"--cert-dir={self.folder / 'kubelet-pki'}",
        )  # fmt: skip
        self._run(coredns(), f"-conf={self._corefile()}")
        self.apply(*_resolver())
        self._until("the node", kubelet, self._node_is_ready)
        for each in loaded:
            each.result()

    def _run(self, command: str, *flags: str) -> Process:
        process = self.cell.process(Path(command).name, command, *flags)
        self._stack.callback(process.kill)
        process.start()
        return process

    def _until(self, what: str, process: Process, condition: Any) -> None:
        until(lambda: not process.is_running or condition(), START_LIMIT, what)
        assert process.is_running, f"{what} ended:\n{process.tail()}"

    def _is_ready(self) -> bool:
        try:
            self.kubectl("get", "--raw=/readyz", timeout=5.0)
        except (AssertionError, subprocess.TimeoutExpired):
            return False
        return True

    def _node_is_ready(self) -> bool:
        conditions = [each for node in self.get("nodes")["items"] for each in node["status"].get("conditions", ())]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _apiserver_flags(self) -> Sequence[str]:
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(
            "".join(f'{self._tokens[user]},{who},{user},"{group}"\n' for user, (who, group) in _USERS.items())
        )
        key = self._certificate.key_file
        return (
            f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}",
            f"--secure-port={_API}",
            f"--tls-cert-file={self._certificate.cert_file}",
            f"--tls-private-key-file={key}",
            f"--cert-dir={self.folder}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={self._certificate.cert_file}",
            f"--service-account-signing-key-file={key}",
            f"--service-cluster-ip-range={SERVICES}",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            "--feature-gates=WatchList=false",  # refused anyway on an etcd before 3.5
        )

    def kubeconfig(self, user: str) -> Path:
        """A kubeconfig file for one of the users."""
        path = self.folder / f"{user}.kubeconfig"
        if not path.exists():
            cluster = {"server": f"https://{ADDRESS}:{_API}", "certificate-authority": str(self._authority.ca_file)}
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "node", "cluster": cluster}],
                "users": [{"name": user, "user": {"token": self._tokens[user]}}],
                "contexts": [{"name": "node", "context": {"cluster": "node", "user": user}}],
                "current-context": "node",
            }
            path.touch(mode=0o600)
            path.write_text(yaml.safe_dump(config))
        return path

    def _containerd_config(self) -> Path:
        network = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "cni0",
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self.folder / "addresses"),
                        "subnet": PODS,
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        folder = self.folder / "network"
        folder.mkdir(exist_ok=True)
        (folder / "10-pods.conflist").write_text(json.dumps(network))
        path = self.folder / "containerd.toml"
        # restrict_oom_score_adj: a root without CAP_SYS_RESOURCE may not lower it, and runc ends when it cannot.
        path.write_text(f"""\
version = 2
root = "{self.folder / "containerd"}"
state = "{self.folder / "containerd-state"}"
[grpc]
  address = "{self._containerd}"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{self._pause.name}"
  stream_server_address = "127.0.0.1"
  cni = {{bin_dir = "/usr/lib/cni", conf_dir = "{folder}"}}
""")
        return path

    def _corefile(self) -> Path:
        """CoreDNS is the cluster's resolver; it knows names of Services and no others."""
        path = self.folder / "Corefile"
        names = f"kubernetes cluster.local {{\n    kubeconfig {self.kubeconfig('admin')} node\n  }}"
        path.write_text(f".:{_DNS} {{\n  bind {ADDRESS}\n  {names}\n}}\n")
        return path

    def _kubelet_config(self) -> Path:
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,  # still the only one on some machines
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{CGROUP}",
            "containerRuntimeEndpoint": f"unix://{self._containerd}",
            "address": ADDRESS,
            "clusterDNS": [RESOLVER],
            "clusterDomain": "cluster.local",
            "podLogsDir": str(self.folder / "pods"),
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "makeIPTablesUtilChains": False,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "200Mi", "nodefs.available": "2%", "imagefs.available": "2%"},
            "syncFrequency": "10s",
        }
        path = self.folder / "kubelet.yaml"
        path.write_text(yaml.safe_dump(config))
        return path


def _resolver() -> Iterator[dict[str, Any]]:
    """The Service of CoreDNS, which is no pod here."""
    ports = [(f"dns-{protocol.lower()}", protocol) for protocol in ("UDP", "TCP")]
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    asked = [{"name": name, "protocol": protocol, "port": 53} for name, protocol in ports]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"clusterIP": RESOLVER, "ports": asked},
    }
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ADDRESS]}],
        "ports": [{"name": name, "protocol": protocol, "port": _DNS} for name, protocol in ports],
    }
