"""JSON schemas of every kind a running API server knows, from its OpenAPI documents, for kubeconform."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import ControlPlane

LOCATION = "{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json"
"""How kubeconform finds the schema of a kind."""

Schema = dict[str, Any]


def write_schemas(plane: ControlPlane, kinds: Iterable[tuple[str, str]], folder: Path) -> None:
    """A file for each of these kinds (apiVersion, kind); fields that a schema does not name are refused."""
    wanted = set(kinds)
    for version in {version for version, _ in wanted}:
        path = f"/openapi/v3/{'apis' if '/' in version else 'api'}/{version}"
        schemas = plane.admin.request("GET", path)["components"]["schemas"]
        for name, schema in schemas.items():
            for told in schema.get("x-kubernetes-group-version-kind", ()):
                group, number, kind = told["group"], told["version"], told["kind"]
                if (f"{group}/{number}" if group else number, kind) in wanted:
                    file = folder / f"{group or number}_{number}_{kind.lower()}.json"
                    file.write_text(
                        json.dumps({"definitions": _needed(schemas, name), "$ref": f"#/definitions/{name}"})
                    )


def _needed(schemas: Schema, name: str) -> Schema:
    """A definition and those that it leads to."""
    made: Schema = {}
    ahead = [name]
    while ahead:
        one = ahead.pop()
        if one not in made:
            made[one] = strict(schemas[one])
            ahead += re.findall(r'"#/definitions/([^"]+)"', json.dumps(made[one]))
    return made


def strict(node: Any) -> Any:
    """A schema whose objects have the fields it names and no other."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    made: Schema = {key: strict(value) for key, value in node.items()}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = made["$ref"].replace("#/components/schemas/", "#/definitions/")
    closed = isinstance(made.get("properties"), dict) and "additionalProperties" not in made
    if closed and made.get("type") == "object" and not made.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made
