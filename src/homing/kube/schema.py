"""From our kinds to the structural schemas of CustomResourceDefinitions (apiextensions.k8s.io/v1).

A field's type says what it holds; ``Annotated`` adds what the API server checks and what ``kubectl explain`` tells.
Only the server checks: decoding never refuses an object, so that one stored under another version's rules does not
take the whole list with it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from homing.kube.objects import Condition

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Doc:
    """What ``kubectl explain`` says about a field."""

    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition in CEL that must hold of ``self``, and what to write where it does not."""

    rule: str
    message: str


class Limits:
    """Keywords of the schema by their own names: ``maxLength``, ``enum``, ``format``, ..."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords: Mapping[str, Any] = keywords


def one_of(*values: str) -> Limits:
    """One of these texts."""
    return Limits(enum=list(values))


def keyed(*keys: str) -> Limits:
    """A list of objects in which these fields together are unique; server-side apply merges by them."""
    return Limits(**{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})


UNIQUE = Limits(**{"x-kubernetes-list-type": "set"})
"""A list without duplicates."""

WHOLE = Limits(**{"x-kubernetes-map-type": "atomic"})
"""An object that is always given as a whole, as references are."""


def schema_of(kind: type[msgspec.Struct]) -> Schema:
    """The structural schema of a whole kind: ``apiVersion``, ``kind``, ``metadata``, ``spec`` and ``status``."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    hints = typing.get_type_hints(kind, include_extras=True)
    spec = _field(hints["spec"], fields["spec"].default, defaults=True)
    required = {"required": ["spec"]} if fields["spec"].required else {}
    return {
        "type": "object",
        "description": _one_line(kind.__doc__),
        **required,
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of this kind."},
            "kind": {"type": "string", "description": "Name of this kind."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": _field(hints["status"], msgspec.NODEFAULT, defaults=False),
        },
    }


_FIRST = ("type", "description", "default")
"""Keywords that a reader of the YAML wants to see before a field's own fields."""


def _field(hint: Any, default: Any, *, defaults: bool) -> Schema:
    """The schema of one field. With ``defaults`` the server fills in what Python would."""
    schema = _schema(hint, defaults=defaults)
    if defaults and isinstance(default, msgspec.Struct):
        schema["default"] = {}  # its own fields are filled in after it
    elif defaults and default not in (msgspec.NODEFAULT, None, "", ()):
        schema["default"] = msgspec.json.decode(msgspec.json.encode(default))
    first = {key: schema[key] for key in _FIRST if key in schema}
    return first | schema


def _schema(hint: Any, *, defaults: bool) -> Schema:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        schema = _schema(hint.__origin__, defaults=defaults)
        for note in hint.__metadata__:
            _add(schema, note)
        return schema
    if origin in (types.UnionType, typing.Union):
        (given,) = (item for item in typing.get_args(hint) if item is not type(None))
        return _schema(given, defaults=defaults)
    if origin is tuple:
        return {"type": "array", "items": _schema(typing.get_args(hint)[0], defaults=defaults)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(typing.get_args(hint)[1], defaults=defaults)}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if hint is Condition:
        return _condition()
    return _object(hint, defaults=defaults)


def _object(kind: type[msgspec.Struct], *, defaults: bool) -> Schema:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = msgspec.structs.fields(kind)
    schema: Schema = {"type": "object"}
    if required := sorted(field.encode_name for field in fields if field.required):
        schema["required"] = required
    if fields:
        schema["properties"] = {
            field.encode_name: _field(hints[field.name], field.default, defaults=defaults)
            for field in sorted(fields, key=lambda field: field.encode_name)
        }
    for rule in getattr(kind, "RULES", ()):
        _add(schema, rule)
    return schema


def _add(schema: Schema, note: object) -> None:
    match note:
        case Doc(text):
            schema["description"] = text
        case Limits():
            schema.update(note.keywords)
        case Rule(rule, message):
            rules = schema.setdefault("x-kubernetes-validations", [])
            rules.append({"rule": rule, "message": message})
        case _:
            raise TypeError(f"{note!r} says nothing to a schema")


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


_PLAIN: dict[Any, str] = {str: "string", int: "integer", bool: "boolean"}


def _condition() -> Schema:
    """A condition with the limits of ``meta/v1`` Condition."""
    return {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "type": {
                "type": "string",
                "maxLength": 316,
                "description": "What this condition is about, like Ready.",
            },
            "status": {
                "type": "string",
                "enum": ["True", "False", "Unknown"],
                "description": "Whether it holds: True, False or Unknown.",
            },
            "reason": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                "description": "Why, in one word for programs.",
            },
            "message": {
                "type": "string",
                "maxLength": 32768,
                "description": "Why, in a sentence for people, and what to do about it.",
            },
            "lastTransitionTime": {
                "type": "string",
                "format": "date-time",
                "description": "When the status last changed from one value to another.",
            },
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "description": "The generation of the spec that this condition is about.",
            },
        },
    }
