"""How the operator and the agent run: flags, the environment, and a mounted file that is read again when it changes."""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from homing.errors import ConfigError

MAX_FILE = 64 * 1024
"""Bytes of the file."""


class ClusterSettings(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The settings of both; keys of the file are those of the flags. Durations in seconds."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    """Where Leases and the ConfigMap live; empty: the own one."""
    watch_namespaces: tuple[str, ...] = ()
    wan_config_map: str = "esddns-wan-ip"
    areas_annotation: str = "k8s.pootis.network/node-areas"
    ips_annotation: str = "k8s.pootis.network/node-ips"
    strato_server: str = ""
    strato_cooldown: Annotated[float, Meta(ge=0, le=86400)] = 60.0
    gandi_server: str = ""
    lease_duration: Annotated[float, Meta(ge=3, le=600)] | None = None
    detect_interval: Annotated[int, Meta(ge=10, le=86400)] = 300
    listen: str = ":8080"
    web: str = ""
    """Where the page and the API are; ``off`` for nowhere, empty for the default where it is free."""
    web_token_file: str = ""
    state: str = ""
    messages_file: str = ""
    """apprise URLs, one a line: who is told of changes and troubles."""
    ping_file: str = ""
    """The URL of a dead man's switch."""
    node_name: str = ""
    identity: str = ""
    advertise: str = ""
    """Where others reach this one: replicas of homing dns, with ``:PORT`` where need be, and Service homing-page."""
    ca_file: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "json"

    @property
    def name(self) -> str:
        """Who this process is to the others: the pod's name, which is its host name."""
        return self.identity or f"{socket.gethostname()}_{os.getpid()}"


def load_settings(file: Path | None, given: Mapping[str, Any]) -> ClusterSettings:
    """The settings of the file, with what the command line or the environment gives put above. Raises ConfigError."""
    merged: dict[str, Any] = _read(file) if file is not None else {}
    merged |= {key.replace("_", "-"): value for key, value in given.items() if value not in (None, ())}
    try:
        settings = msgspec.convert(merged, ClusterSettings)
    except msgspec.ValidationError as error:
        told = str(error).replace("Object contains unknown field", "unknown key")
        raise ConfigError(str(file or "settings"), told, "see: homing operator --help") from None
    if settings.strato_cooldown < 60 and not settings.strato_server:
        raise ConfigError("strato-cooldown", "is under 60 s", "Strato bans hosts that ask more often")
    return settings


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as source:
            data = source.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ConfigError(str(file), "is too long", f"keep it below {MAX_FILE} bytes")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(str(file), f"cannot be read: {error.strerror}", "mount it, or leave --config out") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), f"is not TOML: {error}", 'write lines like log-level = "debug"') from None
