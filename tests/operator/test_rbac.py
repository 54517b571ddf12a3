"""The roles of deploy/rbac: each component does all it does with them, uses each of them, and may do nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homing.standins.internet import StandInInternet
from tests.app.running import HOME
from tests.cluster.api import ApiRefused
from tests.cluster.nodes import create_nodes, node
from tests.operator.esddns import accept_stand_ins, give
from tests.operator.rights import Document, Right, asked, documents, granted, place, remove
from tests.operator.running import (
    CLUSTER_PROVIDERS,
    DOMAINS,
    LEASE,
    PROVIDERS,
    SITES,
    STRATO_DOMAINS,
    Kube,
    Process,
)
from tests.waiting import until

pytestmark = pytest.mark.cluster


@pytest.fixture
def placed(kube: Kube) -> Iterator[list[Document]]:
    """What a test placed; that of the whole cluster goes with it."""
    made: list[Document] = []
    yield made
    remove(kube, made)
    kube.delete(CLUSTER_PROVIDERS, f"house-{kube.namespace}")


def test_operator_and_agent_need_every_right_that_they_have_and_no_other(
    kube: Kube, world: StandInInternet, tmp_path: Path, placed: list[Document]
) -> None:
    """Under their accounts they do all they can do: nothing is refused; without any right something were."""
    placed += place(kube, "operator.yaml")
    placed += place(kube, "agent.yaml")
    with leading(kube, world, tmp_path) as leader:
        follow_esddns(kube, world)
        publish_and_remove(kube, world)
        lock_an_account(kube, world)
        with agent(kube, tmp_path) as observer:
            until(lambda: kube.status(SITES, "default").get("detectedBy") == kube.namespace, 15, "the agent's word")
            kube.domain("late", "late.example.org", {"wan": {}})
            kube.wait_for(DOMAINS, "late")
            assert "system:serviceaccount" not in observer.text
        assert "system:serviceaccount" not in leader.text, "the API server names an account when it refuses"
    for account in ("homing-operator", "homing-agent"):
        used, refused = asked(kube, account)
        assert refused == []
        rights = granted([item for item in placed if is_of(item, account)])
        assert unneeded(rights, used) == set(), account


def test_a_scoped_operator_keeps_to_its_namespaces(
    kube: Kube, world: StandInInternet, tmp_path: Path, placed: list[Document]
) -> None:
    """It publishes and tells as ever, and asks for nothing outside; a Secret elsewhere that a ClusterProvider names is
    told to be forbidden."""
    placed += place(kube, "operator-scoped.yaml")
    with leading(kube, world, tmp_path, "--watch-namespace", kube.namespace):
        follow_esddns(kube, world)
        kube.patch(SITES, "default", {"spec": {"detect": {"timeoutSeconds": 3}}})  # it begins to observe once more
        until(lambda: max(counts(kube, "default", SITES, "default")) > 1, 30, "an event of the Site that is counted")
        used, refused = asked(kube, "homing-operator")
        assert refused == []
        rights = granted(placed)
        assert {right for right in unneeded(rights, used) if right.namespace == "default"} == set()
        assert {one.namespace for one in used} == {"", kube.namespace, "default"}
        publish_at_cluster_provider(kube, world, secret_in="kube-system")
        told = kube.wait_for(DOMAINS, "node", status="False", reason="SecretForbidden")
        assert "may not read Secret kube-system/gandi" in told["message"]


def is_of(item: Document, account: str) -> bool:
    """Whether a role or a binding is of an account; they begin with its name."""
    return str(item["metadata"]["name"]).startswith(account)


def unneeded(rights: set[Right], used: set[Right]) -> set[Right]:
    """The rights without which everything that was done could have been done too."""
    return {
        right
        for right in rights
        if not any(
            right.covers(one) and not any(other.covers(one) for other in rights if other != right) for one in used
        )
    }


def follow_esddns(kube: Kube, world: StandInInternet) -> None:
    """The operator creates Site default, observes for it, and publishes what ESDDNS's users have."""
    give(kube, world)
    accept_stand_ins(kube)
    kube.wait_for(DOMAINS, "esddns", seconds=15)
    kube.wait_for(PROVIDERS, "esddns")
    until(lambda: (kube.get("v1/configmaps", "esddns-wan-ip") or {}).get("data"), 30, "the ConfigMap")


