"""What is applied to the node: the parts of Homing as Deployments and a DaemonSet, with the roles of ``deploy/rbac``."""

from __future__ import annotations

from typing import Any

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The security context of every container."""
