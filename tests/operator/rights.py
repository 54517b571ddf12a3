"""The manifests of deploy/rbac in a test's namespaces, and what the API server's audit log says was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.operator.running import Kube

RBAC = Path(__file__).parents[2] / "deploy" / "rbac"

ANY = "*"
"""Stands for all namespaces, or all names."""

Document = dict[str, Any]


class Right(NamedTuple):
    """One verb on one resource; ``resource`` is like ``sites.homing.dev/status``."""

    namespace: str
    resource: str
    name: str
    verb: str

    def covers(self, other: Right) -> bool:
        """Whether this right allows what the other one needs."""
        return (self.resource, self.verb) == (other.resource, other.verb) and all(
            mine in (ANY, theirs) for mine, theirs in ((self.namespace, other.namespace), (self.name, other.name))
        )


def documents(file: str) -> list[Document]:
    """The objects of a manifest."""
    return [dict(item) for item in yaml.safe_load_all((RBAC / file).read_text()) if item]


def place(kube: Kube, file: str, web: str = "") -> list[Document]:
    """Apply a manifest with the test's namespace in the place of ``homing`` (and ``web``), and cluster-wide objects of
    its own; gives them as they were applied."""
    namespaces = {"homing": kube.namespace, "web": web or kube.namespace}
    placed: list[Document] = []
    for item in documents(file):
        meta, ref = item["metadata"], item.get("roleRef", {})
        if "namespace" in meta:
            meta["namespace"] = namespaces.get(meta["namespace"], meta["namespace"])
        if item["kind"].startswith("Cluster") or meta.get("namespace") == "default":
            meta["name"] += f"-{kube.namespace}"
        if ref.get("kind") == "ClusterRole" or (ref and meta.get("namespace") == "default"):
            ref["name"] += f"-{kube.namespace}"
        for subject in item.get("subjects", ()):
            subject["namespace"] = namespaces[subject["namespace"]]
        placed.append(item)
    kube.cluster.plane.apply(yaml.safe_dump_all(placed))
    return placed


def remove(kube: Kube, placed: list[Document]) -> None:
    """Delete what does not go with the test's namespace."""
    ours = [item for item in placed if item["metadata"].get("namespace") != kube.namespace]
    kube.cluster.plane.kubectl(
        "delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(ours)
    )


def granted(placed: list[Document]) -> set[Right]:
    """Every right that the bindings among these objects give."""
    roles = {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item["rules"]
        for item in placed
        if item["kind"] in ("Role", "ClusterRole")
    }
    found: set[Right] = set()
    for item in placed:
        if not item["kind"].endswith("Binding"):
            continue
        namespace, ref = item["metadata"].get("namespace", ""), item["roleRef"]
        where = namespace if ref["kind"] == "Role" else ""
        for rule in roles[ref["kind"], where, ref["name"]]:
            found |= set(_rights(rule, namespace or ANY))
    return found


def _rights(rule: Mapping[str, list[str]], namespace: str) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for name in rule.get("resourceNames", [ANY]):
                for verb in rule["verbs"]:
                    yield Right(namespace, _resource(group, resource), name, verb)


def asked(kube: Kube, account: str) -> tuple[set[Right], list[str]]:
    """What a service account of the test's namespace was allowed, and what it was refused, as the audit log tells."""
    user = f"system:serviceaccount:{kube.namespace}:{account}"
    allowed: set[Right] = set()
    refused: list[str] = []
    for line in kube.cluster.plane.audit.read_text().splitlines():
        event = json.loads(line)
        if event["user"]["username"] != user:
            continue
        if event["annotations"].get("authorization.k8s.io/decision") != "allow":
            refused.append(f"{event['verb']} {event['requestURI']}")
            continue
        status = event.get("responseStatus", {}).get("code", 0)
        ref = event.get("objectRef")
        if ref is None:
            continue
        resource = _resource(ref.get("apiGroup", ""), ref["resource"], ref.get("subresource", ""))
        # A PUT or an apply that made an object was asked for create too, with the name; the log has but the request.
        verbs = [event["verb"], *(["create"] if status == 201 and event["verb"] != "create" else [])]
        allowed |= {Right(ref.get("namespace", ""), resource, ref.get("name", ""), verb) for verb in verbs}
    return allowed, refused


def _resource(group: str, resource: str, sub: str = "") -> str:
    plural, _, within = resource.partition("/")
    sub = sub or within
    return ".".join(part for part in (plural, group) if part) + (f"/{sub}" if sub else "")