def publish_and_remove(kube: Kube, world: StandInInternet) -> None:
    """A Domain that follows nodes; deleted, its record goes with it."""
    areas = {"k8s.pootis.network/node-areas": "home"}
    made = node(kube.namespace, external=[str(HOME)], labels=kube.cluster.labels, annotations=areas)
    create_nodes(kube.cluster.plane.admin, [made])
    kube.gandi(world)
    publish_at_cluster_provider(kube, world, secret_in=kube.namespace)
    kube.wait_for(DOMAINS, "node")
    kube.wait_for(CLUSTER_PROVIDERS, f"house-{kube.namespace}")
    kube.delete(DOMAINS, "node")
    until(lambda: kube.get(DOMAINS, "node") is None, 30, "the end of the Domain")
    assert world.gandi.values("example.org", "node", "A") == ()


def publish_at_cluster_provider(kube: Kube, world: StandInInternet, *, secret_in: str) -> None:
    """A Domain that follows nodes, at a ClusterProvider with its Secret in a namespace."""
    name = f"house-{kube.namespace}"
    spec: dict[str, Any] = {
        "gandi": {"server": f"{world.gandi_url}/v5/livedns"},
        "secretRef": {"name": "gandi", "namespace": secret_in},
        "allowedDomains": ["example.org"],
        "allowedNamespaces": [kube.namespace],
    }
    kube.put(CLUSTER_PROVIDERS, "ClusterProvider", name, spec=spec)
    reference = {"kind": "ClusterProvider", "name": name}
    kube.domain("node", "node.example.org", {"nodes": {"area": "home"}}, providerRef=reference, deletionPolicy="Delete")


def lock_an_account(kube: Kube, world: StandInInternet) -> None:
    """A Strato Domain with a wrong password; asked for again, what happens is an event that is counted."""
    world.strato.passwords["www.example.de"] = "another one"
    kube.strato_domain("www", "www.example.de", ipAddress="8.8.4.4")
    kube.wait_for(STRATO_DOMAINS, "www", "Locked")
    found = kube.get(STRATO_DOMAINS, "www")
    assert found is not None
    assert "badauth" in found["metadata"]["annotations"]["homing.dev/lockouts"]
    kube.patch(STRATO_DOMAINS, "www", {"metadata": {"annotations": {"homing.dev/reconcile": "1"}}})
    until(lambda: max(counts(kube, kube.namespace, STRATO_DOMAINS, "www")) > 1, 30, "an event that is counted")


