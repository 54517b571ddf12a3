"""An OpenAPI 3.1 document from the types of the API, so that it cannot say anything else than what is served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from homing.web.problem import Problem

REF = "#/components/schemas/{name}"

_ERRORS = {
    "400": "A parameter is wrong",
    "401": "The token is missing or wrong",
    "503": "The history or the token cannot be read now",
}


class Described(Protocol):
    """What the document needs to know of a path."""

    @property
    def path(self) -> str:
        """Below the prefix."""
        ...

    @property
    def summary(self) -> str:
        """In a few words."""
        ...

    @property
    def query(self) -> type[Struct]:
        """Its parameters."""
        ...

    @property
    def answer(self) -> type[Struct]:
        """What it answers."""
        ...


def document(prefix: str, endpoints: Iterable[Described], version: str, *, secured: bool) -> dict[str, Any]:
    """The whole document. ``secured`` when a token is asked for."""
    table = tuple(endpoints)
    _, schemas = msgspec.json.schema_components([*(one.answer for one in table), Problem], ref_template=REF)
    components: dict[str, Any] = {"schemas": schemas}
    if secured:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Homing",
            "version": version,
            "description": "Are my names right? Read-only. All times are Unix seconds, 0 for what never was.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {f"{prefix}/{one.path}": {"get": _operation(one, secured=secured)} for one in table},
        "components": components,
        **({"security": [{"token": []}]} if secured else {}),
    }


def _operation(one: Described, *, secured: bool) -> dict[str, Any]:
    codes = [code for code in _ERRORS if secured or code != "401"]
    failures = {code: _told(_ERRORS[code], "application/problem+json", Problem) for code in codes}
    return {
        "operationId": one.path,
        "summary": one.summary,
        "parameters": _parameters(one.query),
        "responses": {"200": _told(one.summary, "application/json", one.answer), **failures},
    }


def _told(description: str, media: str, kind: type[Struct]) -> dict[str, Any]:
    return {"description": description, "content": {media: {"schema": {"$ref": REF.format(name=kind.__name__)}}}}


def _parameters(query: type[Struct]) -> list[dict[str, Any]]:
    _, parts = msgspec.json.schema_components([query])
    found: list[dict[str, Any]] = []
    for name, schema in parts[query.__name__]["properties"].items():
        told = dict(schema)
        description = told.pop("description", name)
        found.append({"name": name, "in": "query", "required": False, "description": description, "schema": told})
    return found
