"""A Kubernetes control plane: etcd, the API server and the controllers, on loopback and in a folder."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import yaml

from homing.standins.tls import Authority
from tests.cluster.api import Api, ApiRefused
from tests.cluster.process import Process
from tests.cluster.programs import program
from tests.ports import free_ports

START_LIMIT = 60.0
"""Seconds the API server may take until it is ready; it needs about 5 on an idle machine."""

COMMAND_LIMIT = 60.0
"""Seconds a kubectl command may take."""

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
  - level: None
"""
"""What service accounts ask for is written down: who, what, whether it was allowed and by which role."""

GRACE_PERIOD = 50.0
"""Seconds without a sign of life after which a node is no longer Ready; Kubernetes' own default."""

ADMIN, NOBODY = "admin", "nobody"
"""Users with a token that never ends: one may do everything, one is authenticated and may do next to nothing."""


class ControlPlane:
    """While entered, a cluster without machines. The folder keeps its objects; entered again, it has them still."""

    def __init__(self, folder: Path, *, port: int = 0, grace_period: float = GRACE_PERIOD) -> None:
        self.folder = folder.resolve()
        """Everything of it: data, logs, keys and kubeconfig files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._tokens = {ADMIN: secrets.token_urlsafe(24), NOBODY: secrets.token_urlsafe(24)}
        self._authority = Authority(self.folder)
        self._certificate = self._authority.issue(["127.0.0.1", "localhost", "kubernetes.default.svc"])
        self._etcd_port, peer_port, free, controller_port = free_ports(4)
        self.port = port or free
        self._controller_port = controller_port
        self._etcd = self._process("etcd", *self._etcd_flags(peer_port))
        self._apiserver = self._process("kube-apiserver", *self._apiserver_flags())
        self._controllers = self._process("kube-controller-manager", *self._controllers_flags(grace_period))
        self._apis: list[Api] = []
        self.admin = self.api(self._tokens[ADMIN])

    @property
    def audit(self) -> Path:
        """What service accounts asked for, a JSON object a line (audit.k8s.io/v1, Event)."""
        return self.folder / "audit.log"

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that clients shall trust (PEM)."""
        return self._authority.ca_file

    @property
    def authority(self) -> Authority:
        """The authority itself, for whoever stands between a client and the API server."""
        return self._authority

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all and wait until the API server is ready.

        Raises:
            AssertionError: it is not within the limit, with the end of the log.
        """
        try:
            self._etcd.start()
            self._apiserver.start()
            self._wait_until_ready()
            self._controllers.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all, by their own pids."""
        for api in self._apis:
            api.close()
        self._controllers.kill()  # nothing is lost by it: what they know is in the API server
        self._apiserver.kill()
        self._etcd.stop()

    def kill_apiserver(self) -> None:
        """End the API server at once, as a crash does."""
        self._apiserver.kill()

    def start_apiserver(self) -> None:
        """Start the API server again on its port and wait until it is ready."""
        self._apiserver.start()
        self._wait_until_ready()

    def restart_etcd(self) -> None:
        """End etcd at once and start it again with what it stored; wait until the API server is ready again."""
        self._etcd.kill()
        self._etcd.start()
        self._wait_until_ready()

    @contextmanager
    def grace_period(self, seconds: float) -> Iterator[None]:
        """Meanwhile a node that gives no sign of life for so many seconds is no longer Ready."""
        usual = self._controllers
        usual.kill()
        self._controllers = self._process("kube-controller-manager", *self._controllers_flags(seconds))
        self._controllers.start()
        try:
            yield
        finally:
            self._controllers.kill()
            self._controllers = usual
            usual.start()

    def api(self, token: str) -> Api:
        """A plain client with a token; it is closed when the control plane stops."""
        made = Api(self.port, self.ca_file, token)
        self._apis.append(made)
        return made

    def kubeconfig(
        self, user: str = ADMIN, *, token: str = "", server: str = "", namespace: str = "default", ca_file: str = ""
    ) -> Path:
        """A kubeconfig file for a user, or for a token; ``server`` is another way to the API server."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "homing",
                    "cluster": {
                        "server": server or self.server,
                        "certificate-authority": ca_file or str(self.ca_file),
                    },
                }
            ],
            "users": [{"name": user, "user": {"token": token or self._tokens[user]}}],
            "contexts": [
                {"name": "homing", "context": {"cluster": "homing", "user": user, "namespace": namespace}},
            ],
            "current-context": "homing",
        }
        text = yaml.safe_dump(config)
        path = self.folder / f"{user.replace(':', '-')}-{secrets.token_hex(4)}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def kubectl(self, *words: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """What kubectl prints, as the administrator unless a kubeconfig says otherwise.

        Raises:
            AssertionError: it failed; with what it said.
        """
        if not self._admin_file.exists():
            self.kubeconfig().rename(self._admin_file)
        command = [program("kubectl"), f"--kubeconfig={kubeconfig or self._admin_file}"]
        command += [f"--cache-dir={self.folder / 'kubectl'}", *words]
        done = subprocess.run(
            command, input=stdin or "", capture_output=True, text=True, timeout=COMMAND_LIMIT, check=False
        )
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)[:300]}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def apply(self, manifest: str | Path, *words: str) -> str:
        """``kubectl apply`` of a text, or of the file or folder at a path."""
        if isinstance(manifest, Path):
            return self.kubectl("apply", "-f", str(manifest), *words)
        return self.kubectl("apply", "-f", "-", *words, stdin=manifest)

    def token(self, service_account: str, namespace: str, seconds: int = 3600) -> str:
        """A token of a service account, as a pod gets it. The API server gives none for less than 600 seconds."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        body = {"spec": {"expirationSeconds": seconds}}
        return str(self.admin.request("POST", path, body)["status"]["token"])

    def as_service_account(self, namespace: str, name: str, *, server: str = "") -> Path:
        """A kubeconfig file with a token of a service account, in its namespace."""
        user = f"system:serviceaccount:{namespace}:{name}"
        return self.kubeconfig(user, token=self.token(name, namespace), server=server, namespace=namespace)

    @property
    def _admin_file(self) -> Path:
        return self.folder / "admin.kubeconfig"

    def _process(self, name: str, *flags: str) -> Process:
        return Process(self.folder / f"{name}.log", [program(name), *flags])

    def _wait_until_ready(self) -> None:
        limit = time.monotonic() + START_LIMIT
        said = ""
        while time.monotonic() < limit:
            for process in (self._etcd, self._apiserver):
                if not process.is_running:
                    raise AssertionError(f"{process.name} ended:\n{process.tail()}")
            try:
                self.admin.request("GET", "/readyz")
                self.admin.request("GET", "/api/v1/namespaces/default")  # which is read from etcd, each time
            except (OSError, ApiRefused) as error:
                said = str(error)
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the API server is not ready after {START_LIMIT:g} s ({said}):\n{self._apiserver.tail()}")

    def _etcd_flags(self, peer_port: int) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, peer_port))
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--logger=zap",
            "--log-level=warn",
        ]

    def _apiserver_flags(self) -> list[str]:
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(
            f'{self._tokens[ADMIN]},{ADMIN},{ADMIN},"system:masters"\n{self._tokens[NOBODY]},{NOBODY},{NOBODY}\n'
        )
        key = self._certificate.key_file
        policy = self.folder / "audit-policy.yaml"
        policy.write_text(AUDIT_POLICY)
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # an endpoint on loopback is refused
            f"--secure-port={self.port}",
            f"--tls-cert-file={self._certificate.cert_file}",
            f"--tls-private-key-file={key}",
            f"--cert-dir={self.folder}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={self._certificate.cert_file}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            "--delete-collection-workers=8",
            "--feature-gates=WatchList=false",  # refused anyway on an etcd before 3.5, and clients would try on
            "--profiling=false",
            "--v=0",
        ]

    def _controllers_flags(self, grace_period: float) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig(ADMIN)}",
            f"--root-ca-file={self.ca_file}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._controller_port}",
            f"--cert-dir={self.folder}",
            f"--node-monitor-grace-period={grace_period:g}s",
            f"--node-monitor-period={min(5.0, grace_period / 8):g}s",
            f"--node-startup-grace-period={grace_period:g}s",
            "--v=0",
        ]