def counts(kube: Kube, namespace: str, resource: str, name: str) -> list[int]:
    """How often the events of an object happened."""
    uid = (kube.get(resource, name) or {})["metadata"]["uid"]
    found = kube.cluster.plane.admin.request("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    return [item["count"] for item in found if item["involvedObject"]["uid"] == uid]


def leading(kube: Kube, world: StandInInternet, folder: Path, *flags: str) -> Process:
    """An operator under its own account."""
    words = ["operator", "--namespace", kube.namespace, "--lease-duration", str(LEASE)]
    words += ["--strato-server", world.strato_url, "--gandi-server", f"{world.gandi_url}/v5/livedns", *flags]
    words += ["--web", "0.0.0.0:0", "--advertise", "192.0.2.10"]
    return Process(folder, kube.cluster.as_service_account("homing-operator"), *words)


def agent(kube: Kube, folder: Path) -> Process:
    """An agent of the node that is named after the namespace."""
    words = ("agent", "--namespace", kube.namespace, "--node-name", kube.namespace, "--lease-duration", str(LEASE))
    return Process(folder, kube.cluster.as_service_account("homing-agent"), *words)


HOMING, CORE = "/apis/homing.dev/v1alpha1", "/api/v1"
STRATO = "/apis/dyndns.contrib.strato.com/v1alpha1"
HERE = f"{CORE}/namespaces/NS"
"""NS stands for the namespace of the component."""
MINE, LEASE_OF = f"{HOMING}/namespaces/NS", "/apis/coordination.k8s.io/v1/namespaces/NS/leases"

NOBODY_MAY = (
    f"PATCH {CORE}/nodes/any",
    f"DELETE {CORE}/nodes/any",
    f"POST {HERE}/pods",
    f"GET {HERE}/pods",
    f"POST {HERE}/secrets",
    f"PATCH {HERE}/secrets/esddns-gandi-credentials",
    f"DELETE {HERE}/secrets/esddns-gandi-credentials",
    f"POST {HERE}/serviceaccounts/homing-operator/token",
    f"POST {MINE}/domains",
    f"DELETE {MINE}/domains/any",
    f"POST {MINE}/providers",
    f"DELETE {MINE}/providers/any",
    f"PATCH {MINE}/providers/any",
    f"PATCH {HOMING}/clusterproviders/any",
    f"POST {HOMING}/sites",
    f"PATCH {HOMING}/sites/other",
    f"DELETE {HOMING}/sites/default",
    f"PATCH {HOMING}/zones/any",
    f"POST {LEASE_OF}",
    f"DELETE {LEASE_OF}/homing-operator",
    f"PATCH {LEASE_OF}/homing-operator",
    f"PUT {LEASE_OF}/other",
    f"POST {HERE}/configmaps",
    f"GET {HERE}/configmaps",
    f"GET {HERE}/configmaps/kube-root-ca.crt",
    f"PATCH {HERE}/configmaps/esddns-config",
    f"DELETE {HERE}/configmaps/esddns-wan-ip",
    "PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/homing-operator",
    "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions",
)

AGENTS_MAY_NOT = (
    f"GET {CORE}/nodes",
    f"GET {HERE}/secrets",
    f"GET {HERE}/secrets/esddns-gandi-credentials",
    f"GET {MINE}/domains",
    f"PATCH {MINE}/domains/any",
    f"PATCH {MINE}/domains/any/status",
    f"GET {MINE}/providers",
    f"PATCH {HOMING}/sites/default",
    f"GET {LEASE_OF}",
    f"GET {LEASE_OF}/homing-operator",
    f"PUT {LEASE_OF}/homing-operator",
    f"PATCH {HERE}/configmaps/esddns-wan-ip",
    f"POST {HERE}/events",
)

OPERATORS_MAY_NOT = (
    f"PUT {LEASE_OF}/homing-site-default",
    f"PATCH {HOMING}/sites/other/status",
    f"PATCH {HOMING}/zones/any/status",
)

SCOPED_MAY_NOT = (
    f"GET {CORE}/secrets",
    f"GET {CORE}/namespaces/kube-system/secrets",
    f"GET {CORE}/namespaces/kube-system/secrets/any",
    f"GET {HOMING}/domains",
    f"GET {HOMING}/namespaces/kube-system/domains",
    f"PATCH {HOMING}/namespaces/kube-system/domains/any/status",
    f"PATCH {STRATO}/namespaces/kube-system/domains/any/status",
    f"GET {CORE}/services",
    f"POST {CORE}/namespaces/kube-system/events",
)

AGENTS_MAY = (f"GET {CORE}/nodes/any", f"PATCH {HOMING}/sites/default/status", f"PUT {LEASE_OF}/homing-site-default")
OPERATORS_MAY = (f"GET {HERE}/secrets/any", f"PATCH {MINE}/domains/any/status", f"PUT {LEASE_OF}/homing-operator")


@pytest.mark.parametrize(
    ("file", "account", "may", "may_not"),
    [
        ("agent.yaml", "homing-agent", AGENTS_MAY, NOBODY_MAY + AGENTS_MAY_NOT),
        ("operator.yaml", "homing-operator", OPERATORS_MAY, NOBODY_MAY + OPERATORS_MAY_NOT),
        ("operator-scoped.yaml", "homing-operator", OPERATORS_MAY, NOBODY_MAY + OPERATORS_MAY_NOT + SCOPED_MAY_NOT),
    ],
)
def test_what_a_component_must_not_do_is_refused(
    file: str, account: str, may: tuple[str, ...], may_not: tuple[str, ...], kube: Kube, placed: list[Document]
) -> None:
    """The API server answers 403 to all of it, and to nothing of what the component does."""
    placed += place(kube, file)
    api = kube.cluster.plane.api(kube.cluster.plane.token(account, kube.namespace))

    def is_refused(request: str) -> bool:
        method, path = request.replace("/NS", f"/{kube.namespace}").split()
        patch = method == "PATCH"
        try:
            api.request(
                method,
                path if method == "GET" else f"{path}?dryRun=All",
                None if method == "GET" else {},
                "application/merge-patch+json" if patch else "application/json",
            )
        except ApiRefused as refused:
            return refused.status == 403
        return False

    assert [request for request in may_not if not is_refused(request)] == []
    assert [request for request in may if is_refused(request)] == []


def test_the_scoped_operator_differs_in_where_its_role_holds() -> None:
    """Both manifests have the same accounts and roles; the scoped one binds the namespaced role by namespace."""

    def common(file: str) -> list[Document]:
        return [
            item
            for item in documents(file)
            if item["metadata"]["name"] != "homing-operator-namespace" or item["kind"] == "ClusterRole"
            if item["metadata"].get("namespace") != "default"
        ]

    assert common("operator.yaml") == common("operator-scoped.yaml")
