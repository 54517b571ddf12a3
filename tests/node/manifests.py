"""What is applied to the node: the parts of Homing as Deployments and a DaemonSet, with the roles of deploy/rbac."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from homing.kube.crd import DEFINITIONS, to_yaml
from tests.image.builder import ROOT
from tests.node.internet import Internet

NAMESPACE, AGENTS = "homing", "homing-agent"
"""Of operator and DNS server, at Pod Security level restricted; of the agents, which need the host network."""

ZONES = "homing-dns"
"""The Service that answers for kind Zone."""

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The security context of every container."""


def namespace(name: str, level: str) -> dict[str, Any]:
    """A namespace at a level of Pod Security."""
    labels = {"pod-security.kubernetes.io/enforce": level}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def kinds() -> Iterator[dict[str, Any]]:
    """The kinds of Homing."""
    yield from yaml.safe_load_all(to_yaml(DEFINITIONS))


def parts(image: str, internet: Internet) -> Iterator[dict[str, Any]]:
    """Namespaces, roles, and all that runs."""
    yield namespace(AGENTS, "privileged")
    for name in ("operator", "dns", "agent"):
        for found in yaml.safe_load_all((ROOT / f"deploy/rbac/{name}.yaml").read_text()):
            yield _of_agents(found) if name == "agent" else found
    yield from _reads_the_key_of_a_zone()
    operator = ["operator", *internet.operator_flags]
    # What still comes to an ending pod is answered, until kube-proxy has seen that it is not ready any more.
    dns = ["dns", "--kubernetes", "--port=5353", "--workers=1", "--web=:8080", "--linger=8"]
    yield trusting(_workload("Deployment", "homing-operator", image, operator, replicas=2))
    yield _workload(
        "DaemonSet", "homing-agent", image, ["agent", f"--namespace={NAMESPACE}", "--listen=:9808"], port=9808
    )
    yield _workload("Deployment", ZONES, image, dns, replicas=2)
    yield _service()


def workload(name: str, space: str, image: str) -> Iterator[dict[str, Any]]:
    """Something that a user runs, with a Service that asks for a name."""
    yield namespace(space, "restricted")
    made = _workload("Deployment", name, image, ["up", "--web=:8080"], replicas=1, space=space)
    del made["spec"]["template"]["spec"]["serviceAccountName"]
    yield made
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": space, "annotations": {"k8s.pootis.network/dns": "true"}},
        "spec": {"selector": _labels(name), "ports": [{"port": 80, "targetPort": 8080}]},
    }


def trusting(made: dict[str, Any]) -> dict[str, Any]:
    """Let the operator trust the stand-ins, by the ConfigMap of the authority."""
    pod = made["spec"]["template"]["spec"]
    pod["volumes"].append({"name": "authority", "configMap": {"name": "authority"}})
    pod["containers"][0]["volumeMounts"].append({"name": "authority", "mountPath": "/authority"})
    pod["containers"][0]["env"].append({"name": "SSL_CERT_FILE", "value": "/authority/ca.pem"})
    return made


def _reads_the_key_of_a_zone() -> Iterator[dict[str, Any]]:
    """deploy/rbac/dns.yaml says that each Secret with a TSIG key wants such a Role; it is that of the examples."""
    metadata = {"name": "homing-dns", "namespace": "default"}
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["example-com-secondary"]}
    api = "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": "homing-dns", "namespace": NAMESPACE}
    role = {"apiGroup": api, "kind": "Role", "name": "homing-dns"}
    yield {
        "apiVersion": f"{api}/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": [{**rule, "verbs": ["list", "watch"]}],
    }
    yield {
        "apiVersion": f"{api}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": role,
        "subjects": [account],
    }


def _of_agents(found: dict[str, Any]) -> dict[str, Any]:
    """The agents' account is in a namespace of its own; their Lease is where the operator's is."""
    if found["kind"] == "ServiceAccount":
        found["metadata"]["namespace"] = AGENTS
    for subject in found.get("subjects", ()):
        subject["namespace"] = AGENTS
    return dict(found)


def _workload(
    kind: str,
    name: str,
    image: str,
    words: list[str],
    *,
    replicas: int = 0,
    port: int = 8080,
    space: str = NAMESPACE,
) -> dict[str, Any]:
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_IP": "status.podIP",
        "NODE_NAME": "spec.nodeName",
    }
    container: dict[str, Any] = {
        "name": "homing",
        "image": image,
        "imagePullPolicy": "Never",
        "args": words,
        "env": [{"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}} for key, path in fields.items()],
        "securityContext": RESTRICTED,
        "readinessProbe": {"httpGet": {"port": port, "path": "/readyz"}, "periodSeconds": 1, "timeoutSeconds": 5},
        # The first answer may take long where many pods start at once; later a pod that hangs is found soon.
        "startupProbe": {"httpGet": {"port": port, "path": "/livez"}, "periodSeconds": 1, "failureThreshold": 120},
        "livenessProbe": {"httpGet": {"port": port, "path": "/livez"}, "periodSeconds": 5, "timeoutSeconds": 5},
        "volumeMounts": [{"name": "state", "mountPath": "/var/lib/homing"}],
    }
    pod: dict[str, Any] = {
        "serviceAccountName": name,
        "securityContext": {"fsGroup": 65532},
        "containers": [container],
        "volumes": [{"name": "state", "emptyDir": {}}],
    }
    spec: dict[str, Any] = {
        "selector": {"matchLabels": _labels(name)},
        "template": {"metadata": {"labels": _labels(name)}, "spec": pod},
    }
    if kind == "DaemonSet":
        space = AGENTS
        pod |= {"hostNetwork": True, "tolerations": [{"operator": "Exists"}]}
    else:
        spec["replicas"] = replicas
    metadata = {"name": name, "namespace": space}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def _service() -> dict[str, Any]:
    ports = [{"name": kind.lower(), "port": 53, "targetPort": 5353, "protocol": kind} for kind in ("UDP", "TCP")]
    spec = {"selector": _labels(ZONES), "ports": ports}
    metadata = {"name": ZONES, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _labels(name: str) -> dict[str, str]:
    """As the chart's."""
    return {"app.kubernetes.io/component": name.removeprefix("homing-")}
