"""The Go node DNS: the flags of its container, or the values of its chart, as a Zone; `homing dns` takes the flags."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, cast

from homing.app.cluster.nodes import NodeFlags, name_servers
from homing.app.migrate.migration import Migration, guide, manifest, namespaced, object_name
from homing.app.migrate.reading import Workload
from homing.errors import ConfigError
from homing.kube.kinds.zone import ClusterNames, Soa

THEIRS: Final = {field.name.replace("_", "-"): field for field in fields(NodeFlags) if field.name != "default_ips"}
"""The flags of the Go node DNS that say its zone: ours but for one."""

NEEDED: Final = ("zone", "soa-ns", "soa-email")

BESIDE: Final = ("bind", "port", "kubeconfig", "leader-elect")
"""Flags that `homing dns` takes as they are, and that no Zone has."""


@dataclass(frozen=True, slots=True)
class Found:
    """Flags without their dashes, and whose they are: ``deployment/NAME``."""

    given: Mapping[str, str]
    workload: str = ""
    namespace: str = ""


def find_flags(workloads: Sequence[Workload], values: Sequence[Mapping[str, Any]]) -> Found:
    """The flags of the one node DNS among containers, else in values of a chart. Raises ConfigError."""
    found: list[Found] = []
    for item in workloads:
        for container in item.spec.template.spec.containers:
            flags = flags_of(container.words)
            if all(flag in flags for flag in NEEDED):
                found.append(Found(flags, f"{item.kind.lower()}/{item.metadata.name}", item.metadata.namespace))
    if not found:
        found = [Found(flags) for one in values if "zone" in (flags := flags_of_values(one))]
    if len(found) != 1:
        problem = (
            f"there are {len(found)} node DNS" if found else "there is no container with --zone, --soa-ns, --soa-email"
        )
        raise ConfigError("migrate", problem, "name the one by --namespace, or the file that has it")
    return found[0]


def migrate_flags(given: Mapping[str, str], *, workload: str = "", namespace: str = "") -> Migration:
    """From flags without their dashes. Raises ConfigError for what the Go node DNS would not take either."""
    missing = [f"--{flag}" for flag in NEEDED if not given.get(flag)]
    if missing:
        raise ConfigError(workload or "flags", f"misses {', '.join(missing)}", "the Go node DNS needs them too")
    known: dict[str, Any] = {}
    for flag, field in THEIRS.items():
        if flag in given:
            known[field.name] = _seconds(flag, given[flag]) if isinstance(field.default, int) else given[flag]
    flags = NodeFlags(**known)
    flags.template()
    strange = [flag for flag in given if flag not in (*THEIRS, *BESIDE)]
    notes = [f"--{flag} is no flag of Homing; it was left out." for flag in strange]
    words = [f"--{flag}={value}" if value else f"--{flag}" for flag, value in given.items() if flag not in strange]
    line = shlex.join(["homing", "dns", *words])
    name = object_name(flags.zone)
    steps = guide("node-dns", command=line, name=name, zone=flags.zone, where=namespaced(namespace),
                  workload=workload or "deployment/NAME")  # fmt: skip
    zone = manifest("Zone", name, _zone(flags))
    return Migration(f"The Go node DNS of {flags.zone}, as a Zone", steps, (zone,), notes=tuple(notes))


def _seconds(flag: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"--{flag}", f"{text[:40]!r} is not a number of seconds", "write it like 30")
    return int(text)


def flags_of(words: Sequence[str]) -> dict[str, str]:
    """The flags of a command line as Go reads them: one dash or two, the value behind ``=`` or as the next word."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        match = re.fullmatch(r"--?([A-Za-z][A-Za-z0-9-]*)(?:=(.*))?", word, re.DOTALL)
        if match is None:
            continue
        value = match[2]
        if value is None:
            value = rest.pop(0) if rest and not rest[0].startswith("-") else ""
        found[match[1]] = value
    return found


def flags_of_values(values: Mapping[str, Any]) -> dict[str, str]:
    """The flags that the values of its Helm chart give: ``config.soaNS`` is ``--soa-ns``."""
    config = values.get("config")
    found: dict[str, str] = {}
    for key, value in (cast("dict[str, object]", config) if isinstance(config, dict) else {}).items():
        if isinstance(value, str | int) and not isinstance(value, bool):
            found[re.sub(r"(?<=[a-z])(?=[A-Z])", "-", str(key)).lower()] = str(value)
    return found


def _zone(flags: NodeFlags) -> dict[str, Any]:
    template = flags.template()
    servers: list[dict[str, Any]] = []
    for name, addresses in name_servers(flags.soa_ns).items():
        glue = {"addresses": [str(address) for address in addresses]} if addresses else {}
        servers.append({"name": name.text.rstrip("."), **glue})
    soa, names = Soa(), ClusterNames()
    times = {
        "refreshSeconds": (flags.soa_refresh, soa.refresh_seconds),
        "retrySeconds": (flags.soa_retry, soa.retry_seconds),
        "expireSeconds": (flags.soa_expire, soa.expire_seconds),
        "negativeTTLSeconds": (flags.soa_neg_ttl, soa.negative_ttl_seconds),
    }
    keys = {
        "areasAnnotation": (flags.areas_annotation, names.areas_annotation),
        "ipsAnnotation": (flags.ips_annotation, names.ips_annotation),
        "serviceAnnotation": (flags.service_annotation, names.service_annotation),
        "ttlSeconds": (flags.ttl, names.ttl_seconds),
    }
    return {
        "origin": template.origin.text,
        "soa": {"email": flags.soa_email.rstrip("."), **_other(times)},
        "ttlSeconds": flags.soa_ttl,
        "nameServers": servers,
        "cluster": _other(keys),
    }


def _other(fields: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {key: value for key, (value, usual) in fields.items() if value != usual}
