"""A pod of Homing's image runs on a real node as the strictest Pod Security asks for."""

from __future__ import annotations

import copy
from typing import Any

from tests.deploy.manifests import CHART
from tests.image.builder import Image
from tests.node.cell import ADDRESS
from tests.node.install import helm, of
from tests.node.manifests import RESTRICTED, namespace
from tests.node.node import Node


def test_a_pod_is_ready_as_anybody_with_read_only_files(node: Node, image: Image) -> None:
    """In a namespace at Pod Security level restricted, ``homing up`` becomes Ready with files that are read-only."""
    node.apply(namespace("strict", "restricted"), _pod("up", image))
    node.kubectl("wait", "--namespace=strict", "--for=condition=Ready", "pod/up", "--timeout=60s", timeout=70.0)
    page = node.kubectl("get", "--raw=/api/v1/namespaces/strict/pods/up:8053/proxy/metrics")
    assert "homing_build_info" in page


def test_port_53_takes_a_sysctl_of_the_pod_and_no_capability(node: Node, image: Image) -> None:
    """A pod that opens low ports by its sysctl listens on port 53 at level restricted. NET_BIND_SERVICE does not do for
    who is not root: Kubernetes gives no ambient capabilities."""
    opens = {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
    low = ("--dns", "0.0.0.0:53")
    node.apply(namespace("strict", "restricted"), _pod("sysctl", image, *low, security=opens))
    capable = _pod("capability", image, *low)
    capable["spec"]["restartPolicy"] = "Never"
    capable["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] = ["NET_BIND_SERVICE"]
    node.apply(capable)
    node.kubectl("wait", "--namespace=strict", "--for=condition=Ready", "pod/sysctl", "--timeout=60s", timeout=70.0)
    address = node.get("pod", "sysctl", "--namespace=strict")["status"]["podIP"]
    assert "status: NOERROR" in node.cell.run("dig", f"@{address}", "home.arpa", "SOA").stdout
    failed = "--for=jsonpath={.status.phase}=Failed"
    node.kubectl("wait", "--namespace=strict", failed, "pod/capability", "--timeout=60s", timeout=70.0)
    assert "Permission denied" in node.kubectl("logs", "--namespace=strict", "capability")


def test_the_chart_opens_low_ports_of_the_node(node: Node, image: Image) -> None:
    """By ``hostPort`` and on the host's network, dig at the node's address has answers over UDP and TCP. Nobody is root
    but on the host's network, and there with the capability of low ports alone."""
    sort = {"edge": ("nodeDNS.hostPort=53", 53), "low": ("nodeDNS.hostNetwork=true,nodeDNS.port=54", 54)}
    for name, (flags, _) in sort.items():
        base = f"operator.enabled=false,crds.install=false,nodeDNS.enabled=true,nodeDNS.kind=DaemonSet,{flags}"
        zone = f"config.zone={name}.example,config.soaNS=ns1.{name}.example:{ADDRESS},config.soaEmail=a@example.net"
        ours = ",".join(f"image.{key}={value}" for key, value in of(image).items())
        values = [f"--set={each}" for each in (base, zone, ours)]
        helm(node, "install", name, str(CHART), "--create-namespace", *values, namespace=name)
    for name, (_, port) in sort.items():
        node.kubectl("rollout", "status", f"--namespace={name}", "--timeout=60s", f"daemonset/{name}-homing-node-dns")
        for flag in ("+notcp", "+tcp"):
            said = node.cell.run("dig", f"@{ADDRESS}", f"-p{port}", flag, "+short", f"ns1.{name}.example").stdout
            assert said.split() == [ADDRESS]
    assert _rights(node, "edge") == {("65532", 0)}
    assert _rights(node, "low") == {("0", 1 << 10)}  # CAP_NET_BIND_SERVICE
    for name in sort:
        helm(node, "uninstall", name, namespace=name)


def _rights(node: Node, namespace: str) -> set[tuple[str, int]]:
    """Who the processes of Homing in a namespace are, and their capabilities."""
    (pod,) = node.pods(namespace, "app.kubernetes.io/component=node-dns")
    ours = [each for each in node.cell.pods(pod["metadata"]["uid"]) if each["Name"].startswith("homing")]
    return {(each["Uid"].split()[0], int(each["CapEff"], 16)) for each in ours}


def _pod(name: str, image: Image, *words: str, security: dict[str, Any] | None = None) -> dict[str, Any]:
    container = {
        "name": "homing",
        "image": image.name,
        "args": ["up", "--web", ":8053", *words],
        "securityContext": copy.deepcopy(RESTRICTED),
        "readinessProbe": {"httpGet": {"port": 8053, "path": "/livez"}, "periodSeconds": 1},
    }
    spec = {"automountServiceAccountToken": False, "containers": [container], "securityContext": security or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "strict"}, "spec": spec}
