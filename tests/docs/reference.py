"""docs/reference/, made of the code: settings from their types, kinds from their definitions, commands from their help.

python -m tests.docs.reference      writes it (make reference)
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from homing.app import settings as module
from homing.app.cli import cli
from homing.app.settings import ProviderSettings, Settings, provider_types
from homing.kube.crd import DEFINITIONS, manifest

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def pages() -> dict[str, str]:
    """The text of each page by its name."""
    return {"settings.md": settings(), "kinds.md": kinds(), "commands.md": commands()}


def settings() -> str:
    """Every key of homing.toml."""
    lines = [
        "# Settings",
        "",
        "Every key of `homing.toml`. Times are seconds. `homing init` prints a file to start from, ",
    ]
    lines[-1] += "`homing check` says what is wrong with one."
    tables: list[tuple[str, type[msgspec.Struct]]] = [("", Settings)]
    while tables:
        path, kind = tables.pop(0)
        lines += _table(f"[{path}]" if path and not path.startswith("[") else path, kind)
        tables += list(_below(path, kind))
    types: dict[type[ProviderSettings], list[str]] = {}
    for name, kind in provider_types().items():
        types.setdefault(kind, []).append(f"`{name}`")
    lines += ["", "## [providers.KEY]", "", "Every type has these:", "", *_rows(ProviderSettings)]
    common = {field.name for field in msgspec.structs.fields(ProviderSettings)}
    for kind, names in types.items():
        lines += ["", f"Type {', '.join(names)}:", "", *_rows(kind, without=common)]
    return "\n".join(lines) + "\n"


def _table(heading: str, kind: type[msgspec.Struct]) -> list[str]:
    rows = _rows(kind)
    if len(rows) == 2:
        return []
    told = inspect.cleandoc(kind.__doc__ or "").partition("]: ")[2] or inspect.cleandoc(kind.__doc__ or "")
    told = " ".join(told.replace("``", "`").split())
    return [
        "",
        f"## {heading or 'At the head of the file'}",
        "",
        *([told[:1].upper() + told[1:], ""] if heading else []),
        *rows,
    ]


def _below(path: str, kind: type[msgspec.Struct]) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for field in msgspec.structs.fields(kind):
        place = f"{path}.{field.encode_name}" if path else field.encode_name
        for part in _structs(msgspec.inspect.type_info(field.type)):
            if issubclass(part.cls, ProviderSettings):
                continue
            if isinstance(msgspec.inspect.type_info(field.type), msgspec.inspect.VarTupleType):
                place = f"[[{place}]]"
            elif field.encode_name == "zones":
                place = 'zones."ORIGIN"'
            yield place, part.cls


def _structs(info: Any) -> list[Any]:
    if isinstance(info, msgspec.inspect.StructType):
        return [info]
    if isinstance(info, msgspec.inspect.UnionType):
        found = [part for item in info.types for part in _structs(item)]
        return found if not any(isinstance(item, msgspec.inspect.StrType) for item in info.types) else []
    if isinstance(info, msgspec.inspect.VarTupleType):
        return _structs(info.item_type)
    return _structs(info.value_type) if isinstance(info, msgspec.inspect.DictType) else []


def _rows(kind: type[msgspec.Struct], without: Collection[str] = ()) -> list[str]:
    told = documented(kind)
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        info = msgspec.inspect.type_info(field.type)
        if field.name not in without and not _structs(info):
            default = "needed" if field.required else f"`{_shown(field.default)}`"
            if default in ('`""`', "`[]`", "`null`"):
                default = ""
            rows.append(f"| `{field.encode_name}` | {_type(info)} | {default} | {told.get(field.name, '')} |")
    return rows


def documented(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The text below each field, of the class and of those it comes from."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__ == module.__name__:
            body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
            assert isinstance(body, ast.ClassDef)
            for item, after in zip(body.body, body.body[1:], strict=False):
                if (
                    isinstance(item, ast.AnnAssign)
                    and isinstance(item.target, ast.Name)
                    and isinstance(after, ast.Expr)
                    and isinstance(after.value, ast.Constant)
                ):
                    text = inspect.cleandoc(str(after.value.value)).replace("``", "`")
                    found[item.target.id] = " ".join(text.split()).replace("|", "\\|")
    return found


def _type(info: Any) -> str:
    match info:
        case msgspec.inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in info.values)
        case msgspec.inspect.VarTupleType():
            return f"list of {_type(info.item_type)}"
        case msgspec.inspect.UnionType():
            return " or ".join(_type(item) for item in info.types if not isinstance(item, msgspec.inspect.NoneType))
        case msgspec.inspect.StructType():
            return "table"
        case msgspec.inspect.BoolType():
            return "true, false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            low = info.ge if info.ge is not None else info.gt
            high = info.le if info.le is not None else info.lt
            if low is None or high is None:
                return "number"
            return f"{'above ' if info.ge is None else ''}{low:g} to {high:g}"
        case _:
            return "text"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return msgspec.json.encode(value).decode()


def kinds() -> str:
    """Every field of every kind."""
    lines = [
        "# Kinds",
        "",
        "Every field, as `kubectl explain` tells it. Complete examples: [examples/](../../examples).",
    ]
    for definition in DEFINITIONS:
        made = manifest(definition)
        version = made["spec"]["versions"][0]
        group = made["spec"]["group"]
        lines += ["", f"## {made['spec']['names']['kind']} ({group}/{version['name']})"]
        schema = version["schema"]["openAPIV3Schema"]
        lines += ["", schema.get("description", "")]
        for part in ("spec", "status"):
            below = schema["properties"].get(part)
            if below:
                lines += ["", f"### {part}", "", "| field | type | |", "|---|---|---|", *_fields("", below)]
    return "\n".join(lines) + "\n"


def _fields(path: str, schema: dict[str, Any]) -> Iterator[str]:
    needed = schema.get("required", ())
    for name, below in schema.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        inner = below.get("items", below) if below.get("type") == "array" else below
        told = " ".join(str(below.get("description", "")).split()).replace("|", "\\|")
        kind = below.get("type", "any")
        if kind == "array":
            kind = f"list of {inner.get('type', 'any')}"
        if "enum" in inner:
            kind += f": {', '.join(f'`{one}`' for one in inner['enum'])}"
        if "default" in below and below["default"] not in ({}, [], ""):
            told += f" Default: `{_shown(below['default'])}`."
        yield f"| `{place}`{' (needed)' if name in needed else ''} | {kind} | {told} |"
        if not place.endswith("conditions"):
            yield from _fields(place + ("[]" if below.get("type") == "array" else ""), inner)


def commands() -> str:
    """Every command with its help."""
    lines = ["# Commands", "", "What `--help` says. `homing man | man -l -` shows the same."]
    context = click.Context(cli, info_name="homing", **{**cli.context_settings, "terminal_width": 100})
    lines += list(_commands(cli, context))
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        command._help_option = None  # click keeps the first one, whose flags are those of the context it was made for
        inner = click.Context(command, parent=context, info_name=name, terminal_width=100)
        yield from ("", f"## {inner.command_path}", "", "```", command.get_help(inner), "```")
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
