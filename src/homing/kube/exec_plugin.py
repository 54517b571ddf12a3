"""Exec plugins: programs named in a kubeconfig that print a token (client.authentication.k8s.io)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homing.errors import ConfigError, KubeUnavailable

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import UserExec

PATIENCE = 30.0
"""Seconds that a plugin may take; it must not ask a person, there is none."""

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class _Given(msgspec.Struct, rename="camel"):
    token: str = ""
    expiration_timestamp: dt.datetime | None = None


class _Answer(msgspec.Struct):
    status: _Given


async def run_plugin(plugin: UserExec, config: SingleConfig, where: str) -> tuple[str, float | None]:
    """The token that the plugin gives, and the Unix time at which it ends, where it says so.

    Raises ConfigError when there is no such program or its version is not known, KubeUnavailable when it fails. What
    the program wrote is never shown: it may be a token.
    """
    if plugin.apiVersion not in VERSIONS:
        raise ConfigError(where, f"exec plugin of version {plugin.apiVersion}", f"use {VERSIONS[0]}")
    command = plugin.command
    if os.sep in command and config.fname is not None:
        command = str(Path(config.fname).parent / command)
    environment = {**os.environ, **{each.name: each.value for each in plugin.env or ()}}
    environment["KUBERNETES_EXEC_INFO"] = _info(plugin, config)
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *(plugin.args or ()),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # so that what it started in turn can be ended with it
        )
    except OSError as error:
        remedy = plugin.installHint or "install it, or correct the path"
        raise ConfigError(where, f"exec plugin {plugin.command}: {error.strerror}", remedy) from None
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    except TimeoutError:
        raise KubeUnavailable(
            0, "Credentials", f"{where}: exec plugin {plugin.command} gave nothing in {PATIENCE:g} s"
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise KubeUnavailable(
            0, "Credentials", f"{where}: exec plugin {plugin.command} ended with {process.returncode}; run it by hand"
        )
    try:
        given = msgspec.json.decode(output, type=_Answer).status
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise KubeUnavailable(
            0, "Credentials", f"{where}: exec plugin {plugin.command} printed no ExecCredential"
        ) from None
    if not given.token:
        raise ConfigError(where, f"exec plugin {plugin.command} gave no token", "client certificates are not supported")
    return given.token, given.expiration_timestamp.timestamp() if given.expiration_timestamp else None


def _info(plugin: UserExec, config: SingleConfig) -> str:
    cluster: dict[str, Any] = {"server": config.cluster.server}
    if config.cluster.certificate_auth_data:
        cluster["certificate-authority-data"] = config.cluster.certificate_auth_data
    elif config.cluster.certificate_auth:
        path = Path(config.abs_file(config.cluster.certificate_auth))
        if path.is_file():
            cluster["certificate-authority-data"] = base64.b64encode(path.read_bytes()).decode()
    if config.cluster.insecure:
        cluster["insecure-skip-tls-verify"] = True
    return json.dumps(
        {
            "apiVersion": plugin.apiVersion,
            "kind": "ExecCredential",
            "spec": {"interactive": False, "cluster": cluster},
        }
    )
