"""Settings as the TOML that says them, without what is the default."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec


def toml_of(settings: msgspec.Struct) -> str:
    """The text of a homing.toml."""
    return "\n".join(_lines("", _given(settings))).lstrip("\n") + "\n"


def _lines(path: str, items: Mapping[str, Any]) -> Iterable[str]:
    """A table: its keys, then the tables below it."""
    rows = [f"{key} = {_value(value)}" for key, value in items.items() if not isinstance(value, dict | list)]
    if rows and path:
        yield from ("", f"[{path}]")
    yield from rows
    for key, value in items.items():
        below = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _lines(below, cast("dict[str, Any]", value))
        elif isinstance(value, list):
            for item in cast("list[dict[str, Any]]", value):
                yield from ("", f"[[{below}]]", *(f"{name} = {_value(one)}" for name, one in item.items()))


def _given(table: msgspec.Struct) -> dict[str, Any]:
    """What differs from the defaults: tables as dict, rows of tables as list, all else as it is."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(table):
        value: Any = getattr(table, field.name)
        if value == field.default:
            continue
        if isinstance(value, msgspec.Struct):
            value = _given(value)
        elif isinstance(value, dict):
            value = {key: _given(one) for key, one in cast("dict[str, msgspec.Struct]", value).items()}
        elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
            value = [_given(one) for one in cast("tuple[msgspec.Struct, ...]", value)]
        found[field.encode_name] = value
    return found


def _value(value: object) -> str:
    """Strings, numbers and truth values are written as in JSON."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, cast('tuple[object, ...]', value)))}]"
    return json.dumps(value, ensure_ascii=False)
