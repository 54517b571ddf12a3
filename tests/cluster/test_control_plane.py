"""The control plane of the tests is a real one: it guards, keeps and forgets as Kubernetes does."""

from __future__ import annotations

import pytest

from tests.cluster.api import ApiRefused
from tests.cluster.control_plane import NOBODY, ControlPlane
from tests.cluster.fixtures import Cluster
from tests.waiting import until

pytestmark = pytest.mark.cluster

ROLE = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader}]
"""


def test_a_service_account_may_what_its_role_allows_and_no_more(cluster: Cluster) -> None:
    """A token of a service account reads ConfigMaps of its namespace and is refused Secrets, and other namespaces."""
    cluster.apply(ROLE)
    reader = cluster.plane.api(cluster.plane.token("reader", cluster.namespace))
    here = f"/api/v1/namespaces/{cluster.namespace}"
    until(lambda: reader.request("GET", f"{here}/configmaps")["kind"] == "ConfigMapList")
    for path in (f"{here}/secrets", "/api/v1/namespaces/default/configmaps"):
        with pytest.raises(ApiRefused, match="forbidden") as refused:
            reader.request("GET", path)
        assert refused.value.status == 403


def test_kubectl_speaks_for_a_service_account(cluster: Cluster) -> None:
    """The kubeconfig of a service account makes kubectl that service account, in its namespace."""
    cluster.apply(ROLE)
    kubeconfig = cluster.as_service_account("reader")
    assert cluster.plane.kubectl(
        "auth", "whoami", "-o=jsonpath={.status.userInfo.username}", kubeconfig=kubeconfig
    ) == (f"system:serviceaccount:{cluster.namespace}:reader")
    with pytest.raises(AssertionError, match="forbidden"):
        cluster.plane.kubectl("create", "configmap", "one", kubeconfig=kubeconfig)


def test_nobody_may_nothing(cluster: Cluster) -> None:
    """A user without a role is authenticated, and refused."""
    with pytest.raises(AssertionError, match="Forbidden"):
        cluster.plane.kubectl("get", "configmaps", kubeconfig=cluster.kubeconfig(NOBODY))


def test_objects_outlive_the_api_server_and_etcd(cluster: Cluster) -> None:
    """What was stored is there after the API server was killed and started, and after etcd was."""
    plane = cluster.plane
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps/kept"
    plane.kill_apiserver()
    with pytest.raises(OSError, match="refused"):
        plane.admin.request("GET", path)
    plane.start_apiserver()
    assert plane.admin.request("GET", path)["data"] == {"a": "b"}
    plane.restart_etcd()
    assert plane.admin.request("GET", path)["data"] == {"a": "b"}


def test_the_controllers_work(control_plane: ControlPlane) -> None:
    """A namespace gets its service account, and goes when it is deleted, with what is in it."""
    api = control_plane.admin
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "passing"}})
    until(lambda: api.request("GET", "/api/v1/namespaces/passing/serviceaccounts")["items"], 60, "a service account")
    api.request("DELETE", "/api/v1/namespaces/passing")

    def is_gone() -> bool:
        try:
            api.request("GET", "/api/v1/namespaces/passing")
        except ApiRefused as refused:
            return refused.status == 404
        return False

    until(is_gone, 60, "the end of the namespace")
