"""What users of the three systems have: their manifests in files, or their objects in a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from homing.errors import ConfigError
from homing.kube.client import KubeClient
from homing.kube.kinds.strato import STRATO_GROUP, StratoDomain
from homing.kube.objects import ConfigMap, ObjectMeta
from homing.kube.resource import Resource

MAX_FILE = 4 * 1024 * 1024
"""Bytes of one file."""

S = TypeVar("S", bound=Struct)


class Container(Struct, frozen=True):
    """A container and its command line."""

    name: str = ""
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The whole command line."""
        return (*(self.command or ()), *(self.args or ()))


class PodSpec(Struct, frozen=True):
    """Its containers."""

    containers: tuple[Container, ...] = ()


class Template(Struct, frozen=True):
    """Of the pods."""

    spec: PodSpec = PodSpec()


class WorkloadSpec(Struct, frozen=True):
    """What runs."""

    template: Template = Template()


class Workload(Struct, frozen=True):
    """A Deployment, a DaemonSet or a StatefulSet."""

    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
    spec: WorkloadSpec = WorkloadSpec()


WORKLOADS = tuple(
    Resource("apps", "v1", plural, kind, Workload, namespaced=True)
    for plural, kind in (("deployments", "Deployment"), ("daemonsets", "DaemonSet"), ("statefulsets", "StatefulSet"))
)


def documents(files: Iterable[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of YAML or JSON files and of the lists in them, each with the file's name. Raises ConfigError."""
    import yaml

    for path in files:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE + 1)
            if len(data) > MAX_FILE:
                raise ConfigError(str(path), "is too long", f"give at most {MAX_FILE >> 20} MiB at a time")
            found: list[object] = list(yaml.safe_load_all(data.decode("utf-8-sig")))
        except OSError as error:
            raise ConfigError(str(path), f"cannot be read: {error.strerror}", "name a file") from None
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
            raise ConfigError(str(path), "is not YAML", "give manifests, as kubectl get -o yaml prints them") from None
        for document in found:
            for item in _items(document):
                if isinstance(item, dict):
                    yield str(path), cast("Mapping[str, Any]", item)


def _items(document: object) -> Sequence[object]:
    """What a list holds, or the one object."""
    if isinstance(document, dict):
        items = cast("dict[str, object]", document).get("items")
        if isinstance(items, list):
            return cast("list[object]", items)
        return (cast("dict[str, object]", document),)
    return ()


def of_kind(found: Iterable[tuple[str, Mapping[str, Any]]], kind: str, group: str, type_: type[S]) -> list[S]:
    """The objects of a kind, whatever its version. Raises ConfigError."""
    made: list[S] = []
    for path, item in found:
        if item.get("kind") == kind and str(item.get("apiVersion", "")).rpartition("/")[0] == group:
            try:
                made.append(msgspec.convert(item, type_, strict=False))
            except msgspec.ValidationError as error:
                raise ConfigError(
                    path, f"a {kind} cannot be read: {error}", "compare it with kubectl explain"
                ) from None
    return made


def strato_domains(files: Sequence[Path]) -> list[StratoDomain]:
    """Domains of the Strato controller in files."""
    return of_kind(documents(files), "Domain", STRATO_GROUP, StratoDomain)


def config_maps(files: Sequence[Path]) -> list[ConfigMap]:
    """ConfigMaps in files."""
    return of_kind(documents(files), "ConfigMap", "", ConfigMap)


def workloads(files: Sequence[Path]) -> list[Workload]:
    """What runs containers, in files."""
    found = list(documents(files))
    return [item for resource in WORKLOADS for item in of_kind(found, resource.kind, "apps", Workload)]


async def workloads_of(client: KubeClient, namespace: str) -> list[Workload]:
    """What runs containers, in a cluster; everywhere without namespace. Raises KubeError."""
    return [
        msgspec.structs.replace(item, kind=resource.kind)
        for resource in WORKLOADS
        for item in await client.list(resource, namespace)
    ]
