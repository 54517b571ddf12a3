"""Who Homing is to the API server: kubeconfig files and service accounts, read by lightkube.

Exec plugins are run here: the library knows neither ``client.authentication.k8s.io/v1`` nor the end of a token's life,
waits without a limit, and shows what the plugin wrote.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from homing.effects.clock import Clock, SystemClock
from homing.errors import ConfigError, KubeUnavailable
from homing.kube.exec_plugin import run_plugin
from homing.kube.expiry import certificate_end, token_end

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import KubeConfig, SingleConfig

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

REREAD = 60.0
"""Seconds for which a token read from a file is used; the kubelet rotates the file before the token ends."""

_EARLY = 30.0
"""Seconds before its end at which a plugin's token is asked for anew."""


@dataclass
class Credentials:
    """The server's address, whom to trust, the own namespace, and the headers that say who asks."""

    server: str
    namespace: str
    config: SingleConfig = field(repr=False)
    clock: Clock = field(default_factory=SystemClock, repr=False)
    _headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    _until: float = field(default=float("-inf"), repr=False)
    ends: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """When what is in use ends (Unix seconds), where that is known: ``certificate``, ``token``."""

    @property
    def certificate(self) -> bool:
        """Whether a certificate in a file, which may be replaced, says who asks."""
        return bool(self.config.user and self.config.user.client_cert)

    def tls(self) -> ssl.SSLContext | None:
        """Whom to trust and which certificate to show; None for plain HTTP. Reads files.

        Raises ConfigError when a file is missing or no certificate.
        """
        from lightkube.config.client_adapter import verify_cluster
        from lightkube.config.models import User
        from lightkube.core.exceptions import ConfigError as LightkubeError

        if self.server.startswith("http://"):
            return None
        try:
            context = verify_cluster(self.config.cluster, self.config.user or User(), self.config.abs_file, False)
        except ssl.SSLError as error:
            raise ConfigError(
                self._where, f"a certificate or key cannot be used ({error.reason})", "check the files it names"
            ) from None
        except (OSError, ValueError, TypeError, LightkubeError) as error:
            problem = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else type(error).__name__
            raise ConfigError(self._where, f"certificates cannot be read ({problem})", "name readable files") from None
        self._note("certificate", certificate_end(self._client_certificate()))
        return context

    def _client_certificate(self) -> str:
        user = self.config.user
        if user is None or not (user.client_cert or user.client_cert_data):
            return ""
        try:
            if user.client_cert:
                return Path(self.config.abs_file(user.client_cert)).read_text(encoding="ascii", errors="replace")
            return base64.b64decode(user.client_cert_data or "").decode("ascii", "replace")
        except (OSError, ValueError):
            return ""  # it was read a moment ago: what there is to tell was told then

    def _note(self, what: str, end: float | None) -> None:
        if end is None:
            self.ends.pop(what, None)
        else:
            self.ends[what] = end

    async def headers(self) -> Mapping[str, str]:
        """What to send with each request.

        Raises KubeUnavailable when the token cannot be had now: its file may come back, the plugin may work again.
        """
        if self.clock.time() >= self._until:
            await self._read()
        return self._headers

    async def renew(self) -> None:
        """Read the token again, or run the plugin again: the server no longer knows the last one."""
        self._until = float("-inf")

    async def _read(self) -> None:
        from lightkube.config.client_adapter import user_auth
        from lightkube.core.exceptions import ConfigError as LightkubeError

        user = self.config.user
        if user is not None and user.exec is not None and not (user.token or user.token_file):
            token, end = await run_plugin(user.exec, self.config, self._where)
            self._headers = {"Authorization": f"Bearer {token}"}
            self._note("token", end if end is not None else token_end(token))
            self._until = end - _EARLY if end is not None else float("inf")
            return
        if user is not None and user.token_file is not None:
            user.token_file = str(self.config.abs_file(user.token_file))
        try:
            auth = user_auth(user)
        except LightkubeError as error:
            raise ConfigError(self._where, str(error), "use a token, a certificate or an exec plugin") from None
        if auth is None:
            self._headers, self._until = {}, float("inf")
            return
        import httpx2

        request = httpx2.Request("GET", self.server)
        flow = auth.async_auth_flow(request)
        try:
            signed = await anext(flow)
        except (OSError, UnicodeDecodeError, LightkubeError) as error:
            raise KubeUnavailable(
                0, "Credentials", f"{self._where}: the token cannot be read ({type(error).__name__})"
            ) from None
        finally:
            await flow.aclose()
        self._headers = {"Authorization": signed.headers["Authorization"]}
        self._note("token", token_end(signed.headers["Authorization"].removeprefix("Bearer ")))
        self._until = self.clock.time() + REREAD

    @property
    def _where(self) -> str:
        return f"kubeconfig {self.config.fname}" if self.config.fname else "service account"


