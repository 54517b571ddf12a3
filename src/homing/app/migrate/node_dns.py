"""The Go node DNS: the flags of its container, or the values of its chart, as a Zone; `homing dns` takes the flags."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from homing.app.cluster.nodes import NodeFlags
from homing.app.migrate.migration import Migration, guide, manifest, namespaced, object_name
from homing.app.migrate.reading import Workload
from homing.errors import ConfigError

TEXTS: Final = ("zone", "soa-ns", "soa-email", "areas-annotation", "ips-annotation", "service-annotation")
NUMBERS: Final = ("ttl", "soa-refresh", "soa-retry", "soa-expire", "soa-ttl", "soa-neg-ttl")
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
    known: dict[str, Any] = {flag.replace("-", "_"): given[flag] for flag in TEXTS if flag in given}
    for flag in NUMBERS:
        if flag in given:
            if not given[flag].isascii() or not given[flag].isdigit():
                raise ConfigError(f"--{flag}", f"{given[flag][:40]!r} is not a number of seconds", "write it like 30")
            known[flag.replace("-", "_")] = int(given[flag])
    flags = NodeFlags(**known)
    flags.template()
    strange = [flag for flag in given if flag not in (*TEXTS, *NUMBERS, *BESIDE)]
    notes = [f"--{flag} is no flag of Homing; it was left out." for flag in strange]
    words = [f"--{flag}={value}" if value else f"--{flag}" for flag, value in given.items() if flag not in strange]
    line = shlex.join(["homing", "dns", *words])
    name = object_name(flags.zone)
    steps = guide("node-dns", command=line, name=name, zone=flags.zone, where=namespaced(namespace),
                  workload=workload or "deployment/NAME")  # fmt: skip
    zone = manifest("Zone", name, _zone(flags))
    return Migration(f"The Go node DNS of {flags.zone}, as a Zone", steps, (zone,), notes=tuple(notes))


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
    for entry in (part.strip() for part in flags.soa_ns.split(";")):
        if entry:
            name, _, addresses = entry.partition(":")
            glue = [part.strip() for part in addresses.split(",") if part.strip()]
            servers.append({"name": name.strip().rstrip(".").lower(), **({"addresses": glue} if glue else {})})
    soa = {"email": flags.soa_email.rstrip(".")}
    seconds = {
        "refreshSeconds": (flags.soa_refresh, 3600),
        "retrySeconds": (flags.soa_retry, 900),
        "expireSeconds": (flags.soa_expire, 86400),
        "negativeTTLSeconds": (flags.soa_neg_ttl, 30),
    }
    names = {
        "areasAnnotation": (flags.areas_annotation, "k8s.pootis.network/node-areas"),
        "ipsAnnotation": (flags.ips_annotation, "k8s.pootis.network/node-ips"),
        "serviceAnnotation": (flags.service_annotation, "k8s.pootis.network/dns"),
        "ttlSeconds": (flags.ttl, 30),
    }
    return {
        "origin": template.origin.text,
        "soa": {**soa, **_other(seconds)},
        "ttlSeconds": flags.soa_ttl,
        "nameServers": servers,
        "cluster": _other(names),
    }


def _other(fields: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {key: value for key, (value, usual) in fields.items() if value != usual}
