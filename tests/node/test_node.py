"""A pod of Homing's image runs on a real node as the strictest Pod Security asks for."""

from __future__ import annotations

from tests.image.builder import Image
from tests.node.manifests import RESTRICTED
from tests.node.node import Node


def test_a_pod_is_ready_as_anybody_with_read_only_files(node: Node, image: Image) -> None:
    """In a namespace at Pod Security level restricted, ``homing up`` becomes Ready with files that are read-only."""
    node.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "strict", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "up", "namespace": "strict"},
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [
                    {
                        "name": "homing",
                        "image": image.name,
                        "args": ["up", "--web", ":8053"],
                        "securityContext": RESTRICTED,
                        "readinessProbe": {"httpGet": {"port": 8053, "path": "/livez"}, "periodSeconds": 1},
                    }
                ],
            },
        },
    )
    node.kubectl("wait", "--namespace=strict", "--for=condition=Ready", "pod/up", "--timeout=60s", timeout=70.0)
    page = node.kubectl("get", "--raw=/api/v1/namespaces/strict/pods/up:8053/proxy/metrics")
    assert "homing_build_info" in page