def find_credentials(
    kubeconfig: str | Path = "",
    context: str = "",
    *,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
    clock: Clock | None = None,
) -> Credentials:
    """Credentials in client-go's order: the file named, ``KUBECONFIG``, the pod's service account, ``~/.kube/config``.

    ``KUBECONFIG`` may hold several files: what an earlier one says counts. Raises ConfigError, which names the file.
    """
    if kubeconfig:
        files = [Path(kubeconfig).expanduser()]
    elif environ.get("KUBECONFIG"):
        named = [Path(part).expanduser() for part in environ["KUBECONFIG"].split(os.pathsep) if part]
        files = [path for path in named if path.is_file()] or named[:1]
    elif environ.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").is_file():
        return _in_cluster(service_account, clock or SystemClock())
    else:
        files = [Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config"]
    configs = [_read_file(path) for path in files]
    wanted = context or next((config.current_context for config in configs if config.current_context), None)
    return _chosen(configs, wanted, clock or SystemClock())


def _read_file(path: Path) -> KubeConfig:
    import msgspec
    import yaml
    from lightkube.config.kubeconfig import KubeConfig

    where = f"kubeconfig {path}"
    if not path.is_file():
        raise ConfigError(where, "there is no such file", "pass --kubeconfig, set KUBECONFIG, or run in a cluster")
    try:
        return KubeConfig.from_file(path)
    except OSError as error:
        raise ConfigError(where, f"cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise ConfigError(where, f"is no YAML{place}", "kubectl config view shows what kubectl makes of it") from None
    except (KeyError, TypeError, AttributeError, ValueError, msgspec.ValidationError) as error:
        # Only the kind: the text of a failed conversion may quote a value.
        raise ConfigError(
            where, f"is no kubeconfig ({type(error).__name__})", "it needs clusters and contexts"
        ) from None


def _chosen(configs: list[KubeConfig], context: str | None, clock: Clock) -> Credentials:
    where = f"kubeconfig {configs[0].fname}"
    if not context:
        raise ConfigError(where, "no current context", "choose one with kubectl config use-context, or name one")
    holder = next((config for config in configs if context in config.contexts), None)
    if holder is None:
        known = ", ".join(sorted({name for config in configs for name in config.contexts})) or "none"
        raise ConfigError(where, f"no context {context!r}", f"the contexts are: {known}")
    chosen = holder.contexts[context]
    clusters = {name: found for config in reversed(configs) for name, found in config.clusters.items()}
    users = {name: found for config in reversed(configs) for name, found in config.users.items()}
    if chosen.cluster not in clusters:
        raise ConfigError(where, f"context {context!r} names the cluster {chosen.cluster!r}, which is not there")
    if chosen.user and chosen.user not in users:
        raise ConfigError(where, f"context {context!r} names the user {chosen.user!r}, which is not there")
    from lightkube.config.kubeconfig import SingleConfig

    user = users[chosen.user] if chosen.user else None
    single = SingleConfig(context, chosen, clusters[chosen.cluster], user, holder.fname)
    return Credentials(single.cluster.server.rstrip("/"), single.namespace, single, clock)


def _in_cluster(account: Path, clock: Clock) -> Credentials:
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.core.exceptions import ConfigError as LightkubeError

    try:
        config = KubeConfig.from_service_account(account).get()
    except (OSError, LightkubeError, KeyError) as error:
        raise ConfigError(
            f"service account {account}", f"cannot be read ({type(error).__name__})", "mount the token of the pod"
        ) from None
    assert config is not None  # noqa: S101 - from_one always makes a context
    return Credentials(config.cluster.server, config.namespace.strip(), config, clock)
