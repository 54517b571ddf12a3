"""CustomResourceDefinitions (apiextensions.k8s.io/v1) of our kinds: names, columns of ``kubectl get``, schemas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from homing.kube.kinds import CLUSTER_PROVIDERS, DOMAINS, PROVIDERS, SITES, STRATO_DOMAINS, ZONES
from homing.kube.resource import Resource
from homing.kube.schema import schema_of

CATEGORY = "homing"
"""``kubectl get homing`` shows all of our kinds."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get``; with ``wide`` only of ``kubectl get -o wide``."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """What a CustomResourceDefinition says beside the schema. ``selectable`` fields can be asked for in a list."""

    resource: Resource[Any]
    columns: tuple[Column, ...]
    short: str = ""
    selectable: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the CustomResourceDefinition, ``PLURAL.GROUP``."""
        return f"{self.resource.plural}.{self.resource.group}"

    @property
    def file(self) -> str:
        """The name of the file that holds it, ``GROUP_PLURAL.yaml``."""
        return f"{self.resource.group}_{self.resource.plural}.yaml"


def _condition(name: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{name}")].{field}'


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_READY = Column("Ready", _condition("Ready"))
_REASON = Column("Reason", _condition("Ready", "reason"))
_PROVIDER = (
    Column("Type", ".status.type"),
    _READY,
    Column("Locked", _condition("Locked")),
    _REASON,
    Column("Domains", ".status.domains", "integer"),
    _AGE,
)

DEFINITIONS = (
    Definition(
        DOMAINS,
        (
            Column("FQDN", ".spec.fqdn"),
            Column("Addresses", ".status.addresses"),
            Column("Mode", ".status.mode"),
            _READY,
            _REASON,
            Column("Last Sync", ".status.lastSync", "date"),
            Column("Provider", ".spec.providerRef.name", wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
            _AGE,
        ),
        short="hdom",
        selectable=(".spec.fqdn", ".spec.providerRef.kind", ".spec.providerRef.name"),
    ),
    Definition(PROVIDERS, _PROVIDER, short="hprov"),
    Definition(CLUSTER_PROVIDERS, _PROVIDER, short="hcprov"),
    Definition(
        SITES,
        (
            Column("IPv4", ".status.ipv4"),
            Column("IPv6", ".status.ipv6"),
            Column("Detected", _condition("Detected")),
            Column("Disputed", _condition("Disputed")),
            Column("By", ".status.detectedBy"),
            Column("Last Round", ".status.detectedAt", "date", wide=True),
            _AGE,
        ),
        short="hsite",
    ),
    Definition(
        ZONES,
        (
            Column("Origin", ".spec.origin"),
            Column("Serial", ".status.serial", "integer"),
            Column("Records", ".status.records", "integer"),
            _READY,
            Column("Reason", _condition("Ready", "reason"), wide=True),
            _AGE,
        ),
        short="hzone",
    ),
    Definition(
        STRATO_DOMAINS,
        (
            Column("Fqdn", ".spec.fqdn"),
            Column("IP Address", ".status.ipAddress"),
            Column("Mode", ".status.mode"),
            Column("Successful", ".status.lastResult", "boolean"),
            Column("Last Run", ".status.lastLoop"),
            Column("Enabled", ".spec.enabled", "boolean"),
        ),
    ),
)
"""All our kinds, in the order in which ``homing crds`` prints them."""


def select(name: str) -> tuple[Definition, ...]:
    """The definitions that people mean by a kind, a plural, a short name or ``PLURAL.GROUP``; case does not matter."""
    return tuple(
        item
        for item in DEFINITIONS
        if name.lower() in {item.resource.kind.lower(), item.resource.plural, item.short or item.name, item.name}
    )


def manifest(definition: Definition) -> dict[str, Any]:
    """The CustomResourceDefinition, ready to be applied."""
    resource = definition.resource
    version: dict[str, Any] = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema_of(resource.type)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in definition.columns],
    }
    if definition.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in definition.selectable]
    names: dict[str, Any] = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "categories": [CATEGORY],
    }
    if definition.short:
        names["shortNames"] = [definition.short]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": definition.name, "labels": {"app.kubernetes.io/name": "homing"}},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": names,
            "versions": [version],
        },
    }


def to_yaml(definitions: Iterable[Definition]) -> str:
    """CustomResourceDefinitions as YAML documents, one text for one set of types."""
    import yaml

    return "".join(
        "---\n" + yaml.safe_dump(manifest(definition), sort_keys=False, allow_unicode=True, width=110)
        for definition in definitions
    )


def _column(column: Column) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**shown, "priority": 1} if column.wide else shown
